package relay_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/internal/siptestx"
)

// both returns two phones of a user, ringing for an INVITE of w.phone.
func (w *world) both(plan relay.Plan) (invite string, a, b *siptestx.Peer, ma, mb siptestx.Message) {
	w.Helper()
	a, b = w.server(), w.server()
	plan.Targets = [][]relay.Target{group(a, b)}
	w.forward(plan)
	invite = w.send("INVITE")
	w.phone.Status(100)
	ma, mb = a.Expect("INVITE"), b.Expect("INVITE")
	a.Reply(ma, 180, "a")
	b.Reply(mb, 180, "b")
	if x, y := w.phone.Status(180), w.phone.Status(180); x.ToTag() == y.ToTag() {
		w.Error("the 180s of both branches are one")
	}
	return invite, a, b, ma, mb
}

// P-60: who answers first wins; the others are canceled, so that they show no
// missed call.
func TestFork_LosersAreCanceled(t *testing.T) {
	run(t, func(w *world) {
		_, a, b, ma, mb := w.both(relay.Plan{})
		b.Reply(mb, 200, "b")
		cancel := a.Expect("CANCEL")
		if got := cancel.All("Reason"); len(got) != 1 || got[0] != `SIP;cause=200;text="Call completed elsewhere"` {
			w.Errorf("the loser gets\n%s", cancel.Text)
		}
		a.Reply(cancel, 200, "a")
		a.Reply(ma, 487, "a")
		a.Expect("ACK")
		w.phone.Status(200)
		w.phone.Silent(time.Minute)
		b.Silent(0)
	})
}

// RFC 3261 section 16.7 step 5: a 6xx ends the fork, but is passed on when all
// branches have ended only. A 2xx that is under way beats it.
func TestFork_6xx(t *testing.T) {
	for _, glare := range []bool{false, true} {
		run(t, func(w *world) {
			invite, a, b, ma, mb := w.both(relay.Plan{})
			start := time.Now()
			a.Reply(ma, 603, "a")
			a.Expect("ACK")
			if cancel := b.Expect("CANCEL"); cancel.Get("Reason") != "" || cancel.At != start {
				w.Errorf("the other branch gets\n%s", cancel.Text)
			}
			w.phone.Silent(100 * time.Millisecond)
			if glare {
				b.Reply(mb, 200, "b")
				w.phone.Status(200)
			} else {
				b.Reply(mb, 487, "b")
				answer := w.phone.Status(603)
				if answer.ToTag() != "a" {
					w.Errorf("the phone gets\n%s", answer.Text)
				}
				w.ack(invite, answer)
			}
			w.phone.Silent(time.Minute)
		})
	}
}

// A 6xx ends a serial fork as well.
func TestFork_Serial6xx(t *testing.T) {
	run(t, func(w *world) {
		a, b := w.server(), w.server()
		w.forward(groups(a, b))
		w.send("MESSAGE")
		a.Reply(a.Expect("MESSAGE"), 604, "a")
		w.phone.Status(604)
		b.Silent(time.Minute)
	})
}

// The best response of a parallel and of a serial fork (section 16.7 step 6).
func TestFork_BestResponse(t *testing.T) {
	for _, serial := range []bool{false, true} {
		for _, tt := range []struct{ first, second, want int }{
			{486, 404, 486}, {404, 401, 401}, {404, 302, 302}, {500, 480, 480}, {503, 500, 500}, {487, 486, 487}, {503, 503, 500},
		} {
			t.Run(fmt.Sprint(serial, tt), func(t *testing.T) {
				run(t, func(w *world) {
					a, b := w.server(), w.server()
					p := groups(a, b)
					if !serial {
						p.Targets = [][]relay.Target{group(a, b)}
					}
					w.forward(p)
					w.send("SUBSCRIBE")
					a.Reply(a.Expect("SUBSCRIBE"), tt.first, "a")
					synctest.Wait()
					b.Reply(b.Expect("SUBSCRIBE"), tt.second, "b")
					w.phone.Status(tt.want)
					w.phone.Silent(time.Minute)
					if got := w.results(); len(got) != 1 || got[0].Attempts != 2 || got[0].Status != tt.want {
						w.Errorf("results %+v, want one", got)
					}
				})
			})
		}
	}
}

// Section 16.7 step 7: a challenge goes with those of the other branches.
func TestFork_Challenges(t *testing.T) {
	run(t, func(w *world) {
		a, b, c := w.server(), w.server(), w.server()
		w.forward(relay.Plan{Targets: [][]relay.Target{group(a, b, c)}})
		w.send("MESSAGE")
		a.Reply(a.Expect("MESSAGE"), 407, "a", `Proxy-Authenticate: Digest realm="a1"`, `Proxy-Authenticate: Digest realm="a2"`)
		synctest.Wait()
		b.Reply(b.Expect("MESSAGE"), 404, "b", `WWW-Authenticate: Digest realm="b"`)
		c.Reply(c.Expect("MESSAGE"), 401, "c", "Www-authenticate : Digest\r\n realm=\"c\"", "X: y")
		m := w.phone.Status(407)
		got := append(m.All("Proxy-Authenticate"), m.All("WWW-Authenticate")...)
		want := []string{`Digest realm="a1"`, `Digest realm="a2"`, `Digest realm="c"`}
		if diff := cmp.Diff(want, got); diff != "" || m.ToTag() != "a" {
			w.Errorf("%s\n%s", diff, m.Text)
		}
	})
}

