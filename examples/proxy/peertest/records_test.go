package peertest

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/internal/mysqltest"
)

// record is what a table has of a call.
type record struct {
	callID, code, cause, end string
}

// records returns what a table has of calls, in the order of their Call-IDs.
func (d *database) records(table string) []record {
	d.t.Helper()
	found, err := d.db.QueryContext(d.t.Context(), "SELECT callid, sip_code, cause, end_reason FROM "+table+" ORDER BY callid, id")
	if err != nil {
		d.t.Fatal(err)
	}
	defer found.Close()
	all := []record{}
	for found.Next() {
		var r record
		if err := found.Scan(&r.callID, &r.code, &r.cause, &r.end); err != nil {
			d.t.Fatal(err)
		}
		all = append(all, r)
	}
	if err := found.Err(); err != nil {
		d.t.Fatal(err)
	}
	return all
}

// wantRecords waits until the table acc has a row for each of these calls, and
// missed_calls one for each that was not answered, and sees that there are no
// other ones and that the operator's command is content.
func (d *database) wantRecords(want ...record) {
	d.t.Helper()
	slices.SortFunc(want, func(a, b record) int { return strings.Compare(a.callID, b.callID) })
	missed := slices.DeleteFunc(slices.Clone(want), func(r record) bool { return r.code == "200" })
	if !holds(3*patience, func() bool { return len(d.records("acc")) >= len(want) }) {
		d.t.Errorf("not all records come within %v", 3*patience)
	}
	if diff := cmp.Diff(want, d.records("acc"), cmp.AllowUnexported(record{})); diff != "" {
		d.t.Errorf("table acc (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(missed, d.records("missed_calls"), cmp.AllowUnexported(record{})); diff != "" {
		d.t.Errorf("table missed_calls (-want +got):\n%s", diff)
	}
	d.command("verify-cdr")
}

// settles waits until all that has become of calls outlives a kill: what is
// written behind it to the journal is, and nothing has been for a while. That is a
// call that ends with a challenge and therefore is none.
func (a *asterisk) settles(contact string, h *peer, spool string) {
	a.t.Helper()
	call := a.dial(contact)
	h.reply(h.expect("INVITE"), 401, `WWW-Authenticate: Digest realm="phone",nonce="1"`)
	call.refused(call.expect("401 INVITE"))
	h.expect("ACK")
	size, quiet := 0, 0
	eventually(a.t, "a call is in the journal", func() bool {
		found, now := false, 0
		err := filepath.WalkDir(filepath.Join(spool, "calls"), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			found, now = found || bytes.Contains(b, []byte(call.callID)), now+len(b)
			return err
		})
		if quiet++; now != size || err != nil || !found {
			size, quiet = now, 0
		}
		return quiet == 40
	})
}

// The proxy is killed while a call is up and another one rings. What is up ends
// with its BYE, and lasted from its answer to there; what rang is missed, which
// takes half a minute to be sure of. Each has one record, after another kill too.
func TestCallsOutliveTheProxy(t *testing.T) {
	t.Parallel()
	s, d, spool := newSite(t), newDatabase(t), t.TempDir()
	p := s.start(settings{lines: d.shared(spool, 0)})
	a, h := s.asterisk("PBX", s.pbx(0)), s.udp("phone", s.phone(0))
	h.register("401", domain(0), "secret")
	contact := a.contact("401")

	earliest := time.Now()
	caller, _ := a.takes(contact, h)
	latest := time.Now()
	rings := a.dial(contact)
	h.reply(h.expect("INVITE"), 180)
	rings.expect("180 INVITE")
	a.settles(contact, h, spool)
	p.crash()
	p.run()

	earliestEnd := time.Now()
	caller.request("BYE")
	h.reply(h.expect("BYE"), 200)
	caller.expect("200 BYE")
	latestEnd := time.Now()
	want := []record{{caller.callID, "200", "answered", "caller"}, {rings.callID, "408", "timed_out", "restarted"}}
	d.wantRecords(want...)

	var ms int64
	if err := d.db.QueryRowContext(t.Context(), "SELECT ms_duration FROM acc WHERE callid = ?", caller.callID).Scan(&ms); err != nil {
		t.Fatal(err)
	}
	least, most := earliestEnd.Sub(latest).Milliseconds(), latestEnd.Sub(earliest).Milliseconds()+1
	if ms < least || ms > most {
		t.Errorf("the call lasted %d ms, want %d to %d", ms, least, most)
	}
	p.crash() // again, when all is said and done
	p.run()
	p.stop()
	d.wantRecords(want...)
}

// The database goes away while calls are up, and comes back after more of them.
// Each has one record.
func TestRecordsOutliveAnOutage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		end   func(*mysqltest.Server, testing.TB)
		kill  bool   // the proxy, too
		shown string // Contact of the phone
	}{
		{"stopped", (*mysqltest.Server).Stop, false, ""},
		{"killed", (*mysqltest.Server).Kill, false, ""},
		{"killed, and the proxy", (*mysqltest.Server).Kill, true, "sip:401@" + private},
		{"killed, and the proxy, phone is public", (*mysqltest.Server).Kill, true, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, d, spool := newSite(t), newDatabase(t), t.TempDir()
			p := s.start(settings{lines: d.shared(spool, 0)})
			p.complains = true
			a, h := s.asterisk("PBX", s.pbx(0)), s.udp("phone", s.phone(0))
			h.shown = tt.shown
			h.register("401", domain(0), "secret")
			contact := a.contact("401")
			var want []record
			busy := func() {
				t.Helper()
				call := a.dial(contact)
				h.reply(h.expect("INVITE"), 486)
				call.refused(call.expect("486 INVITE"))
				h.expect("ACK")
				want = append(want, record{call.callID, "486", "busy", "unanswered"})
			}
			var up []*dialog
			takes := func() {
				t.Helper()
				caller, _ := a.takes(contact, h)
				up = append(up, caller)
			}
			hangsUp := func() {
				t.Helper()
				call := up[0]
				up = up[1:]
				call.request("BYE")
				h.reply(h.expect("BYE"), 200)
				call.expect("200 BYE")
				want = append(want, record{call.callID, "200", "answered", "caller"})
			}
			for range 3 {
				takes()
			}
			busy()
			hangsUp()
			tt.end(d.server, t)
			for range 10 {
				takes()
				busy()
				hangsUp()
			}
			if tt.kill {
				a.settles(contact, h, spool)
				p.crash()
				p.boot()
			}
			hangsUp()
			d.server.Start(t)
			p.becomesReady()
			hangsUp()
			d.wantRecords(want...)
		})
	}
}
