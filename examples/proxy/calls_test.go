package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/acct"
	"github.com/sipward/sipward/examples/proxy/internal/metrics"
	"github.com/sipward/sipward/internal/simnet"
)

// TestCalls_Answered: calls of both directions, ended from either side, with all
// that a record has. What happens during the call does not change that. P-41.
func TestCalls_Answered(t *testing.T) {
	for _, by := range []string{"caller", "callee"} {
		for _, direction := range []string{"outgoing", "incoming"} {
			t.Run(direction+" "+by, func(t *testing.T) {
				inLedger(t, threeTenants, func(w *world, l *ledger) {
					ph := w.public("401", "a.test")
					uri := ph.at(w.a)
					var d *dialed
					if direction == "outgoing" {
						d = l.outgoing(ph, w.a)
					} else {
						d = l.incoming(w.a, uri, ph)
					}
					time.Sleep(time.Second)
					d.ring()
					time.Sleep(2 * time.Second)
					d.answer()
					time.Sleep(5 * time.Second)
					d.caller.exchange(d.callee, "INVITE")
					d.callee.exchange(d.caller, "UPDATE")
					d.callee.exchange(d.caller, "INFO")
					time.Sleep(71*time.Millisecond + 640*time.Microsecond)
					l.want()
					ends := map[string]*side{"caller": d.caller, "callee": d.callee}
					rec := d.hangUp(ends[by])
					l.want(rec)
					if rec.Setup() != 3*time.Second || rec.Milliseconds() != 5071 || rec.Seconds() != 6 {
						t.Errorf("setup %v, %d ms, %d s", rec.Setup(), rec.Milliseconds(), rec.Seconds())
					}
				})
			})
		}
	}
}

// TestCalls_BothLegs: a call between two phones is two calls of the PBX, each of
// which has its record. P-41.
func TestCalls_BothLegs(t *testing.T) {
	inLedger(t, threeTenants, func(w *world, l *ledger) {
		one, two := w.public("401", "a.test"), w.public("402", "a.test")
		one.at(w.a)
		uri := two.at(w.a)
		in := l.outgoing(one, w.a)
		out := l.incoming(w.a, uri, two)
		out.ring()
		in.ring()
		out.answer()
		in.answer()
		time.Sleep(time.Minute)
		first := in.hangUp(in.caller)
		l.want(first, out.hangUp(out.caller))
	})
}

// TestCalls_Source: the source of a phone behind NAT is what the proxy sees.
func TestCalls_Source(t *testing.T) {
	inLedger(t, threeTenants, func(w *world, l *ledger) {
		ph := w.behind(simnet.Symmetric, "401", "a.test")
		ph.at(w.a)
		d := l.outgoing(ph, w.a)
		d.Source = w.bound("401", "a.test")[0].Flow.Remote
		if d.Source == ph.Addr || !d.Source.IsValid() {
			t.Fatalf("the source is %v", d.Source)
		}
		l.want(d.refuse(486, acct.Busy))
	})
}

// TestCalls_Challenge: an INVITE that comes again with credentials is the same
// call, which began with the first. A challenge alone is none. P-22.
func TestCalls_Challenge(t *testing.T) {
	for _, status := range []int{401, 407} {
		inLedger(t, threeTenants, func(w *world, l *ledger) {
			ph := w.public("401", "a.test")
			ph.at(w.a)
			first := l.outgoing(ph, w.a)
			first.refuse(status, acct.Rejected)
			time.Sleep(time.Second)
			invite := strings.NewReplacer("CSeq: 1 ", "CSeq: 2 ", "branch=z9hG4bK", "branch=z9hG4bK-again").Replace(first.invite)
			d := l.dial(first.caller, first.callee, invite)
			d.Created = first.Created
			d.answer()
			time.Sleep(time.Second)
			l.want(d.hangUp(d.caller))

			given := l.outgoing(ph, w.a) // up
			given.refuse(status, acct.Rejected)
			time.Sleep(5 * time.Minute)
			l.want()
		})
	}
}

// TestCalls_Fork: of two phones one answers, or both at once, which makes two
// dialogs.
func TestCalls_Fork(t *testing.T) {
	for _, both := range []bool{false, true} {
		t.Run(fmt.Sprint(both), func(t *testing.T) {
			inLedger(t, threeTenants, func(w *world, l *ledger) {
				one, two := w.public("401", "a.test"), w.public("401", "a.test")
				two.contact = strings.Replace(two.contact, "x8kmhe6a", "second", 1)
				one.at(w.a)
				two.at(w.a)
				d := l.dial(w.a.side(), one.side(), w.a.request("INVITE", "sip:401@a.test"))
				d.Attempts = 2
				other := *d
				other.callee, other.m, other.Destination = two.side(), two.Expect("INVITE"), two.Addr
				other.caller = w.a.side()
				d.ring()
				other.ring()
				other.Rang = d.Rang
				d.accept("one")
				if !both {
					other.callee.peer.Reply(two.Expect("CANCEL"), 200, "two")
					two.Reply(other.m, 487, "two")
					two.Expect("ACK")
					d.caller.ack(d.callee)
					time.Sleep(time.Minute)
					l.want(d.hangUp(d.callee))
					return
				}
				cancel := two.Expect("CANCEL")
				other.accept("two")
				two.Reply(cancel, 200, "two")
				d.caller.ack(d.callee)
				other.caller.ack(other.callee)
				time.Sleep(time.Second)
				late := other.hangUp(other.caller)
				time.Sleep(time.Minute)
				l.want(late)
				l.want(d.hangUp(d.callee))
			})
		})
	}
}

