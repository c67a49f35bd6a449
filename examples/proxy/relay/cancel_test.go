package relay_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/internal/siptestx"
)

// hangUp sends the CANCEL for an INVITE of the phone, and expects its 200.
func (w *world) hangUp(invite string, fields ...string) siptestx.Message {
	w.Helper()
	w.phone.Send(proxyAddr, another("CANCEL", invite, fields...))
	return w.phone.Status(200)
}

// R23: the CANCEL is answered at once and passed on, with its Reasons (P-60);
// the 487 is the callee's. A repeated one is answered and goes no further.
func TestCancel(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		w.forward(groups(pbx))
		invite := w.send("INVITE")
		w.phone.Status(100)
		m := pbx.Expect("INVITE")
		pbx.Reply(m, 180, "callee")
		w.phone.Status(180)
		start := time.Now()
		reasons := []string{"Reason: Q.850;cause=16", `Reason: SIP;cause=487;text="a, b"`}
		first := w.hangUp(invite, reasons...)
		again := w.hangUp(invite, reasons...)
		if again.Text != first.Text || first.At != start || first.Get("CSeq") != "1 CANCEL" {
			w.Errorf("the CANCELs are answered with\n%s\n%s", first.Text, again.Text)
		}
		c := pbx.Expect("CANCEL")
		if got := c.All("Reason"); len(got) != 2 || got[0] != "Q.850;cause=16" || got[1] != `SIP;cause=487;text="a, b"` || c.Branch() != m.Branch() {
			w.Errorf("the PBX gets\n%s", c.Text)
		}
		pbx.Reply(c, 200, "callee")
		pbx.Silent(400 * time.Millisecond)
		pbx.Reply(m, 487, "callee")
		pbx.Expect("ACK")
		answer := w.phone.Status(487)
		if answer.ToTag() != "callee" {
			w.Errorf("the phone gets\n%s", answer.Text)
		}
		w.ack(invite, answer)
		w.hangUp(invite) // too late for anything
		w.phone.Silent(time.Minute)
		pbx.Silent(0)
		if got := w.results(); len(got) != 1 || got[0].Status != 487 || got[0].Target == nil {
			w.Errorf("results %+v, want the callee's 487", got)
		}
	})
}

// A Contact may have been registered with header fields, which are no part of a
// Request-URI (RFC 3261 section 16.6 step 2): a call there can be canceled.
func TestCancel_ContactWithHeaders(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		p := groups(pbx)
		p.Targets[0][0].RequestURI = "sip:401@203.0.113.20;line=x?subject=y"
		w.forward(p)
		invite := w.send("INVITE")
		w.phone.Status(100)
		m := pbx.Expect("INVITE")
		pbx.Reply(m, 180, "a")
		w.phone.Status(180)
		w.hangUp(invite)
		c := pbx.Expect("CANCEL")
		if c.URI() != "sip:401@203.0.113.20;line=x" || m.URI() != c.URI() {
			w.Errorf("the phone gets\n%s\n%s", m.Text, c.Text)
		}
		pbx.Reply(c, 200, "a")
		pbx.Reply(m, 487, "a")
		pbx.Expect("ACK")
		w.ack(invite, w.phone.Status(487))
	})
}

// R23: a CANCEL before any provisional response waits for one.
func TestCancel_BeforeProvisional(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		w.forward(groups(pbx))
		invite := w.send("INVITE")
		w.phone.Status(100)
		w.hangUp(invite, "Reason: SIP;cause=200")
		m := pbx.Expect("INVITE")
		if again := pbx.Next(); again.Text != m.Text { // it is not canceled, so it is sent again
			w.Errorf("the PBX gets\n%s", again.Text)
		}
		pbx.Reply(m, 100, "")
		c := pbx.Expect("CANCEL")
		if c.Get("Reason") != "SIP;cause=200" {
			w.Errorf("the PBX gets\n%s", c.Text)
		}
		pbx.Reply(c, 200, "a")
		pbx.Reply(m, 487, "a")
		pbx.Expect("ACK")
		w.ack(invite, w.phone.Status(487))
		w.phone.Silent(time.Minute)
	})
}

// R23: if the callee answers as the CANCEL is under way, that is the answer,
// and there is no 487.
func TestCancel_Glare(t *testing.T) {
	for _, status := range []int{200, 486} {
		for _, provisional := range []bool{true, false} {
			run(t, func(w *world) {
				pbx := w.server()
				w.forward(groups(pbx))
				invite := w.send("INVITE")
				w.phone.Status(100)
				m := pbx.Expect("INVITE")
				if provisional {
					pbx.Reply(m, 100, "")
				}
				synctest.Wait()
				w.hangUp(invite)
				pbx.Reply(m, status, "callee")
				answer := w.phone.Status(status)
				if answer.ToTag() != "callee" {
					w.Errorf("the phone gets\n%s", answer.Text)
				}
				if status != 200 {
					w.ack(invite, answer)
				}
				for _, got := range pbx.Collect(100 * time.Millisecond) {
					if got.Method() == "CANCEL" && provisional {
						pbx.Reply(got, 481, "callee")
					} else if got.Method() != "ACK" {
						w.Errorf("the PBX gets\n%s", got.Text)
					}
				}
				w.phone.Silent(time.Minute)
			})
		}
	}
}

