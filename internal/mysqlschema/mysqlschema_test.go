package mysqlschema_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/sipward/sipward/internal/mysqlschema"
	"github.com/sipward/sipward/internal/mysqltest"
)

func TestMain(m *testing.M) { mysqltest.Main(m) }

// Programs that add rows which are not there yet lock each other out.
func TestCreate_AtOnce(t *testing.T) {
	const rows = 100
	schema := new(strings.Builder)
	schema.WriteString("CREATE TABLE IF NOT EXISTS version (table_name CHAR(32) NOT NULL UNIQUE, table_version INT NOT NULL) ENGINE = InnoDB;\n")
	for i := range rows {
		fmt.Fprintf(schema, "INSERT INTO version SELECT 't%[1]d', 1 FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM version WHERE table_name = 't%[1]d');\n", i)
	}
	db := mysqltest.DB(t)
	mysqltest.AtOnce(t, db, func(ctx context.Context, db *sql.DB) error { return mysqlschema.Create(ctx, db, schema.String()) })
	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM version").Scan(&n); err != nil || n != rows {
		t.Errorf("there are %d rows, %v, want %d", n, err, rows)
	}
}
