package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sipward/sipward/acct"
	"github.com/sipward/sipward/internal/simnet"
)

// TestCalls_Unanswered: calls to and from phones that nobody answers, each once,
// with what the caller was told. Those to a phone are missed calls. P-40 P-41.
func TestCalls_Unanswered(t *testing.T) {
	tests := []struct {
		name string
		end  func(l *ledger, d *dialed) acct.Record
	}{
		{"busy", func(_ *ledger, d *dialed) acct.Record { return d.refuse(486, acct.Busy) }},
		{"busy everywhere", func(_ *ledger, d *dialed) acct.Record { return d.refuse(600, acct.Busy) }},
		{"declined", func(_ *ledger, d *dialed) acct.Record { d.ring(); return d.refuse(603, acct.Rejected) }},
		{"moved", func(_ *ledger, d *dialed) acct.Record { return d.refuse(302, acct.Rejected) }},
		{"unavailable", func(_ *ledger, d *dialed) acct.Record { return d.refuse(480, acct.NoAnswer) }},
		{"failed", func(_ *ledger, d *dialed) acct.Record { return d.refuse(500, acct.Failed) }},
		{"canceled", func(_ *ledger, d *dialed) acct.Record {
			d.ring()
			time.Sleep(10 * time.Second)
			return d.cancel()
		}},
		{"canceled at once", func(_ *ledger, d *dialed) acct.Record { return d.cancel() }},
		{"canceled twice, refused", func(_ *ledger, d *dialed) acct.Record {
			for range 2 {
				d.caller.peer.Send(d.caller.to, d.l.w.another("CANCEL", d.invite))
				d.l.w.answer(d.caller.peer, 200)
			}
			d.callee.peer.Reply(d.callee.peer.Expect("CANCEL"), 200, "callee")
			return d.refuse(486, acct.Canceled)
		}},
		{"rings for too long", func(l *ledger, d *dialed) acct.Record {
			d.ring()
			time.Sleep(l.w.cfg.Timers.C)
			d.callee.peer.Reply(d.callee.peer.Expect("CANCEL"), 200, "callee")
			return d.refuse(487, acct.NoAnswer)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inLedger(t, threeTenants, func(w *world, l *ledger) {
				ph := w.public("401", "a.test")
				uri := ph.at(w.a)
				out := tt.end(l, l.outgoing(ph, w.a))
				l.want(out)
				time.Sleep(time.Minute) // the phone's transactions are over
				in := tt.end(l, l.incoming(w.a, uri, ph))
				l.want(in)
				if out.Missed() || !in.Missed() || in.Duration() != 0 {
					t.Error("the one to the phone is the missed one, and has no duration")
				}
			})
		})
	}
}

// TestCalls_CancelGlare: a 2xx that crosses the CANCEL wins.
func TestCalls_CancelGlare(t *testing.T) {
	inLedger(t, threeTenants, func(w *world, l *ledger) {
		ph := w.public("401", "a.test")
		d := l.incoming(w.a, ph.at(w.a), ph)
		d.ring()
		w.a.Send(w.at, w.another("CANCEL", d.invite))
		w.answer(w.a.Peer, 200)
		d.callee.peer.Reply(d.callee.peer.Expect("CANCEL"), 200, "callee")
		d.answer()
		time.Sleep(time.Second)
		l.want(d.hangUp(d.caller))
	})
}

// TestCalls_Silent: a phone that answers nothing, and PBXes that do not.
func TestCalls_Silent(t *testing.T) {
	inLedger(t, threeBoxes, func(w *world, l *ledger) {
		ph := w.public("401", "a.test")
		home := ph.home()
		ph.host.BlackHole(true)
		in := l.sent(home.side(), home.request("INVITE", home.contacts["401"][0]))
		in.Attempts, in.Destination = 1, ph.Addr
		l.want(in.fails(408, acct.TimedOut))
		time.Sleep(time.Minute) // the INVITE is not repeated any more
		ph.host.BlackHole(false)
		ds, err := w.proxy.sets.Select(10, "401@a.test", nil)
		if err != nil {
			t.Fatal(err)
		}
		last := w.proxy.state.Load().hops[ds[2].URI].remote
		for _, p := range []*pbx{w.a, w.b, w.c} {
			p.host.BlackHole(true)
		}
		out := l.sent(ph.side(), ph.call("INVITE", "sip:402@a.test"))
		out.Attempts, out.Destination = 3, last
		l.want(out.fails(503, acct.Failed))
	})
}