// A callee that never answers its CANCEL is given up after 64*T1, one that was
// silent from the start as without the CANCEL.
func TestCancel_NoAnswer(t *testing.T) {
	for _, rings := range []bool{true, false} {
		run(t, func(w *world) {
			pbx := w.server()
			w.forward(groups(pbx))
			start := time.Now()
			invite := w.send("INVITE")
			w.phone.Status(100)
			m := pbx.Expect("INVITE")
			want := 8 * time.Second
			if rings {
				pbx.Reply(m, 180, "a")
				w.phone.Status(180)
				want = 32 * time.Second
			}
			w.hangUp(invite)
			answer := w.phone.Status(487)
			if got := answer.At.Sub(start).Truncate(100 * time.Millisecond); got != want {
				w.Errorf("487 after %v, want %v", got, want)
			}
			w.ack(invite, answer)
			w.phone.Silent(time.Minute)
		})
	}
}

// R23: there must be something to cancel.
func TestCancel_NoInvite(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		w.forward(groups(pbx))
		options := w.send("OPTIONS")
		for _, text := range []string{
			another("CANCEL", w.phone.Request("INVITE", "sip:401@a.example")),
			another("CANCEL", strings.ReplaceAll(options, "OPTIONS", "INVITE")), // CANCEL is for INVITE only
		} {
			w.phone.Send(proxyAddr, text)
			w.phone.Expect("SIP/2.0 481 Call/Transaction Does Not Exist")
			w.phone.Send(proxyAddr, text)
			w.phone.Status(481)
		}
		m := pbx.Expect("OPTIONS")
		pbx.Reply(m, 200, "a")
		w.phone.Status(200)
		pbx.Silent(time.Minute)
	})
}

// A CANCEL of a request that the policy holds back ends it; the policy's late
// decision changes nothing, but its plan is told.
func TestCancel_WhileHeld(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		var held []*relay.Context
		w.onRoute(func(c *relay.Context) { held = append(held, c) })
		invite := w.send("INVITE")
		w.phone.Status(100)
		w.hangUp(invite)
		w.ack(invite, w.phone.Expect("SIP/2.0 487 Request Terminated"))
		synctest.Wait()
		c := held[0]
		c.Retry()
		if len(held) != 1 {
			w.Error("the policy was asked for a canceled request")
		}
		p := groups(pbx)
		p.Ended = w.ended
		c.Forward(p)
		c.Reply(404, "Not Found")
		c.Refuse(404, "Not Found")
		c.Drop()
		if got := w.results(); len(got) != 1 || got[0].Status != 487 || got[0].Attempts != 0 {
			w.Errorf("results %+v, want 487", got)
		}
		w.phone.Silent(time.Minute)
		pbx.Silent(0)
	})
}

// A CANCEL that comes after the 2xx is answered, and does nothing.
func TestCancel_TooLate(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		w.forward(groups(pbx))
		invite := w.send("INVITE")
		w.phone.Status(100)
		pbx.Reply(pbx.Expect("INVITE"), 200, "a")
		w.phone.Status(200)
		w.hangUp(invite)
		w.hangUp(invite)
		pbx.Silent(time.Minute)
		w.phone.Silent(0)
	})
}

// A CANCEL ends a serial fork: no next group is tried.
func TestCancel_Serial(t *testing.T) {
	run(t, func(w *world) {
		a, b := w.server(), w.server()
		w.forward(groups(a, b))
		invite := w.send("INVITE")
		w.phone.Status(100)
		m := a.Expect("INVITE")
		a.Reply(m, 180, "a")
		w.phone.Status(180)
		w.hangUp(invite)
		a.Expect("CANCEL")
		a.Reply(m, 486, "a")
		w.ack(invite, w.phone.Status(486))
		b.Silent(time.Minute)
	})
}

// P-60: a CANCEL of a fork reaches all branches with its Reason; of the answers
// the caller gets the 487.
func TestCancel_Fork(t *testing.T) {
	run(t, func(w *world) {
		a, b, c := w.server(), w.server(), w.server()
		w.forward(relay.Plan{Targets: [][]relay.Target{group(a, b, c)}})
		invite := w.send("INVITE")
		w.phone.Status(100)
		ma, mb, mc := a.Expect("INVITE"), b.Expect("INVITE"), c.Expect("INVITE")
		a.Reply(ma, 404, "a")
		a.Expect("ACK")
		b.Reply(mb, 180, "b")
		c.Reply(mc, 180, "c")
		w.phone.Status(180)
		w.phone.Status(180)
		w.hangUp(invite, `Reason: SIP;cause=200;text="Call completed elsewhere"`)
		for p, m := range map[*siptestx.Peer]siptestx.Message{b: mb, c: mc} {
			cancel := p.Expect("CANCEL")
			if cancel.Get("Reason") != `SIP;cause=200;text="Call completed elsewhere"` {
				w.Errorf("a branch gets\n%s", cancel.Text)
			}
			p.Reply(cancel, 200, "x")
			p.Reply(m, 487, "x")
			p.Expect("ACK")
		}
		answer := w.phone.Status(487)
		if answer.ToTag() != "x" {
			w.Errorf("the phone gets\n%s", answer.Text)
		}
		w.ack(invite, answer)
		a.Silent(time.Minute)
	})
}
