package relay_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/internal/siptestx"
)

// failover is groups with Failover.
func failover(peers ...*siptestx.Peer) relay.Plan {
	p := groups(peers...)
	p.Failover = true
	return p
}

// P-34: a PBX that does not answer is not the last word, for no method.
func TestFailover_NoAnswer(t *testing.T) {
	for _, method := range []string{"INVITE", "REGISTER", "OPTIONS"} {
		t.Run(method, func(t *testing.T) {
			run(t, func(w *world) {
				dead, alive := w.server(), w.server()
				w.forward(failover(dead, alive))
				start := time.Now()
				text := w.send(method)
				first := dead.Expect(method)
				m := alive.Expect(method)
				if got := m.At.Sub(start).Truncate(100 * time.Millisecond); got != 8*time.Second {
					w.Errorf("the second is tried after %v, want 8s", got)
				}
				if m.Branch() == first.Branch() {
					w.Error("the second gets the branch of the first")
				}
				alive.Reply(m, 404, "b")
				if method == "INVITE" {
					w.phone.Status(100)
					alive.Expect("ACK")
				}
				answer := w.phone.Status(404)
				if method == "INVITE" {
					w.ack(text, answer)
				}
				w.phone.Silent(time.Minute)
				if s := w.relay.Stats(); s.Failovers != 1 || s.Forwarded != 2 {
					w.Errorf("stats %+v", s)
				}
			})
		})
	}
}

// P-34: a PBX that dies after its 100 to a request other than INVITE, which some send
// even to a REGISTER, is passed over as soon as one that says nothing.
func TestFailover_TryingAndNoMore(t *testing.T) {
	for _, method := range []string{"REGISTER", "OPTIONS"} {
		run(t, func(w *world) {
			dead, alive := w.server(), w.server()
			w.forward(failover(dead, alive))
			start := time.Now()
			w.send(method)
			time.Sleep(time.Second)
			dead.Reply(dead.Expect(method), 100, "a")
			m := alive.Expect(method)
			if got := m.At.Sub(start).Truncate(100 * time.Millisecond); got != 8*time.Second {
				w.Errorf("%s: the second is tried after %v, want 8s", method, got)
			}
			alive.Reply(m, 200, "b")
			w.phone.Status(200)
		})
	}
}

// P-34, P-27: 503 makes a failover, and no other answer does.
func TestFailover_OnStatus(t *testing.T) {
	for status := 300; status < 700; status += 1 + status%7 {
		run(t, func(w *world) { w.failoverOn(status) })
	}
	for _, status := range []int{401, 403, 404, 407, 408, 423, 480, 481, 484, 486, 487, 488, 500, 501, 502, 503, 504, 600, 603} {
		run(t, func(w *world) { w.failoverOn(status) })
	}
}

func (w *world) failoverOn(status int) {
	w.Helper()
	first, second := w.server(), w.server()
	w.forward(failover(first, second))
	text := w.send("INVITE")
	w.phone.Status(100)
	first.Reply(first.Expect("INVITE"), status, "a")
	first.Expect("ACK")
	if status == 503 {
		m := second.Expect("INVITE")
		second.Reply(m, 200, "b")
		w.phone.Status(200)
		return
	}
	w.ack(text, w.phone.Status(status))
	second.Silent(time.Minute)
}

// P-34, R53: a PBX that cannot be reached is passed over at once; one whose
// connection breaks, as soon as it does.
func TestFailover_Transport(t *testing.T) {
	const none, refused, closed = "no listener", "refused", "closed"
	for _, what := range []string{none, refused, closed} {
		for _, method := range []string{"INVITE", "REGISTER"} {
			t.Run(what+" "+method, func(t *testing.T) {
				run(t, func(w *world) {
					alive := w.server()
					p := failover(alive, alive)
					first := &p.Targets[0][0]
					switch what {
					case none:
						first.Remote = netip.MustParseAddrPort("[2001:db8::1]:5060")
					case refused:
						*first = relay.Target{Network: "tcp", Remote: netipAddr(pbxAddr)}
					case closed:
						l := siptestx.Listen(w, w.pbx, 5060)
						go func() {
							pbx := l.Accept()
							m := pbx.Expect(method)
							pbx.Reply(m, 100, "")
							pbx.Close()
						}()
						*first = relay.Target{Network: "tcp", Remote: l.Addr}
					}
					w.forward(p)
					start := time.Now()
					w.send(method)
					m := alive.Expect(method)
					if m.At.Sub(start) > 100*time.Millisecond {
						w.Errorf("the second is tried after %v", m.At.Sub(start))
					}
					alive.Reply(m, 200, "b")
					w.phone.Status(200)
				})
			})
		}
	}
}