// RFC 5393 section 5.3.3: what a request may have of branches is shared by those
// that there are at a time, is 60 at most, and without enough nobody gets it.
func TestFork_MaxBreadth(t *testing.T) {
	for _, tt := range []struct {
		field  string
		want   []string // Max-Breadth at each target
		status int
	}{
		{"", []string{"60"}, 404},
		{"", []string{"9", "9", "9", "9", "8", "8", "8"}, 404},
		{"Max-Breadth: 70", []string{"30", "30"}, 404},
		{"Max-Breadth: 2147483647", []string{"60"}, 404},
		{"Max-Breadth: 5", []string{"5"}, 404},
		{"Max-Breadth: 5", []string{"2", "2", "1"}, 404},
		{"Max-Breadth: 3", []string{"1", "1", "1"}, 404},
		{"Max-Breadth: 2", []string{"", "", ""}, 440},
		{"Max-Breadth: 0", []string{""}, 440},
		{"Max-Breadth: 0", nil, 480},
	} {
		t.Run(fmt.Sprint(tt.field, " ", len(tt.want)), func(t *testing.T) {
			run(t, func(w *world) {
				var peers []*siptestx.Peer
				for range tt.want {
					peers = append(peers, w.server())
				}
				w.forward(relay.Plan{Targets: [][]relay.Target{group(peers...)}})
				w.phone.Send(proxyAddr, w.phone.Request("MESSAGE", "sip:401@a.example", tt.field))
				synctest.Wait()
				for i, p := range peers {
					var got string
					for _, m := range p.Drain() {
						got += strings.Join(m.All("Max-Breadth"), ", ")
						p.Reply(m, 404, "a")
					}
					if got != tt.want[i] {
						w.Errorf("target %d gets Max-Breadth %q, want %q", i, got, tt.want[i])
					}
				}
				w.phone.Status(tt.status)
			})
		})
	}
}

// RFC 5393 section 5.3.3.1: a branch that has ended gives back what it had, so
// that one after the other there can be any number.
func TestFork_MaxBreadthSerial(t *testing.T) {
	run(t, func(w *world) {
		a, b, c, d := w.server(), w.server(), w.server(), w.server()
		w.forward(relay.Plan{Targets: [][]relay.Target{group(a), group(b), group(c, d)}})
		invite := w.phone.Request("INVITE", "sip:401@a.example", "Max-Breadth: 1")
		w.phone.Send(proxyAddr, invite)
		w.phone.Status(100)
		for _, p := range []*siptestx.Peer{a, b} {
			m := p.Expect("INVITE")
			if got := m.Get("Max-Breadth"); got != "1" {
				w.Errorf("Max-Breadth is %q, want 1", got)
			}
			p.Reply(m, 486, "a")
			p.Expect("ACK")
		}
		w.ack(invite, w.phone.Status(440))
		c.Silent(time.Second)
		d.Silent(0)
	})
}

// RFC 3261 section 16.8, R30: Timer C ends a branch that rings too long; each
// provisional response but 100 starts it anew. The answer is the callee's 487.
func TestFork_TimerC(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		w.forward(groups(pbx))
		invite := w.send("INVITE")
		w.phone.Status(100)
		m := pbx.Expect("INVITE")
		pbx.Reply(m, 180, "a")
		w.phone.Status(180)
		pbx.Silent(175 * time.Second)
		pbx.Reply(m, 100, "")
		time.Sleep(5 * time.Second)
		pbx.Reply(m, 183, "a")
		w.phone.Status(183)
		last := time.Now()
		pbx.Silent(170 * time.Second)
		pbx.Reply(m, 100, "")
		cancel := pbx.Expect("CANCEL")
		if got := cancel.At.Sub(last).Truncate(100 * time.Millisecond); got != 185*time.Second {
			w.Errorf("CANCEL %v after the 183, want 185s", got)
		}
		pbx.Reply(cancel, 200, "a")
		pbx.Reply(m, 487, "a")
		pbx.Expect("ACK")
		w.ack(invite, w.phone.Status(487))
	})
}

// Timer C of a callee that does not answer the CANCEL either.
func TestFork_TimerCDead(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		w.forward(groups(pbx))
		start := time.Now()
		w.send("INVITE")
		w.phone.Status(100)
		pbx.Reply(pbx.Expect("INVITE"), 100, "")
		answer := w.phone.Status(408)
		if got := answer.At.Sub(start).Truncate(time.Second); got != 217*time.Second {
			w.Errorf("408 after %v, want 185s and 64*T1", got)
		}
	})
}

// No target at all: nobody is there.
func TestFork_NoTarget(t *testing.T) {
	for _, targets := range [][][]relay.Target{nil, {}, {nil, nil}} {
		run(t, func(w *world) {
			w.forward(relay.Plan{Targets: targets})
			w.send("OPTIONS")
			w.phone.Status(480)
			if got := w.results(); len(got) != 1 || got[0] != (relay.Result{Status: 480, Reason: "Temporarily Unavailable"}) {
				w.Errorf("results %+v, want 480", got)
			}
		})
	}
}
