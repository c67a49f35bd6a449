package database_test

import (
	"errors"
	"fmt"
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

		// What the driver takes for a network or a database is of the password.
		"no at":            "user:s3cret/sip",
		"no at, address":   "user:s3cret(127.0.0.1:3306)/sip",
		"slash":            "user:s3/s3cret@tcp(127.0.0.1:3306)",
		"slash, address":   "user:s3cret(1)/3@tcp(127.0.0.1:3306)",
		"slash in address": "user:@/s3cret@tcp(127.0.0.1:3306)",
		"question mark":    "user:3/a?timeout=s3cret@tcp(127.0.0.1:3306)",
	} {
		t.Run(name, func(t *testing.T) {
			db, err := database.Open(dsn)
			if !errors.Is(err, database.ErrDSN) {
				t.Fatalf("Open = %v, %v; want ErrDSN", db, err)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error has the password: %v", err)
			}
			if name := database.Name(dsn); strings.Contains(name, "s3cret") {
				t.Errorf("the name has the password: %s", name)
			}
		})
	}
}

func TestOpen_SaysWhatIsWrong(t *testing.T) {
	for dsn, want := range map[string]string{
		"user:s3cret@tcp(127.0.0.1:3306)/":                 "names no database",
		"user:s3cret(127.0.0.1:3306)/sip":                  "network is none of tcp, tcp4, tcp6, unix",
		"user:s3cret@tcp(127.0.0.1:3306)/sip?timeout=soon": "a parameter",
	} {
		_, err := database.Open(dsn)
		if text := fmt.Sprint(err); !strings.Contains(text, want) || !strings.Contains(text, "user:password@tcp(host:3306)/database") {
			t.Errorf("%q: %s; want %q and the form", dsn, text, want)
		}
	}
}

func TestOpen_Networks(t *testing.T) {
	for _, dsn := range []string{
		"user:s3/c(r@et@tcp(127.0.0.1:3306)/sip", "user@tcp4(127.0.0.1:3306)/sip", "user@tcp6([::1]:3306)/sip",
		"user@unix(/run/mysqld/mysqld.sock)/sip", "user@tcp/sip", "user@/sip",
	} {
		db, err := database.Open(dsn)
		if err != nil {
			t.Errorf("%q: %v", dsn, err)
			continue
		}
		db.Close()
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
