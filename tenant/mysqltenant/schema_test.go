package mysqltenant_test

import (
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/sipward/sipward/internal/mysqltest"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

// value returns what a query says in one value.
func value(t testing.TB, db *sql.DB, query string) (s string) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query).Scan(&s); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return s
}

// P-33: Create fills the column from attrs, once and without touching what is
// there.
func TestCreate_FillsSetID(t *testing.T) {
	db := createOpenSIPS(t)
	exec(t, db, `INSERT INTO domain (id, domain, attrs) VALUES
		(1, 'a.example', 'SETID=10'), (2, 'b.example', 'x;setid=20'), (3, 'c.example', NULL), (4, 'd.example', 'setid=x'),
		(5, 'e.example', 'resetid=5'), (6, 'f.example', 'setid=0'), (7, 'g.example', 'x=\'"\\%\U0001F600;setid=30')`)
	before := value(t, db, "SELECT GROUP_CONCAT(domain, COALESCE(attrs, ''), last_modified ORDER BY id) FROM domain")
	const sets = "SELECT GROUP_CONCAT(setid ORDER BY id SEPARATOR ' ') FROM domain"
	for range 2 {
		if err := mysqltenant.Create(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		if got, want := value(t, db, sets), "10 20 0 0 0 0 30"; got != want {
			t.Errorf("got sets %s, want %s", got, want)
		}
	}
	if after := value(t, db, "SELECT GROUP_CONCAT(domain, COALESCE(attrs, ''), last_modified ORDER BY id) FROM domain"); after != before {
		t.Errorf("rows were %s, are %s", before, after)
	}
	exec(t, db, "UPDATE domain SET setid = 11 WHERE id = 1")
	exec(t, db, "INSERT INTO domain (id, domain, attrs) VALUES (8, 'h.example', 'setid=40')") // by a tool of OpenSIPS
	if err := mysqltenant.Create(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if got, want := value(t, db, sets), "11 20 0 0 0 0 30 40"; got != want {
		t.Errorf("got sets %s, want %s", got, want)
	}
}

// Create can be used on its own result and on tables of OpenSIPS, by several
// programs at once.
func TestCreate_AddsOnly(t *testing.T) {
	tables := map[string]func(testing.TB) *sql.DB{
		"empty":               func(t testing.TB) *sql.DB { return mysqltest.DB(t) },
		"OpenSIPS":            createOpenSIPS,
		"OpenSIPS with setid": create,
		"OpenSIPS with index": func(t testing.TB) *sql.DB {
			db := create(t)
			exec(t, db, "CREATE INDEX idx_domain_setid ON domain (setid)")
			return db
		},
	}
	for name, table := range tables {
		t.Run(name, func(t *testing.T) {
			db := table(t)
			mysqltest.AtOnce(t, db, mysqltenant.Create)
			if err := mysqltenant.Create(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			const indexes = "SELECT COUNT(*) FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'domain' AND column_name = 'setid'"
			if n := value(t, db, indexes); n != "1" {
				t.Errorf("got %s indexes of setid", n)
			}
			if v := value(t, db, "SELECT GROUP_CONCAT(table_version) FROM version WHERE table_name = 'domain'"); v != "4" {
				t.Errorf("got version %s", v)
			}
			exec(t, db, "INSERT INTO domain (domain, setid) VALUES ('a.example', 10)")
		})
	}
}

// P-71: what is missing is said when a program starts.
func TestNew_ErrSchema(t *testing.T) {
	tests := []struct{ name, sql, want string }{
		{"no version", "DELETE FROM version WHERE table_name = 'domain'", "no row for domain, want version 4"},
		{"no table of versions", "DROP TABLE version", "no table version, want one with version 4"},
		{"other version", "UPDATE version SET table_version = 3 WHERE table_name = 'domain'", "domain has version 3, want 4"},
		{"other version of destinations", "UPDATE version SET table_version = 8 WHERE table_name = 'dispatcher'", "dispatcher has version 8, want 9"},
		{"no domains", "DROP TABLE domain", "no table domain"},
		{"no destinations", "DROP TABLE dispatcher", "no table dispatcher"},
		{"no sets", "ALTER TABLE domain DROP setid, DROP attrs", "domain has no column setid and no column attrs"},
		{"no columns", "ALTER TABLE dispatcher DROP setid, DROP destination", "dispatcher lacks the columns setid, destination"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			db := create(t)
			exec(t, db, tt.sql)
			_, err := mysqltenant.New(t.Context(), db, mysqltenant.Config{})
			if !errors.Is(err, mysqltenant.ErrSchema) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want ErrSchema with %q", err, tt.want)
			}
		})
	}
}

func TestNew_Tables(t *testing.T) {
	db := create(t)
	for _, name := range []string{"a`b", "domain; DROP TABLE domain", "a.b", strings.Repeat("x", 65), "dömain"} {
		for _, cfg := range []mysqltenant.Config{{DomainTable: name}, {DispatcherTable: name}} {
			if _, err := mysqltenant.New(t.Context(), db, cfg); err == nil {
				t.Errorf("%+v was taken", cfg)
			}
		}
	}
	exec(t, db, "RENAME TABLE domain TO d2, dispatcher TO p2")
	exec(t, db, "UPDATE version SET table_name = IF(table_name = 'domain', 'd2', 'p2')")
	exec(t, db, "INSERT INTO d2 (domain, setid) VALUES ('a.example', 10)")
	f := open(t, db, mysqltenant.Config{DomainTable: "d2", DispatcherTable: "p2"})
	f.load()
	f.wantProblems(mysqltenant.ErrNoDestinations)
	if p := f.problems[0]; p.Table != "d2" || p.SetID != 10 {
		t.Errorf("got %v", p)
	}
}
