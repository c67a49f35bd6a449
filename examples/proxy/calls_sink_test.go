package main

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/acct"
	"github.com/sipward/sipward/acct/mysqlacct"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/internal/mysqltest"
)

// jsonCalls are the calls in a file, as call_id and code.
func jsonCalls(t testing.TB, path string) (all []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r struct {
			CallID string `json:"call_id"`
			Code   int    `json:"code"`
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Error(err)
		}
		all = append(all, fmt.Sprint(r.CallID, " ", r.Code))
	}
	return all
}

// TestCalls_JSON: records as lines of a file, as the configuration asks for them,
// over a restart.
func TestCalls_JSON(t *testing.T) {
	for failed, want := range map[string][]string{
		"true": {"call1@10.0.1.10 486", "call2@10.0.1.10 200", "call5@10.0.1.10 486"}, "false": {"call2@10.0.1.10 200"},
	} {
		t.Run(failed, func(t *testing.T) {
			dir := t.TempDir()
			yaml := fmt.Sprintf("cache: {spool: %q}\nacct: {to: json, failed: %s}\n", dir, failed)
			inWorld(t, yaml+threeTenants, func(w *world) {
				ph := w.public("401", "a.test")
				l := &ledger{w: w}
				l.incoming(w.a, ph.at(w.a), ph).refuse(486, acct.Busy)
				d := l.incoming(w.a, w.a.contacts["401"][0], ph)
				d.answer()
				w.restart()
				d.hangUp(d.caller)
				ph.at(w.a)
				l.incoming(w.a, w.a.contacts["401"][0], ph).refuse(486, acct.Busy)
				synctest.Wait()
				if diff := cmp.Diff(want, jsonCalls(t, filepath.Join(dir, "calls.json"))); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestCallFile_OneProcess: two proxies never write to a file at the same time.
func TestCallFile_OneProcess(t *testing.T) {
	cfg := config.Acct{File: filepath.Join(t.TempDir(), "calls.json"), FileMB: 1, Failed: true}
	one, err := newCallFile(cfg, "")
	if err != nil {
		t.Fatal(err)
	}
	two, err := newCallFile(cfg, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "b"} {
		if err := one.Write(t.Context(), []acct.Record{{CallID: id, Code: 486}}); err != nil {
			t.Fatal(err)
		}
	}
	later := []acct.Record{{CallID: "c", Code: 200}}
	if err := two.Write(t.Context(), later); err == nil {
		t.Error("the second one writes, too")
	}
	if err := one.close(); err != nil {
		t.Error(err)
	}
	if err := two.Write(t.Context(), later); err != nil {
		t.Error(err)
	}
	if err := two.close(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"a 486", "b 486", "c 200"}, jsonCalls(t, cfg.File)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestCalls_MySQL: records in the tables, as the configuration asks for them, with
// open calls in the table dialog. P-41.
func TestCalls_MySQL(t *testing.T) {
	for _, failed := range []bool{true, false} {
		t.Run(fmt.Sprint(failed), func(t *testing.T) {
			server := mysqltest.New(t)
			db := server.DB(t)
			createTables(t, db)
			if err := mysqlacct.Create(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "beside.json")
			yaml := fmt.Sprintf("database: %q\nstore: memory\ncache: {spool: %q}\nacct: {failed: %t, file: %q}\n%s",
				server.Config(t, db).FormatDSN(), t.TempDir(), failed, file, threeTenants)
			inWorld(t, yaml, func(w *world) {
				ph := w.public("401", "a.test")
				l := &ledger{w: w}
				l.incoming(w.a, ph.at(w.a), ph).refuse(486, acct.Busy)
				time.Sleep(time.Second)
				rings, d := l.incoming(w.a, w.a.contacts["401"][0], ph), l.outgoing(ph, w.a)
				rings.ring()
				time.Sleep(time.Second)
				d.answer()
				time.Sleep(20 * time.Second)
				open := "SELECT CONCAT_WS(' ', callid, state) FROM dialog ORDER BY callid"
				wantRows(t, db, open, "call2@10.0.1.10 2", "phone4 4")
				w.restart()
				time.Sleep(20 * time.Second)
				wantRows(t, db, open, "call2@10.0.1.10 1", "phone4 4")
				d.hangUp(d.callee)
				time.Sleep(time.Minute)
				ph.Drain()
				w.a.Drain() // what the call that rang still got
				wantRows(t, db, open)
			})
			query := `SELECT CONCAT_WS(' ', callid, sip_code, cause, end_reason, domain, setid, src_ip, dst_ip, backend, direction, TIMESTAMPDIFF(SECOND, created, time), setuptime`
			want := []string{"phone4 200 answered callee a.test 10 203.0.113.1 10.0.1.10 10.0.1.10:5060 from_phone 1 1 40 40000"}
			missed := []string{
				"call1@10.0.1.10 486 busy unanswered a.test 10 10.0.1.10 203.0.113.1 10.0.1.10:5060 to_phone 0 0",
				"call2@10.0.1.10 408 timed_out restarted a.test 10 10.0.1.10 10.0.1.10:5060 to_phone 21 21",
			}
			if failed {
				want = append([]string{missed[0] + " 0 0"}, append(want, missed[1]+" 0 0")...)
			}
			wantRows(t, db, query+", duration, ms_duration) FROM acc ORDER BY id", want...)
			wantRows(t, db, query+") FROM missed_calls ORDER BY id", missed...)
			beside := []string{"phone4 200"}
			if failed {
				beside = []string{"call1@10.0.1.10 486", "phone4 200", "call2@10.0.1.10 408"}
			}
			slices.Sort(beside)
			if diff := cmp.Diff(beside, slices.Sorted(slices.Values(jsonCalls(t, file)))); diff != "" {
				t.Errorf("in the file (-want +got):\n%s", diff)
			}
		})
	}
}

// TestCalls_DatabaseDown: without its database, and without the tables, the proxy
// starts and serves, and writes the records when they are there, whatever is in
// them. P-70.
func TestCalls_DatabaseDown(t *testing.T) {
	server := mysqltest.New(t)
	db := server.DB(t)
	yaml := fmt.Sprintf("database: %q\nstore: memory\ncache: {spool: %q}\n%s", server.Config(t, db).FormatDSN(), t.TempDir(), threeTenants)
	yaml = "acct: {to: auto}\n" + yaml
	server.Stop(t)
	outside := newOutside(t)
	inWorld(t, yaml, func(w *world) {
		ph := w.public("401", "a.test")
		l := &ledger{w: w}
		d := l.dial(w.a.side(), ph.side(), w.a.request("INVITE", ph.at(w.a), "Call-ID: "+strings.Repeat("x", 600)))
		ph.Send(d.m.From, strings.Replace(d.m.Reply(486, "callee"), "Busy Here", strings.Repeat("Frühstück 🥐 ", 50), 1))
		ph.Expect("ACK")
		d.fails(486, acct.Busy)
		waits := func() {
			t.Helper()
			time.Sleep(time.Minute)
			parts := w.proxy.parts()
			if got := parts[len(parts)-1].detail; got != "0 open, 1 records wait for mysql" {
				t.Errorf("got %q", got)
			}
		}
		waits()
		outside(func() { server.Start(t) })
		waits()
		outside(func() {
			if err := mysqlacct.Create(t.Context(), db); err != nil {
				t.Error(err)
			}
			exec(t, db, "DROP TABLE dialog") // which is not needed
		})
		time.Sleep(time.Minute)
		outside(func() {
			for _, table := range []string{"acc", "missed_calls"} {
				wantRows(t, db, "SELECT CONCAT_WS(' ', LEFT(callid, 5), sip_code, LEFT(sip_reason, 11)) FROM "+table, "xxxxx 486 Frühstück 🥐")
			}
		})
	})
}

// TestCheckAll_Calls: a proxy that would write to tables that are not there does
// not pass, and leaves no trace.
func TestCheckAll_Calls(t *testing.T) {
	server := mysqltest.New(t)
	db := server.DB(t)
	createTables(t, db)
	dir := filepath.Join(t.TempDir(), "spool")
	check := func(to string) error {
		yaml := fmt.Sprintf("database: %q\nstore: memory\ncache: {spool: %q}\nacct: {to: %s}\n%s", server.Config(t, db).FormatDSN(), dir, to, threeTenants)
		return checkAll(t.Context(), parseConfig(t, yaml), slog.New(slog.DiscardHandler))
	}
	if err := check("auto"); !errors.Is(err, mysqlacct.ErrSchema) {
		t.Errorf("got %v", err)
	}
	if err := check("json"); err != nil {
		t.Error(err)
	}
	if err := mysqlacct.Create(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if err := check("auto"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the spool: %v", err)
	}
}

// newOutside returns what calls a function outside of the bubble that the test
// will be in, where it may begin what goes on after that.
func newOutside(t testing.TB) func(f func()) {
	calls, done := make(chan func()), make(chan struct{})
	go func() {
		for f := range calls {
			f()
			done <- struct{}{}
		}
	}()
	t.Cleanup(func() { close(calls) })
	return func(f func()) {
		calls <- f
		<-done
	}
}

// wantRows checks the rows of a query for one text.
func wantRows(t testing.TB, db *sql.DB, query string, want ...string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		got = append(got, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", query, diff)
	}
}
