package mysqldisp

import (
	"context"
	"database/sql"
	_ "embed" // schema.sql
	"fmt"

	"github.com/sipward/sipward/internal/mysqlschema"
)

// ErrSchema reports a table that is missing, of another version, or without a
// column that a [Loader] needs. The error's text names what was wanted and what
// was found.
var ErrSchema = mysqlschema.ErrSchema

// Version is what the table of versions must say of the table, as in OpenSIPS
// 3.6.
const Version = 9

// Schema has the statements of [Create], each ended by a semicolon at the end
// of a line.
//
//go:embed schema.sql
var Schema string

// Create makes the tables of [Schema] that are missing. It alters nothing, so
// that it can be used again, and on a database of OpenSIPS.
func Create(ctx context.Context, db *sql.DB) error {
	if err := mysqlschema.Create(ctx, db, Schema); err != nil {
		return fmt.Errorf("mysqldisp: create: %w", err)
	}
	return nil
}
