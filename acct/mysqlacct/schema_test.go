package mysqlacct_test

import (
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/sipward/sipward/acct/mysqlacct"
	"github.com/sipward/sipward/internal/mysqltest"
)

// value returns what a query says in one value.
func value(t testing.TB, db *sql.DB, query string) (s string) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query).Scan(&s); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return s
}

// Create can be used on its own result and on tables of OpenSIPS, by several
// programs at once. Rows and columns that are there stay as they are.
func TestCreate_AddsOnly(t *testing.T) {
	tables := map[string]func(testing.TB) *sql.DB{
		"empty":    func(t testing.TB) *sql.DB { return mysqltest.DB(t) },
		"OpenSIPS": func(t testing.TB) *sql.DB { return createOpenSIPS(t, mysqltest.DB(t), "latin1") },
		"OpenSIPS, older": func(t testing.TB) *sql.DB {
			db := createOpenSIPS(t, mysqltest.DB(t), "latin1")
			exec(t, db, "ALTER TABLE acc DROP COLUMN from_uri, DROP COLUMN to_uri, ADD COLUMN setid VARCHAR(10)")
			return db
		},
	}
	for name, table := range tables {
		t.Run(name, func(t *testing.T) {
			db := table(t)
			if name != "empty" {
				write(t, open(t, db), kinds()...)
			}
			mysqltest.AtOnce(t, db, mysqlacct.Create)
			if name == "empty" {
				write(t, open(t, db), kinds()...)
			}
			if err := mysqlacct.Create(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			wantRows(t, db, "acc", "id callid from_tag to_tag sip_code ms_duration",
				"1 call-1@10.1.2.3 x7 as5d 200 5070", "2 call-2@10.1.2.3 x7 as5d 200 0",
				"3 call-3@10.1.2.3 x7  486 0", "4 call-4@10.1.2.3 x7  486 0")
			const indexes = "SELECT COUNT(*) FROM information_schema.statistics WHERE table_schema = DATABASE() AND column_name = 'record_id'"
			if n := value(t, db, indexes); n != "2" {
				t.Errorf("got %s indexes of record_id", n)
			}
			if v := value(t, db, "SELECT GROUP_CONCAT(table_name, ' ', table_version ORDER BY table_name) FROM version"); v != "acc 7,dialog 12,missed_calls 5" {
				t.Errorf("got versions %s", v)
			}
			report, err := mysqlacct.Verify(t.Context(), db, mysqlacct.Config{}, begin.AddDate(-1, 0, 0))
			if err != nil || len(report.Acc.Lacks)+len(report.Missed.Lacks) > 0 {
				t.Errorf("got %+v, %v", report, err)
			}
		})
	}
}

// P-71: what is missing is said when a program starts.
func TestNew_ErrSchema(t *testing.T) {
	tests := []struct{ name, sql, want string }{
		{"no version", "DELETE FROM version WHERE table_name = 'acc'", "no row for acc, want version 7"},
		{"no table of versions", "DROP TABLE version", "no table version, want one with version 7"},
		{"other version", "UPDATE version SET table_version = 8 WHERE table_name = 'acc'", "acc has version 8, want 7"},
		{"other version of missed calls", "UPDATE version SET table_version = 4 WHERE table_name = 'missed_calls'", "missed_calls has version 4, want 5"},
		{"no calls", "DROP TABLE acc", "no table acc"},
		{"no missed calls", "DROP TABLE missed_calls", "no table missed_calls"},
		{"no columns", "ALTER TABLE acc DROP time, DROP ms_duration", "acc lacks the columns time, ms_duration"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			db := createOpenSIPS(t, mysqltest.DB(t), "utf8mb4")
			exec(t, db, tt.sql)
			_, err := mysqlacct.New(t.Context(), db, mysqlacct.Config{})
			if !errors.Is(err, mysqlacct.ErrSchema) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New: got error %v, want ErrSchema with %q", err, tt.want)
			}
			_, err = mysqlacct.Verify(t.Context(), db, mysqlacct.Config{}, begin)
			if !errors.Is(err, mysqlacct.ErrSchema) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Verify: got error %v, want ErrSchema with %q", err, tt.want)
			}
		})
	}
}

func TestNew_Tables(t *testing.T) {
	db := create(t, mysqltest.DB(t))
	for _, name := range []string{"a`b", "acc; DROP TABLE acc", "a.b", strings.Repeat("x", 65), "äcc"} {
		for _, cfg := range []mysqlacct.Config{{Table: name}, {MissedTable: name}} {
			if _, err := mysqlacct.New(t.Context(), db, cfg); err == nil {
				t.Errorf("%+v was taken", cfg)
			}
			if _, err := mysqlacct.Verify(t.Context(), db, cfg, begin); err == nil {
				t.Errorf("%+v was verified", cfg)
			}
		}
		for _, cfg := range []mysqlacct.MirrorConfig{{Table: name}, {Node: name}} {
			if _, err := mysqlacct.NewMirror(t.Context(), db, cfg); err == nil {
				t.Errorf("%+v was taken", cfg)
			}
		}
	}
}