// TestCalls_Failover: the PBX of the record is the one that took the call, after
// others were silent or said 503. P-34.
func TestCalls_Failover(t *testing.T) {
	inLedger(t, threeBoxes, func(w *world, l *ledger) {
		ph := w.public("401", "a.test")
		first := ph.home()
		first.host.BlackHole(true)
		d := l.sent(ph.side(), ph.call("INVITE", "sip:402@a.test"))
		time.Sleep(w.cfg.Timers.Branch)
		second, m := w.who("INVITE")
		second.Reply(m, 503, "pbx")
		second.Expect("ACK")
		third, m := w.who("INVITE")
		d.callee, d.m = third.side(), m
		d.callee.contact = "sip:" + third.Addr.String()
		d.Attempts, d.Destination = 3, third.Addr
		d.ring()
		d.answer()
		time.Sleep(time.Minute)
		l.want(d.hangUp(d.callee))
	})
}

// TestCalls_NoACK: a call whose 2xx is never acknowledged is one, and says so. An
// ACK without our Route counts. P-24.
func TestCalls_NoACK(t *testing.T) {
	inLedger(t, threeTenants, func(w *world, l *ledger) {
		ph := w.public("401", "a.test")
		ph.at(w.a)
		d := l.outgoing(ph, w.a)
		d.accept("callee")
		d.callee.peer.Reply(d.m, 200, "callee", "Contact: <"+d.callee.contact+">") // again
		w.answer(ph.Peer, 200)
		time.Sleep(20 * time.Second)
		rec := d.hangUp(d.callee)
		rec.NoACK = true
		l.want(rec)

		d = l.outgoing(ph, w.a)
		d.accept("callee")
		routes := d.caller.routes
		d.caller.routes = nil
		d.caller.ack(d.callee)
		d.caller.routes = routes
		l.want(d.hangUp(d.caller))
	})
}

// TestCalls_EarlyBye: a BYE that overtakes the 2xx ends the call all the same.
func TestCalls_EarlyBye(t *testing.T) {
	inLedger(t, threeTenants, func(w *world, l *ledger) {
		ph := w.public("401", "a.test")
		d := l.incoming(w.a, ph.at(w.a), ph)
		d.callee.peer.Reply(d.m, 180, "callee", "Contact: <"+d.callee.contact+">")
		got := w.answer(w.a.Peer, 180)
		d.Rang = time.Now().UTC()
		d.callee.learn(d.m, got.Get("To"), got.Get("From"))
		d.callee.callID = d.CallID
		d.callee.exchange(d.caller, "BYE")
		l.want()
		d.accept("callee")
		d.NoACK = true
		d.Cause, d.End, d.Ended = acct.Answered, acct.ByCallee, d.Answered
		l.want(d.Record)
	})
}

// TestCalls_ForgedBye: who does not prove the dialog ends no record.
func TestCalls_ForgedBye(t *testing.T) {
	inLedger(t, threeTenants, func(w *world, l *ledger) {
		ph := w.public("401", "a.test")
		d := l.incoming(w.a, ph.at(w.a), ph)
		d.answer()
		stranger := w.stranger()
		w.rejected(stranger, stranger.Request("BYE", "sip:401@a.test", "From: "+d.caller.local, "To: "+d.caller.remote, "Call-ID: "+d.CallID), 481)
		time.Sleep(time.Minute)
		l.want(d.hangUp(d.caller))
	})
}

// TestCalls_ByeToName: a BYE 40 minutes into the call reaches a PBX that has a
// name in its Contact, and closes the record. P-66.
func TestCalls_ByeToName(t *testing.T) {
	const yaml = `
tenants:
  - {setid: 10, domains: [a.test], destinations: [{uri: "sip:pbx.a.test"}]}
`
	inLedger(t, threeTenants, func(w *world, l *ledger) {
		z := zone{"pbx.a.test": {"10.0.1.10"}}
		w.reconfigure(z, yaml)
		ph := w.public("401", "a.test")
		ph.at(w.a)
		d := l.outgoing(ph, w.a)
		d.callee.contact = "sip:asterisk@pbx.a.test"
		d.answer()
		time.Sleep(40 * time.Minute)
		l.want(d.hangUp(d.caller))
	})
}

