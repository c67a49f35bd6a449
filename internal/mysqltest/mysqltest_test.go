package mysqltest_test

import (
	"database/sql"
	"testing"

	"github.com/sipward/sipward/internal/mysqltest"
)

func TestMain(m *testing.M) { mysqltest.Main(m) }

func exec(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func count(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM numbers").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDB_IsEmptyAndStrict(t *testing.T) {
	for range 2 {
		db := mysqltest.DB(t)
		exec(t, db, "CREATE TABLE numbers (n TINYINT)")
		exec(t, db, "INSERT INTO numbers VALUES (1)")
		if _, err := db.ExecContext(t.Context(), "INSERT INTO numbers VALUES (1000)"); err == nil {
			t.Error("a number that does not fit was taken")
		}
		if got := count(t, db); got != 1 {
			t.Errorf("got %d rows, want 1", got)
		}
	}
}

func TestServer_SurvivesStopAndKill(t *testing.T) {
	s := mysqltest.New(t)
	db := s.DB(t)
	exec(t, db, "CREATE TABLE numbers (n INT)")
	for i, end := range []func(testing.TB){s.Stop, s.Kill, s.Kill} {
		exec(t, db, "INSERT INTO numbers VALUES (1)")
		end(t)
		if err := db.PingContext(t.Context()); err == nil {
			t.Error("it still answers")
		}
		s.Start(t)
		if got := count(t, db); got != i+1 {
			t.Errorf("got %d rows, want %d", got, i+1)
		}
	}
	other, err := sql.Open("mysql", s.Config(t, db).FormatDSN())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if got := count(t, other); got != 3 {
		t.Errorf("by DSN: got %d rows, want 3", got)
	}
}
