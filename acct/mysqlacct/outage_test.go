package mysqlacct_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sipward/sipward/acct"
	"github.com/sipward/sipward/acct/mysqlacct"
	"github.com/sipward/sipward/internal/mysqltest"
)

// calls has n calls begin and end, with Call-IDs from first on.
func calls(r *acct.Recorder, first, n int) {
	for i := first; i < first+n; i++ {
		id := fmt.Sprint(i)
		r.Begin(acct.Invite{CallID: id, FromTag: "x7", Direction: acct.ToPhone}).Answer(acct.Answer{ToTag: "as5d", Code: 200, Reason: "OK"})
		r.Bye(acct.Dialog{CallID: id, FromTag: "x7", ToTag: "as5d"})
	}
}

// await waits until the database has n rows, which there is nothing to wait on
// for.
func await(t *testing.T, db *sql.DB, r *acct.Recorder, n int) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); count(t, db, "acc") < n; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d rows, want %d: %+v", count(t, db, "acc"), n, r.Stats())
		}
	}
}

// R7.6: a database that is stopped, and killed while it is written to, and a
// program that starts again meanwhile: each call is there once.
func TestSink_ServerStopsAndDies(t *testing.T) {
	server := mysqltest.New(t)
	stock := createOpenSIPS(t, server.DB(t), "utf8mb4")
	for name, db := range map[string]*sql.DB{"own": create(t, server.DB(t)), "OpenSIPS": stock} {
		t.Run(name, func(t *testing.T) {
			s, dir := open(t, db), t.TempDir()
			r, halt := newRecorder(t, s, dir)
			total := 0
			for round := range 4 {
				calls(r, total, 200)
				total += 200
				if round%2 == 0 {
					server.Stop(t)
				} else {
					time.Sleep(rand.N(20 * time.Millisecond)) // somewhere in the middle
					server.Kill(t)
				}
				calls(r, total, 1000)
				total += 1000
				server.Start(t)
				await(t, db, r, total)
			}
			halt()
			// For all that the next program knows, the last batch may be there.
			r, halt = newRecorder(t, open(t, db), dir)
			calls(r, total, 1)
			total++
			halt()
			if n, ids := count(t, db, "acc"), value(t, db, "SELECT COUNT(DISTINCT callid) FROM acc"); n != total || ids != fmt.Sprint(total) {
				t.Errorf("%d rows of %s calls, want %d", n, ids, total)
			}
			report, err := mysqlacct.Verify(t.Context(), db, mysqlacct.Config{TimeZone: time.UTC}, time.Time{})
			if err != nil || !report.OK() {
				t.Errorf("got %+v, %v", report, err)
			}
		})
	}
}

// A batch of which the program cannot know whether it was written.
func TestSink_UnsureAfterFailure(t *testing.T) {
	for name, db := range databases(t) {
		t.Run(name, func(t *testing.T) {
			s := open(t, db)
			write(t, s, call(1))
			exec(t, db, "RENAME TABLE missed_calls TO away")
			if err := s.Write(t.Context(), []acct.Record{call(2), missed(3)}); err == nil {
				t.Fatal("there was no error")
			}
			exec(t, db, "RENAME TABLE away TO missed_calls")
			if n := count(t, db, "acc"); n != 1 {
				t.Errorf("half of a batch was written")
			}
			write(t, open(t, db), call(2)) // as if the server had done it after all
			write(t, s, call(2), missed(3))
			wantRows(t, db, "acc", "callid", "call-1@10.1.2.3", "call-2@10.1.2.3", "call-3@10.1.2.3")
			wantRows(t, db, "missed_calls", "callid", "call-3@10.1.2.3")
		})
	}
}