// TestCalls_Refused: what the proxy itself refuses is recorded too, once however
// often the INVITE is repeated. P-40.
func TestCalls_Refused(t *testing.T) {
	const yaml = `
tenants:
  - {setid: 10, domains: [a.test], destinations: [{uri: "sip:10.0.1.10:5060"}]}
  - {setid: 20, domains: [b.test, also.test], destinations: [{uri: "sip:10.0.1.20:5060", state: 1}]}
`
	inLedger(t, yaml, func(w *world, l *ledger) {
		gone := w.overTCP("401", "a.test")
		uri := gone.at(w.a)
		gone.Close()
		time.Sleep(time.Second)
		l.want(l.sent(w.a.side(), w.a.request("INVITE", uri)).fails(480, acct.NoAnswer))
		l.want(l.sent(w.a.side(), w.a.request("INVITE", "sip:499@a.test")).fails(404, acct.Rejected))
		l.want(l.sent(w.a.side(), w.a.request("INVITE", uri+"x")).fails(404, acct.Rejected))
		l.want(l.sent(w.a.side(), w.a.request("INVITE", "sip:401@b.test")).fails(404, acct.Rejected)) // somebody else's

		ph := w.public("402", "also.test")
		d := l.sent(ph.side(), ph.call("INVITE", "sip:403@also.test"))
		d.SetID, d.Domain = 20, "also.test"
		l.want(d.fails(503, acct.Failed))

		d = l.sent(w.a.side(), w.a.request("INVITE", "sip:499@a.test")) // of which the answer is lost
		w.answer(w.a.Peer, 404)
		w.a.Send(w.at, d.invite)
		rec := d.fails(404, acct.Rejected)
		time.Sleep(time.Minute)
		rec.Ended = d.Created
		l.want(rec)
	})
}

// TestCalls_Ambiguous: a call of a PBX that could be for several tenants is no
// tenant's.
func TestCalls_Ambiguous(t *testing.T) {
	inLedger(t, sharedPBX, func(w *world, l *ledger) {
		w.public("401", "a.test").at(w.a)
		w.public("401", "b.test").at(w.a)
		d := l.sent(w.a.side(), w.a.request("INVITE", "sip:401@192.0.2.1"))
		d.SetID, d.Domain = 0, ""
		l.want(d.fails(404, acct.Rejected))
	})
}

// TestCalls_Nobodys: what strangers send is no call, nor what is dropped.
func TestCalls_Nobodys(t *testing.T) {
	for _, yaml := range []string{"security: {unknown_domain: 403}" + threeTenants, "lookup: {missing: silent}" + threeTenants} {
		inLedger(t, yaml, func(w *world, l *ledger) {
			x := w.stranger()
			for _, uri := range []string{"sip:100@192.0.2.1", "sip:100@elsewhere.test"} {
				invite := x.Request("INVITE", uri)
				x.Send(w.at, invite)
				if strings.HasPrefix(yaml, "security") {
					x.Send(w.at, w.another("ACK", invite, "To: "+w.answer(x, 403).Get("To")))
				}
			}
			if strings.HasPrefix(yaml, "lookup") {
				w.a.ask("INVITE", "sip:499@a.test")
			}
			w.silence()
			l.want()
		})
	}
}

// TestCalls_Held: an INVITE that waits for the REGISTER that it has overtaken is a
// call from its beginning, also if its caller gives up meanwhile. P-05.
func TestCalls_Held(t *testing.T) {
	for _, ends := range []string{"answered", "canceled", "missing"} {
		t.Run(ends, func(t *testing.T) {
			inLedger(t, threeTenants, func(w *world, l *ledger) {
				ph := w.behind(simnet.PortRestricted, "401", "a.test")
				ph.ask(ph.registerText())
				m := w.a.Expect("REGISTER")
				d := l.sent(w.a.side(), w.a.request("INVITE", uriOf(m.Get("Contact"))))
				w.a.Status(100)
				time.Sleep(holdTime / 4)
				if ends == "canceled" {
					w.a.Send(w.at, w.another("CANCEL", d.invite))
					w.a.Status(200)
					l.want(d.fails(487, acct.Canceled))
				}
				if ends == "missing" {
					w.a.Reply(m, 403, "pbx")
					ph.Status(403)
					l.want(d.fails(404, acct.Rejected))
					return
				}
				w.a.accept(m)
				ph.Status(200)
				if ends == "canceled" {
					return
				}
				d.callee, d.m = ph.side(), ph.Expect("INVITE")
				d.Attempts, d.Destination = 1, w.bound("401", "a.test")[0].Flow.Remote
				d.answer()
				l.want(d.hangUp(d.caller))
			})
		})
	}
}

// TestCalls_Unattributed: a call that is given up before it is known whose it is.
func TestCalls_Unattributed(t *testing.T) {
	inLedger(t, sharedPBX, func(w *world, l *ledger) {
		ph := w.public("401", "b.test")
		ph.ask(ph.registerText())
		m := w.a.Expect("REGISTER")
		d := l.sent(w.a.side(), w.a.request("INVITE", fmt.Sprintf("sip:401@%s", w.at)))
		w.a.Status(100)
		w.a.Send(w.at, w.another("CANCEL", d.invite))
		w.a.Status(200)
		d.SetID, d.Domain = 0, ""
		l.want(d.fails(487, acct.Canceled))
		w.a.accept(m)
		ph.Status(200)
	})
}
