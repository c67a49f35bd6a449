package seclog_test

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/examples/proxy/internal/seclog"
	"github.com/sipward/sipward/internal/mysqltest"
)

// pruned calls f in a bubble in which a Log runs that keeps rows for so long. It is
// the 1st of January 2000 there.
func pruned(t *testing.T, keep time.Duration, f func(t *testing.T, db *sql.DB, l *seclog.Log)) {
	t.Helper()
	server := mysqltest.New(t)
	db := server.DB(t)
	if err := seclog.Create(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	dsn := server.Config(t, db).FormatDSN()
	synctest.Test(t, func(t *testing.T) {
		db, err := sql.Open("mysql", dsn) // whose goroutines are in the bubble
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		l := seclog.New(seclog.Config{DB: db, Keep: keep})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		f(t, db, l)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// fill inserts n rows of a day.
func fill(t *testing.T, db *sql.DB, n int, day string) {
	t.Helper()
	row := fmt.Sprintf("('401', 'a.test', '192.0.2.1', 5060, 403, '%s')", day)
	exec(t, db, "INSERT INTO failed_registrations (username, domain, source_ip, source_port, response_code, attempt_time) VALUES "+
		row+strings.Repeat(", "+row, n-1))
	row = fmt.Sprintf("('192.0.2.1', 5060, 'INVITE', 'malformed', '%s')", day)
	exec(t, db, "INSERT INTO door_knock_attempts (source_ip, source_port, method, reason, attempt_time) VALUES "+row+strings.Repeat(", "+row, n-1))
}

// left returns how many rows there are in each table.
func left(t *testing.T, db *sql.DB) [2]int {
	t.Helper()
	var n [2]int
	for i, table := range []string{seclog.Registrations, seclog.Knocks} {
		n[i], _ = strconv.Atoi(rows(t, db, "SELECT COUNT(*) FROM "+table)[0])
	}
	return n
}

// TestLog_Keep: old rows go, some at a time and the oldest first; the others stay,
// and new ones are written meanwhile.
func TestLog_Keep(t *testing.T) {
	pruned(t, 90*24*time.Hour, func(t *testing.T, db *sql.DB, l *seclog.Log) {
		fill(t, db, 600, "1999-09-02")
		fill(t, db, 600, "1999-09-01")
		fill(t, db, 7, "1999-10-10")
		want := func(n int) {
			t.Helper()
			if got := left(t, db); got != [2]int{n, n} {
				t.Errorf("%d rows are left, want %d of each", got, n)
			}
		}
		time.Sleep(9 * time.Minute)
		want(1207) // it has just been started
		time.Sleep(time.Minute + 500*time.Millisecond)
		want(707)
		if got := rows(t, db, "SELECT DATE(MIN(attempt_time)) FROM door_knock_attempts")[0]; got != "1999-09-01" {
			t.Errorf("the oldest row is of %s", got)
		}
		l.Knock(seclog.Knock{Time: time.Now(), Source: source, Reason: "malformed"})
		l.Registration(seclog.Registration{Time: time.Now(), User: "401", Domain: "a.test", Source: source, Status: 403})
		time.Sleep(1200 * time.Millisecond)
		want(208)
		time.Sleep(10 * time.Second)
		want(8)
		if st := l.Stats(); st != (seclog.Stats{Written: 2, Deleted: 2400}) {
			t.Errorf("got %+v", st)
		}
		time.Sleep(30 * 24 * time.Hour) // 7 of each have become old
		want(1)
	})
}

// TestLog_KeepAll: nothing is deleted if nothing is to be, and a table that is not
// there does not keep the other one from being swept.
func TestLog_KeepAll(t *testing.T) {
	pruned(t, 0, func(t *testing.T, db *sql.DB, l *seclog.Log) {
		fill(t, db, 3, "1999-01-01")
		time.Sleep(time.Hour)
		if got := left(t, db); got != [2]int{3, 3} {
			t.Errorf("%d rows are left", got)
		}
	})
	pruned(t, time.Hour, func(t *testing.T, db *sql.DB, l *seclog.Log) {
		fill(t, db, 3, "1999-01-01")
		exec(t, db, "DROP TABLE failed_registrations")
		time.Sleep(time.Hour)
		if st := l.Stats(); st != (seclog.Stats{Deleted: 3}) {
			t.Errorf("got %+v", st)
		}
	})
}
