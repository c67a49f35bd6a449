package peertest

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/internal/mysqltest"
)

// mix is calls of many kinds at the same time, of which both ends know what became.
type mix struct {
	s     *site
	d     *database
	proxy *proxyProcess
	board *asterisk // of the first tenant
	spare *peer     // a phone there that has no calls
	spool string
	times int // of each kind

	kinds   []*kind
	playing []*performance // one for each kind
}

// silence is when the mix takes a call without a sign of life for lost.
const silence = 15 * time.Second

func newMix(t *testing.T) *mix {
	t.Helper()
	s := newSite(t)
	m := &mix{s: s, d: newDatabase(t), spool: t.TempDir(), times: 10}
	all := tenants(4)
	all[3].pbxes = []string{fmt.Sprintf("{uri: \"sip:%v\", priority: 1}", s.pbx(3)), fmt.Sprintf("{uri: \"sip:%v\"}", s.pbx(4))}
	m.proxy = s.start(settings{tenants: all, lines: append(m.d.shared(m.spool, 0), "timers: {branch: 1s}",
		"dispatcher: {probe: never, algorithm: priority}", fmt.Sprintf("acct: {dialog_timeout: %v}", silence), quiet)})
	s.answers(s.pbx(3), 503) // so that the other one of its set has its calls
	m.board, m.spare = s.asterisk("PBX", s.pbx(0)), s.udp("spare", s.phone(0))
	m.spare.register("spare", domain(0), "secret")
	return m
}

// kinds are what there is. A phone that calls has a tenant for itself, as its PBX is a
// SIPp.
func kinds() []*kind {
	return []*kind{
		{name: "answered", cause: "answered", end: "caller", story: join(calls(pbx, phone), hangsUp(pbx, phone))},
		{name: "hung-up", cause: "answered", end: "callee", story: join(calls(pbx, phone), hangsUp(phone, pbx))},
		{name: "busy", cause: "busy", end: "unanswered", story: refusedWith(pbx, phone, 486)},
		{name: "declined", cause: "rejected", end: "unanswered", story: refusedWith(pbx, phone, 603)},
		{name: "canceled", cause: "canceled", end: "unanswered", story: canceled(pbx, phone)},
		{name: "unanswered", cause: "no_answer", end: "unanswered", story: refusedWith(pbx, phone, 480)},
		{name: "dead", cause: "timed_out", end: "unanswered", absent: true,
			story: story{pbx.sends("INVITE").sdp(), proxy.answers(408), pbx.sends("ACK")}},
		{name: "forked", cause: "answered", end: "callee", dials: "sip:forked@" + domain(0), story: join(calls(pbx, phone), hangsUp(phone, pbx))},
		{name: "unacknowledged", cause: "answered", end: "caller", story: join(
			story{pbx.sends("INVITE").sdp(), phone.answers(180), phone.answers(200).sdp()}, hangsUp(pbx, phone))},
		{name: "lost", cause: "lost", end: "timeout", story: calls(pbx, phone)},
		{name: "challenged", set: 1, cause: "answered", end: "caller", story: join(challenged(407), hangsUp(phone, pbx))},
		{name: "barred", set: 2, cause: "rejected", end: "unanswered", story: refusedWith(phone, pbx, 404)},
		{name: "moved", set: 3, cause: "answered", end: "callee", story: join(calls(phone, pbx), hangsUp(pbx, phone))},
	}
}

// long are calls that are up for a while, from both sides.
func long(d time.Duration) []*kind {
	of := func(from, to, ends actor) story {
		return join(calls(from, to), story{ends.sends("BYE").after(d), (1 - ends).answers(200)})
	}
	return []*kind{
		{name: "answered", cause: "answered", end: "caller", story: of(pbx, phone, pbx)},
		{name: "hung-up", cause: "answered", end: "callee", story: of(pbx, phone, phone)},
		{name: "outgoing", set: 1, cause: "answered", end: "caller", story: of(phone, pbx, phone)},
	}
}

// prepare has all phones that are called register, and then makes room for a SIPp.
func (m *mix) prepare(kinds []*kind) {
	m.s.t.Helper()
	m.kinds = kinds
	for i, k := range kinds {
		k.phoneAt = m.s.phone(1 + i)
		k.phoneEnd = &end{at: k.phoneAt, user: k.name, domain: domain(k.set), password: "secret", times: m.times}
		if k.outgoing() {
			at := m.s.pbx(k.set)
			if k.name == "moved" {
				at = m.s.pbx(4)
			}
			k.phoneEnd.dials = "sip:9@" + domain(k.set)
			k.pbxEnd = &end{at: at, user: "9", contact: "sip:" + at.String(), times: m.times}
			continue
		}
		h := m.s.udp(k.name, k.phoneAt)
		h.register(k.name, domain(0), "secret")
		k.phoneEnd.contact = h.contactOf(k.name)
		if k.dials == "" {
			k.dials = m.board.contact(k.name)
		} else {
			other := m.s.udp("other", m.s.phone(1+len(kinds)))
			other.register(k.name, domain(0), "secret")
			other.hesitates()
		}
		h.close()
		k.pbxEnd = &end{at: netip.AddrPortFrom(m.s.pbx(0).Addr(), uint16(5070+i)), user: "999", dials: k.dials, times: m.times}
		if k.absent {
			k.phoneEnd = nil
		}
	}
}

