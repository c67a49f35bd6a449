package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/acct"
	"github.com/sipward/sipward/internal/siptestx"
)

// ledger is what the records of a world are written in. It outlives the proxies.
type ledger struct {
	w       *world
	dir     string        // of the journals
	timeout time.Duration // for calls without a sign of life

	mu      sync.Mutex
	alive   int // number of the proxy whose records count
	err     error
	records []acct.Record
	seen    map[string]bool // IDs of all
}

// inLedger is inWorld with a proxy that makes records of calls.
func inLedger(t *testing.T, yaml string, f func(w *world, l *ledger)) {
	t.Helper()
	dir := t.TempDir()
	inWorld(t, yaml, func(w *world) {
		w.ledger = &ledger{w: w, dir: dir, timeout: time.Hour, seen: map[string]bool{}}
		w.restart()
		f(w, w.ledger)
		w.ledger.want() // nothing more
	})
}

// under has p write to l.
func (l *ledger) under(p *Proxy) {
	l.w.Helper()
	l.mu.Lock()
	l.alive++
	number := l.alive
	l.mu.Unlock()
	c, err := newCalls(callsConfig{
		Dir: l.dir, DialogTimeout: l.timeout, Log: p.log,
		Sinks: sinks("ledger", func(_ context.Context, rs []acct.Record) error { return l.write(number, rs) }),
	})
	if err != nil {
		l.w.Fatal(err)
	}
	p.calls = c
}

// sinks are one sink.
func sinks(name string, f acct.SinkFunc) map[string]func() acct.Sink {
	return map[string]func() acct.Sink{name: func() acct.Sink { return f }}
}

func (l *ledger) write(number int, records []acct.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if number == l.alive {
		if l.err != nil {
			return l.err
		}
		l.records = append(l.records, records...)
	}
	return nil
}

// fail has the ledger take no records, or again.
func (l *ledger) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// kill replaces the proxy by one that finds on the disk what was there a moment
// before.
func (l *ledger) kill() {
	l.w.Helper()
	synctest.Wait()
	left := filepath.Join(filepath.Dir(l.dir), "left", time.Now().Format("150405.000000000"))
	if err := os.CopyFS(left, os.DirFS(l.dir)); err != nil {
		l.w.Fatal(err)
	}
	l.mu.Lock()
	l.alive++ // what the old one writes from now on does not count
	l.mu.Unlock()
	l.w.stop()
	l.dir = left
	l.w.start()
}

// want checks the records that were written since the last time.
func (l *ledger) want(want ...acct.Record) {
	l.w.Helper()
	synctest.Wait()
	l.mu.Lock()
	got := l.records
	l.records = nil
	l.mu.Unlock()
	for i := range got {
		if id := got[i].ID; len(id) != 32 || l.seen[id] {
			l.w.Errorf("the ID %q is there twice, or none", id)
		}
		l.seen[got[i].ID] = true
		got[i].ID = ""
	}
	addrs := cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
	if diff := cmp.Diff(slices.Clip(want), got, addrs); diff != "" {
		l.w.Errorf("records (-want +got):\n%s", diff)
	}
}

// dialed is a call, with the record that is to come of it.
type dialed struct {
	l              *ledger
	caller, callee *side
	invite         string           // as sent
	m              siptestx.Message // as it came
	acct.Record
}

// dial sends an INVITE, which must come to callee.
func (l *ledger) dial(caller, callee *side, invite string) *dialed {
	l.w.Helper()
	d := l.sent(caller, invite)
	d.callee, d.m = callee, callee.peer.Next()
	for d.m.Status() == 100 { // of a call of its own
		d.m = callee.peer.Next()
	}
	if d.m.Method() != "INVITE" {
		l.w.Fatalf("%v gets\n%s\nwant INVITE", callee.peer.Addr, d.m.Text)
	}
	callee.peer.Reply(d.m, 100, "")
	d.Attempts, d.Destination = 1, callee.peer.Addr
	return d
}