// A PBX that has said anything at all is not passed over: the call rings there.
func TestFailover_Rings(t *testing.T) {
	for _, status := range []int{100, 180} {
		run(t, func(w *world) {
			a, b := w.server(), w.server()
			w.forward(failover(a, b))
			w.send("INVITE")
			w.phone.Status(100)
			m := a.Expect("INVITE")
			a.Reply(m, status, "a")
			b.Silent(170 * time.Second)
			a.Reply(m, 200, "a")
			if status == 180 {
				w.phone.Status(180)
			}
			w.phone.Status(200)
			b.Silent(time.Minute)
		})
	}
}

// P-27, P-34: a call that has rung is not tried elsewhere, whatever becomes of the
// PBX: its callee may ring still, or has seen a call. One that has not is.
func TestFailover_RangBefore(t *testing.T) {
	says503 := func(w *world, pbx *siptestx.Peer, m siptestx.Message) {
		pbx.Reply(m, 503, "a")
		pbx.Expect("ACK")
	}
	breaks := func(_ *world, pbx *siptestx.Peer, _ siptestx.Message) { pbx.Close() }
	dies := func(_ *world, pbx *siptestx.Peer, _ siptestx.Message) {
		time.Sleep(3 * time.Minute) // Timer C
		pbx.Expect("CANCEL")
		time.Sleep(time.Minute)
	}
	for _, tt := range []struct {
		name   string
		status int
		then   func(*world, *siptestx.Peer, siptestx.Message)
		want   int // 0: the other one is tried
	}{
		{"trying, says 503", 100, says503, 0},
		{"trying, breaks", 100, breaks, 0},
		{"ringing, says 503", 180, says503, 503},
		{"ringing, breaks", 180, breaks, 480},
		{"progress, breaks", 183, breaks, 480},
		{"ringing, dies", 180, dies, 408},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(w *world) {
				alive := w.server()
				p := failover(alive, alive)
				l := siptestx.Listen(w, w.pbx, 5060)
				p.Targets[0][0] = relay.Target{Network: "tcp", Remote: l.Addr}
				w.forward(p)
				text := w.send("INVITE")
				pbx := l.Accept()
				m := pbx.Expect("INVITE")
				pbx.Reply(m, tt.status, "a")
				if tt.status > 100 {
					w.phone.Status(tt.status)
				}
				tt.then(w, pbx, m)
				if tt.want != 0 {
					w.ack(text, w.phone.Status(tt.want))
					alive.Silent(time.Minute)
					return
				}
				alive.Reply(alive.Expect("INVITE"), 200, "b")
				w.phone.Status(200)
			})
		})
	}
}

// All are dead: 503, and when to try again. Not 408, which would tell nothing
// to the caller of an INVITE and is forbidden for other requests (RFC 4320).
func TestFailover_AllDead(t *testing.T) {
	for _, n := range []int{1, 2} {
		for _, method := range []string{"INVITE", "REGISTER"} {
			t.Run(fmt.Sprint(n, method), func(t *testing.T) {
				run(t, func(w *world) {
					w.forward(failover([]*siptestx.Peer{w.server(), w.server()}[:n]...))
					start := time.Now()
					text := w.send(method)
					if method == "INVITE" {
						w.phone.Status(100)
					}
					m := w.phone.Status(503)
					if got := m.At.Sub(start).Truncate(100 * time.Millisecond); got != time.Duration(n)*8*time.Second || m.Get("Retry-After") != "10" {
						w.Errorf("%v later:\n%s", got, m.Text)
					}
					if method == "INVITE" {
						w.ack(text, m)
					}
					w.phone.Silent(time.Minute)
					if got := w.results(); len(got) != 1 || got[0] != (relay.Result{Status: 503, Reason: "Service Unavailable", Attempts: n}) {
						w.Errorf("results %+v", got)
					}
				})
			})
		}
	}
}