// TestCalls_LostBye: a call without a sign of life is closed after the timeout, or
// one and a half of its session interval if that is shorter, lasted until its last
// one, and is marked. P-67.
func TestCalls_LostBye(t *testing.T) {
	tests := []struct {
		name   string
		answer []string
		last   func(d *dialed)
		closed time.Duration // after the last sign of life
		end    acct.End
	}{
		{"timeout", nil, nil, time.Hour, acct.Timeout},
		{"a request in the dialog", nil, func(d *dialed) { d.callee.exchange(d.caller, "INFO") }, time.Hour, acct.Timeout},
		{"session", []string{"Session-Expires: 600;refresher=uac"}, nil, 15 * time.Minute, acct.SessionExpired},
		{"long session", []string{"x: 7200"}, nil, time.Hour, acct.Timeout},
		{"bad session", []string{"Session-Expires: soon"}, nil, time.Hour, acct.Timeout},
		{"refreshed by the caller", []string{"Session-Expires: 600"}, func(d *dialed) { refresh(d.caller, d.callee, "UPDATE", "1200") }, 30 * time.Minute, acct.SessionExpired},
		{"refreshed by the callee", []string{"Session-Expires: 600"}, func(d *dialed) { refresh(d.callee, d.caller, "INVITE", "1200") }, 30 * time.Minute, acct.SessionExpired},
		{"not any more", []string{"Session-Expires: 600"}, func(d *dialed) { d.caller.exchange(d.callee, "UPDATE") }, time.Hour, acct.Timeout},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inLedger(t, threeTenants, func(w *world, l *ledger) {
				ph := w.public("401", "a.test")
				d := l.incoming(w.a, ph.at(w.a), ph)
				d.answer(tt.answer...)
				time.Sleep(5 * time.Minute)
				d.Ended = d.Answered
				if tt.last != nil {
					tt.last(d)
					d.Ended = time.Now().UTC()
				}
				time.Sleep(tt.closed - time.Since(d.Ended) - time.Second)
				l.want()
				time.Sleep(3 * time.Second)
				d.Cause, d.End = acct.Lost, tt.end
				l.want(d.Record)
			})
		})
	}
}

// refresh refreshes the session from one side.
func refresh(s, to *side, method, seconds string) {
	s.w.Helper()
	m := s.send(to, method, "Session-Expires: "+seconds)
	to.peer.Reply(m, 200, "", "Contact: <"+to.contact+">", "Session-Expires: "+seconds)
	s.w.answer(s.peer, 200)
	if method == "INVITE" {
		s.ack(to)
	}
}

// TestCalls_Off: a proxy that tells nobody of calls does the same but for the records.
func TestCalls_Off(t *testing.T) {
	inWorld(t, "acct: {to: off}\nlog: {calls: off}"+threeTenants, func(w *world) {
		if w.proxy.calls != nil || len(w.proxy.parts()) != 3 || w.proxy.view().Calls != nil {
			t.Error("there are calls")
		}
		ph := w.public("401", "a.test")
		conversation(callIn(w.a, ph.at(w.a), ph))
	})
}

// TestCalls_Told: /readyz and /debug/state tell how the records do.
func TestCalls_Told(t *testing.T) {
	inLedger(t, threeTenants, func(w *world, l *ledger) {
		ph := w.public("401", "a.test")
		uri := ph.at(w.a)
		told := func(want string) {
			t.Helper()
			synctest.Wait()
			parts := w.proxy.parts()
			if got := parts[len(parts)-1]; got.name != "calls" || !got.ready || got.detail != want {
				t.Errorf("got %+v, want %s", got, want)
			}
		}
		told("0 open")
		d := l.incoming(w.a, uri, ph)
		d.answer()
		told("1 open")
		l.fail(errLedger)
		first := d.hangUp(d.caller)
		told("0 open, 1 records wait for ledger")
		second := l.incoming(w.a, uri, ph).refuse(486, acct.Busy)
		told("0 open, 2 records wait for ledger")
		if v := w.proxy.view().Calls; v.Recorded[acct.Busy] != 1 || v.Sinks["ledger"].Queued != 2 || v.Sinks["ledger"].Failures == 0 {
			t.Errorf("got %+v", v)
		}
		time.Sleep(time.Hour)
		l.fail(nil)
		time.Sleep(time.Minute)
		told("0 open")
		l.want(first, second)
		ph.at(w.a)
		l.fail(fmt.Errorf("not this one: %w", acct.ErrRejected))
		l.incoming(w.a, uri, ph).refuse(486, acct.Busy)
		told("0 open, 1 records lost by ledger")
	})
}

// TestOpenCalls_Quiet: calls are not followed for lines that nobody sees.
func TestOpenCalls_Quiet(t *testing.T) {
	cfg := parseConfig(t, "acct: {to: off}"+threeTenants)
	m, err := metrics.New(metrics.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for level, want := range map[slog.Level]bool{slog.LevelInfo: true, slog.LevelWarn: false} {
		log := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: level}))
		c, err := openCalls(cfg, nil, m, log)
		if err != nil || c != nil != want {
			t.Errorf("%v: %v, %v", level, c, err)
		}
		if err := c.close(); err != nil {
			t.Error(err)
		}
	}
}