// sent sends an INVITE.
func (l *ledger) sent(caller *side, invite string) *dialed {
	l.w.Helper()
	d := &dialed{l: l, caller: caller, invite: invite}
	m := siptestx.Message{Text: invite}
	d.Record = acct.Record{
		CallID: m.Get("Call-ID"), FromTag: tagOf(m.Get("From")), FromURI: uriOf(m.Get("From")), ToURI: uriOf(m.Get("To")),
		SetID: 10, Domain: "a.test", Source: caller.peer.Addr, CallerAgent: m.Get("User-Agent"),
		Created: time.Now().UTC(),
	}
	if d.Source.Addr().Is4() && d.Source.Addr().As4()[0] == 10 { // a PBX
		d.Direction = acct.ToPhone
	}
	caller.peer.Send(caller.to, invite)
	return d
}

func tagOf(address string) string {
	return siptestx.Message{Text: "X\r\nTo: " + address + "\r\n\r\n"}.ToTag()
}

// outgoing has a phone call by a PBX.
func (l *ledger) outgoing(ph *phone, p *pbx) *dialed {
	l.w.Helper()
	callee := p.side()
	callee.contact = "sip:" + p.Addr.String()
	return l.dial(ph.side(), callee, ph.call("INVITE", "sip:402@"+ph.domain, "User-Agent: Yealink SIP-T46U"))
}

// incoming has a PBX call a phone that it knows as uri.
func (l *ledger) incoming(p *pbx, uri string, ph *phone) *dialed {
	l.w.Helper()
	return l.dial(p.side(), ph.side(), p.request("INVITE", uri))
}

// ring has the callee ring.
func (d *dialed) ring() {
	d.l.w.Helper()
	d.callee.peer.Reply(d.m, 180, "callee", "Contact: <"+d.callee.contact+">")
	d.l.w.answer(d.caller.peer, 180)
	d.Rang = time.Now().UTC()
}

// answer has the callee answer, and the caller acknowledge it.
func (d *dialed) answer(fields ...string) {
	d.l.w.Helper()
	d.accept("callee", fields...)
	d.caller.ack(d.callee)
}

// accept is answer without an ACK.
func (d *dialed) accept(tag string, fields ...string) {
	d.l.w.Helper()
	d.callee.peer.Reply(d.m, 200, tag, append([]string{"Contact: <" + d.callee.contact + ">", "User-Agent: callee's"}, fields...)...)
	got := d.l.w.answer(d.caller.peer, 200)
	c := d.caller
	c.learn(got, got.Get("From"), got.Get("To"))
	slices.Reverse(c.routes)
	fmt.Sscan(got.Get("CSeq"), &c.seq)
	d.callee.learn(d.m, got.Get("To"), got.Get("From"))
	d.callee.callID, c.callID = d.CallID, d.CallID
	d.Answered, d.Code, d.Reason = time.Now().UTC(), 200, "OK"
	d.ToTag, d.CalleeAgent = tag, "callee's"
}

// hangUp has one end the call.
func (d *dialed) hangUp(by *side) acct.Record {
	d.l.w.Helper()
	to, end := d.callee, acct.ByCaller
	if by == d.callee {
		to, end = d.caller, acct.ByCallee
	}
	by.exchange(to, "BYE")
	d.Cause, d.End, d.Ended = acct.Answered, end, time.Now().UTC()
	return d.Record
}

// fails is what the record is if the caller has just got a final response that
// it acknowledges.
func (d *dialed) fails(status int, cause acct.Cause) acct.Record {
	d.l.w.Helper()
	got := d.l.w.answer(d.caller.peer, status)
	d.caller.peer.Send(d.caller.to, d.l.w.another("ACK", d.invite, "To: "+got.Get("To")))
	d.Code, d.Reason, d.Cause, d.Ended = status, got.Start()[len("SIP/2.0 486 "):], cause, got.At.UTC()
	return d.Record
}

// refuse has the callee refuse.
func (d *dialed) refuse(status int, cause acct.Cause) acct.Record {
	d.l.w.Helper()
	d.callee.peer.Reply(d.m, status, "callee")
	d.callee.peer.Expect("ACK")
	return d.fails(status, cause)
}

// cancel has the caller hang up before anybody answers.
func (d *dialed) cancel() acct.Record {
	d.l.w.Helper()
	d.caller.peer.Send(d.caller.to, d.l.w.another("CANCEL", d.invite))
	d.l.w.answer(d.caller.peer, 200)
	d.callee.peer.Reply(d.callee.peer.Expect("CANCEL"), 200, "callee")
	return d.refuse(487, acct.Canceled)
}

var errLedger = errors.New("no room")
