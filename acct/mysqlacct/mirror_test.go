package mysqlacct_test

import (
	"database/sql"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/acct"
	"github.com/sipward/sipward/acct/mysqlacct"
	"github.com/sipward/sipward/internal/mysqltest"
)

func mirror(t *testing.T, db *sql.DB, node string) *mysqlacct.Mirror {
	t.Helper()
	m, err := mysqlacct.NewMirror(t.Context(), db, mysqlacct.MirrorConfig{Node: node})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func syncCalls(t *testing.T, m *mysqlacct.Mirror, calls ...acct.Record) {
	t.Helper()
	if err := m.Sync(t.Context(), slices.Values(calls)); err != nil {
		t.Fatal(err)
	}
}

func wantDialogs(t *testing.T, db *sql.DB, want string) {
	t.Helper()
	got := value(t, db, "SELECT COALESCE(GROUP_CONCAT(callid, ' ', state, ' ', start_time ORDER BY callid SEPARATOR ', '), '') FROM dialog")
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// state is a record of a call that is open: with the state that the table has
// for it.
func state(n, state int) acct.Record {
	r := call(n)
	r.CallID = strings.TrimSuffix(r.CallID, "@10.1.2.3")
	r.Ended, r.NoACK = time.Time{}, state == 3
	if state < 3 {
		r.Answered, r.ToTag = time.Time{}, ""
	}
	if state < 2 {
		r.Rang = time.Time{}
	}
	return r
}

// R7.7: the table has the calls that are open, in the states that dashboards
// ask for.
func TestMirror_Sync(t *testing.T) {
	db := create(t, mysqltest.DB(t))
	exec(t, db, `INSERT INTO dialog (dlg_id, callid, from_uri, from_tag, to_uri, to_tag, caller_cseq, callee_cseq, caller_ping_cseq,
		callee_ping_cseq, caller_sock, callee_sock, state, start_time, timeout, vars) VALUES (1, 'theirs', '', '', '', '', '', '', 0, 0, '', '', 4, 1, 1, 'x')`)
	m := mirror(t, db, "")
	syncCalls(t, m)
	wantDialogs(t, db, "theirs 4 1")
	syncCalls(t, m, state(1, 1), state(2, 2), state(3, 3), state(4, 4))
	wantDialogs(t, db, "call-1 1 1795367045, call-2 2 1795367045, call-3 3 1795367048, call-4 4 1795367048, theirs 4 1")
	exec(t, db, "UPDATE dialog SET callee_contact = 'not ours'")
	syncCalls(t, m, state(1, 3), state(2, 2), state(3, 4))
	wantDialogs(t, db, "call-1 3 1795367048, call-2 2 1795367045, call-3 4 1795367048, theirs 4 1")
	if tag := value(t, db, "SELECT to_tag FROM dialog WHERE callid = 'call-1'"); tag != "as5d" {
		t.Errorf("got tag %q", tag)
	}

	other := mirror(t, db, "two")
	syncCalls(t, other, state(5, 4))
	m = mirror(t, db, "") // what the last program has left
	syncCalls(t, m, state(3, 4))
	wantDialogs(t, db, "call-3 4 1795367048, call-5 4 1795367048, theirs 4 1")
	syncCalls(t, m)
	syncCalls(t, other)
	wantDialogs(t, db, "theirs 4 1")
}

// After a failure the table is read again.
func TestMirror_SyncFails(t *testing.T) {
	db := create(t, mysqltest.DB(t))
	m := mirror(t, db, "")
	syncCalls(t, m, state(1, 4))
	exec(t, db, "RENAME TABLE dialog TO away")
	if err := m.Sync(t.Context(), slices.Values([]acct.Record{state(2, 4)})); err == nil {
		t.Error("there was no error")
	}
	exec(t, db, "RENAME TABLE away TO dialog")
	exec(t, db, "DELETE FROM dialog")
	syncCalls(t, m, state(1, 4), state(2, 4))
	wantDialogs(t, db, "call-1 4 1795367048, call-2 4 1795367048")
}

func TestMirror_SyncManyAndHostile(t *testing.T) {
	db := create(t, mysqltest.DB(t))
	exec(t, db, "ALTER TABLE dialog CONVERT TO CHARACTER SET latin1")
	m := mirror(t, db, "")
	var all []acct.Record
	for i := range 1234 {
		r := state(i, 4)
		r.CallID += strings.Repeat("'\U0001F600\x00\xff", 512)
		r.FromTag, r.ToTag, r.FromURI, r.ToURI = r.CallID, r.CallID, r.CallID, r.CallID
		all = append(all, r)
	}
	syncCalls(t, m, all...)
	if n := value(t, db, "SELECT COUNT(*) FROM dialog"); n != "1234" {
		t.Errorf("got %s rows", n)
	}
	syncCalls(t, m, all[:3]...)
	if n := value(t, db, "SELECT COUNT(*) FROM dialog"); n != "3" {
		t.Errorf("got %s rows", n)
	}
}

func TestNewMirror_ErrSchema(t *testing.T) {
	db := create(t, mysqltest.DB(t))
	exec(t, db, "ALTER TABLE dialog DROP start_time")
	if _, err := mysqlacct.NewMirror(t.Context(), db, mysqlacct.MirrorConfig{}); err == nil || !strings.Contains(err.Error(), "start_time") {
		t.Errorf("got error %v", err)
	}
}