// The last one's own 503 is better than ours.
func TestFailover_Own503(t *testing.T) {
	run(t, func(w *world) {
		a, b := w.server(), w.server()
		w.forward(failover(a, b))
		w.send("OPTIONS")
		a.Reply(a.Expect("OPTIONS"), 503, "a", "Retry-After: 7")
		if m := w.phone.Status(503); m.Get("Retry-After") != "7" {
			w.Errorf("the phone gets\n%s", m.Text)
		}
		b.Expect("OPTIONS")
	})
}

// A target that was given up may still answer. A late 180 is canceled, and not
// passed on; a late failure is nothing.
func TestFailover_LateAnswer(t *testing.T) {
	run(t, func(w *world) {
		a, b := w.server(), w.server()
		w.forward(failover(a, b))
		w.send("INVITE")
		w.phone.Status(100)
		ma, mb := a.Expect("INVITE"), b.Expect("INVITE")
		a.Drain()
		a.Reply(ma, 180, "a")
		a.Reply(a.Expect("CANCEL"), 200, "a")
		a.Reply(ma, 487, "a")
		a.Expect("ACK")
		w.phone.Silent(time.Second)
		b.Reply(mb, 200, "b")
		w.phone.Status(200)
		w.phone.Silent(time.Minute)
	})
}

// A late 2xx counts: the call is up. The target that was tried in its stead is
// canceled.
func TestFailover_Late2xx(t *testing.T) {
	run(t, func(w *world) {
		a, b := w.server(), w.server()
		w.forward(failover(a, b))
		w.send("INVITE")
		w.phone.Status(100)
		ma, mb := a.Expect("INVITE"), b.Expect("INVITE")
		b.Reply(mb, 180, "b")
		w.phone.Status(180)
		a.Reply(ma, 200, "a")
		w.phone.Status(200)
		c := b.Expect("CANCEL")
		if c.Get("Reason") != `SIP;cause=200;text="Call completed elsewhere"` {
			w.Errorf("the second gets\n%s", c.Text)
		}
		b.Reply(mb, 487, "b")
		w.phone.Silent(time.Minute)
		if got := w.results(); len(got) != 1 || got[0].Status != 200 || got[0].Target.Remote != a.Addr {
			w.Errorf("results %+v", got)
		}
	})
}

// P-60: one that rings only after another has answered learns so.
func TestFailover_RingsTooLate(t *testing.T) {
	run(t, func(w *world) {
		a, b := w.server(), w.server()
		w.forward(failover(a, b))
		w.send("INVITE")
		w.phone.Status(100)
		ma := a.Expect("INVITE")
		b.Reply(b.Expect("INVITE"), 200, "b")
		w.phone.Status(200)
		a.Drain()
		a.Reply(ma, 180, "a")
		if c := a.Expect("CANCEL"); c.Get("Reason") != `SIP;cause=200;text="Call completed elsewhere"` {
			w.Errorf("the first gets\n%s", c.Text)
		}
		a.Reply(ma, 487, "a")
		w.phone.Silent(time.Minute)
	})
}

// A late answer to another request is passed on if there is no other one yet,
// and else only counted.
func TestFailover_LateOther(t *testing.T) {
	for _, first := range []bool{true, false} {
		run(t, func(w *world) {
			a, b := w.server(), w.server()
			p, answers := failover(a, b), 0
			p.Answer = func(*relay.Target, *sipmsg.Message, *sipmsg.Patch) (int, string) { answers++; return 0, "" }
			w.forward(p)
			w.send("REGISTER")
			ma, mb := a.Expect("REGISTER"), b.Expect("REGISTER")
			if !first {
				ma, mb, a, b = mb, ma, b, a
			}
			a.Reply(ma, 200, "a")
			b.Reply(mb, 200, "b")
			if m := w.phone.Status(200); m.ToTag() != "a" {
				w.Errorf("the phone gets\n%s", m.Text)
			}
			w.phone.Silent(time.Minute)
			if s := w.relay.Stats(); s.Late != 1 || answers != 1 {
				w.Errorf("%d late answers, and %d that the policy has seen, want 1 each", s.Late, answers)
			}
		})
	}
}