// hesitates lets a phone be too slow: it hears that another one has answered before it
// rings.
func (p *peer) hesitates() {
	invites := map[string]*message{}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.auto = func(m *message) bool {
		switch m.method() {
		case "INVITE":
			invites[m.get("Call-ID")] = m
			p.reply(m, 100)
		case "CANCEL":
			p.reply(m, 200)
			p.reply(invites[m.get("Call-ID")], 487)
		}
		return true
	}
}

// begin begins all calls.
func (m *mix) begin() {
	m.s.t.Helper()
	for _, k := range m.kinds {
		m.playing = append(m.playing, m.s.begin(k.story, k.phoneEnd, k.pbxEnd))
	}
}

// wait waits until all calls are over for both of their ends.
func (m *mix) wait() {
	m.s.t.Helper()
	for _, p := range m.playing {
		p.wait()
	}
}

// wantRecords compares the tables with what both ends know of each call, record by
// record.
func (m *mix) wantRecords() {
	t := m.s.t
	t.Helper()
	known, want, missed := map[string]*truth{}, map[string]cdr{}, map[string]cdr{}
	for i, k := range m.kinds {
		caller := k.story[0].from
		of := k.truths(m.playing[i].run(caller), m.playing[i].run(1-caller))
		if len(of) != m.times {
			t.Errorf("%s: %d calls, want %d", k.name, len(of), m.times)
		}
		for id, truth := range of {
			want[id], known[id] = truth.record, truth
			if !k.outgoing() && truth.record.code != "200" {
				missed[id] = truth.record
			}
		}
	}
	holds(silence+3*patience, func() bool { return m.d.count("acc") >= len(want) })
	for table, want := range map[string]map[string]cdr{"acc": want, "missed_calls": missed} {
		got, when := m.d.readRecords(table)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(cdr{})); diff != "" {
			t.Errorf("table %s (-want +got):\n%s", table, diff)
		}
		for _, id := range slices.Sorted(maps.Keys(got)) {
			if truth := known[id]; truth != nil {
				truth.check(t, when[id])
			}
		}
	}
	m.d.command("verify-cdr")
	log := m.proxy.errors.String()
	for id := range known { // P-78
		if lines, all := strings.Count(log, " call_id="+id+" from="), strings.Count(log, id+" "); lines != 1 || all > 3 {
			t.Errorf("the log has %d lines of %s when it was over, and %d in all", lines, id, all)
		}
	}
}

// run returns what an actor of the performance does; nil if it is not there.
func (p *performance) run(a actor) *sippRun {
	for _, r := range p.runs {
		if r.actor == a {
			return r
		}
	}
	return nil
}

// Calls of all kinds at the same time, each of which has one record that says what its
// two ends say: with whom it was, what became of it, and how long it was. Forks, calls
// that were moved to another PBX and those that were challenged are one call; a BYE that
// is lost and a 2xx that is not acknowledged are told. P-22 P-40 P-41 P-67 P-78.
func TestRecordsOfManyCalls(t *testing.T) {
	t.Parallel()
	m := newMix(t)
	m.prepare(kinds())
	m.begin()
	m.wait()
	m.wantRecords()
}

// The same with a database that is away while the calls are made.
func TestRecordsOfManyCallsInAnOutage(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*mysqltest.Server, testing.TB){"stopped": (*mysqltest.Server).Stop, "killed": (*mysqltest.Server).Kill} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMix(t)
			m.proxy.complains = true
			m.prepare(kinds())
			end(m.d.server, t)
			m.begin()
			m.wait()
			m.d.server.Start(t)
			m.wantRecords()
		})
	}
}

// The proxy is killed while calls are up. Their ends notice nothing, and each has one
// record.
func TestRecordsOfManyCallsOverARestart(t *testing.T) {
	t.Parallel()
	m := newMix(t)
	m.prepare(long(8 * time.Second))
	m.begin()
	for i, k := range m.kinds {
		callee := m.playing[i].run(1 - k.story[0].from)
		eventually(t, "calls of a kind are up", func() bool { return strings.Count(callee.read("msg"), "\nACK ") == m.times })
	}
	m.board.settles(m.board.contact("spare"), m.spare, m.spool)
	m.proxy.crash()
	m.proxy.run()
	m.wait()
	m.wantRecords()
}
