package database_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sipward/sipward/examples/proxy/internal/database"
	"github.com/sipward/sipward/internal/mysqltest"
)

func TestMain(m *testing.M) { mysqltest.Main(m) }

// TestOpen_RefusesWithoutSecrets (P-54): what is wrong with a DSN is said
// without what is in it.
func TestOpen_RefusesWithoutSecrets(t *testing.T) {
	for name, dsn := range map[string]string{
		"no slash":    "user:s3cret@tcp(127.0.0.1:3306)",
		"no database": "user:s3cret@tcp(127.0.0.1:3306)/",
		"bad value":   "user:s3cret@tcp(127.0.0.1:3306)/sip?timeout=soon",
		"no network":  "user:s3cret@pigeon/sip",
	} {
		t.Run(name, func(t *testing.T) {
			db, err := database.Open(dsn)
			if !errors.Is(err, database.ErrDSN) {
				t.Fatalf("Open = %v, %v; want ErrDSN", db, err)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error has the password: %v", err)
			}
		})
	}
}

func TestName_HasNoSecrets(t *testing.T) {
	if got, want := database.Name("user:s3cret@tcp(db.example:3306)/sip?timeout=3s"), "db.example:3306/sip"; got != want {
		t.Errorf("Name = %q, want %q", got, want)
	}
	if got := database.Name("nonsense"); got != "" {
		t.Errorf("Name of no DSN = %q", got)
	}
}

// TestOpen_Session: the session is strict whatever the server's default is, and
// says no word on its own.
func TestOpen_Session(t *testing.T) {
	server := mysqltest.New(t)
	db, err := database.Open(server.Config(t, server.DB(t)).FormatDSN())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var mode, charset string
	if err := db.QueryRow("SELECT @@SESSION.sql_mode, @@SESSION.character_set_client").Scan(&mode, &charset); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(mode, "STRICT_TRANS_TABLES") || charset != "utf8mb4" {
		t.Errorf("sql_mode = %q, character set = %q", mode, charset)
	}
	if _, err := db.Exec("SELECT 1; SELECT 2"); err == nil {
		t.Error("two statements in one were accepted")
	}
}