// A late failure is better than none: all others are dead.
func TestFailover_LateFailure(t *testing.T) {
	run(t, func(w *world) {
		a, b := w.server(), w.server()
		w.forward(failover(a, b))
		w.send("REGISTER")
		m := a.Expect("REGISTER")
		b.Expect("REGISTER")
		a.Reply(m, 401, "a", `WWW-Authenticate: Digest realm="a"`)
		w.phone.Silent(7 * time.Second)
		w.phone.Status(401)
		w.phone.Silent(time.Minute)
		if got := w.results(); len(got) != 1 || got[0].Status != 401 || got[0].Target.Remote != a.Addr {
			w.Errorf("results %+v", got)
		}
	})
}

// A 2xx that comes when the caller has another final response would leave the
// callee in a call with nobody: it is hung up.
func TestFailover_TooLate2xx(t *testing.T) {
	run(t, func(w *world) {
		a, b := w.server(), w.server()
		p := failover(a, b)
		p.RecordRoute = true
		w.forward(p)
		invite := w.send("INVITE")
		w.phone.Status(100)
		ma := a.Expect("INVITE")
		b.Reply(b.Expect("INVITE"), 486, "b")
		b.Expect("ACK")
		w.ack(invite, w.phone.Status(486))
		a.Drain()
		answer := strings.Replace(ma.Reply(200, "a", "Contact: <sip:401@10.1.1.1>;x"), "Record-Route: ",
			"Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\nRecord-Route: ", 1)
		for i := range 3 {
			a.Send(ma.From, answer)
			ack := a.Expect("ACK sip:401@10.1.1.1 ")
			want := []string{"<sip:p2;lr>, <sip:p1;lr>", "<sip:401@a.example>;tag=a", "1 ACK", ma.Get("From"), ma.Get("Call-ID")}
			got := []string{ack.Get("Route"), ack.Get("To"), ack.Get("CSeq"), ack.Get("From"), ack.Get("Call-ID")}
			if diff := cmp.Diff(want, got); diff != "" || len(ack.All("Via")) != 1 {
				w.Errorf("%s\n%s", diff, ack.Text)
			}
			if i == 0 {
				bye := a.Expect("BYE sip:401@10.1.1.1 ")
				if bye.Get("CSeq") != "2 BYE" || bye.Get("Route") != ack.Get("Route") || bye.Branch() == ack.Branch() {
					w.Errorf("the callee gets\n%s", bye.Text)
				}
				a.Reply(bye, 200, "a")
			}
			time.Sleep(time.Second)
		}
		w.phone.Silent(time.Minute)
	})
}

// RFC 4320: a request other than INVITE that is not answered is not answered by
// us either, however often it is repeated. An INVITE has its 408.
func TestTimeout(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		w.forward(groups(pbx))
		text := w.send("MESSAGE")
		for range 3 {
			w.phone.Silent(8 * time.Second)
			w.phone.Send(proxyAddr, text)
		}
		w.phone.Silent(9 * time.Second)
		w.gone()
		if got := w.results(); len(got) != 1 || got[0] != (relay.Result{Attempts: 1}) {
			w.Errorf("results %+v, want no status", got)
		}
		pbx.Drain()
		start := time.Now()
		invite := w.send("INVITE")
		w.phone.Status(100)
		m := w.phone.Status(408)
		if got := m.At.Sub(start).Truncate(100 * time.Millisecond); got != 8*time.Second {
			w.Errorf("408 after %v, want 8s", got)
		}
		w.ack(invite, m)
	})
}

// R42: a phone whose connection is gone cannot be reached; nothing is wrong
// with the proxy then.
func TestTimeout_ConnectionGone(t *testing.T) {
	run(t, func(w *world) {
		phone := siptestx.Dial(w, w.pbx, proxyAddr)
		var to relay.Target
		w.onRoute(func(c *relay.Context) { to.Flow = c.Flow; c.Drop() })
		phone.Send(proxyAddr, phone.Request("OPTIONS", "sip:a@b"))
		synctest.Wait()
		p := relay.Plan{Targets: [][]relay.Target{{to}}}
		w.forward(p)
		w.send("MESSAGE")
		phone.Expect("MESSAGE")
		phone.Close()
		if m := w.phone.Status(480); m.Get("Retry-After") != "" {
			w.Errorf("the phone gets\n%s", m.Text)
		}
		w.send("MESSAGE")
		w.phone.Status(480)
	})
}
