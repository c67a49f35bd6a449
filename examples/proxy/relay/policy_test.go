package relay_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/internal/siptestx"
)

// A request is answered by the policy: Reply is repeated until it has arrived,
// Refuse leaves nothing behind, Drop says nothing.
func TestPolicy_Answers(t *testing.T) {
	run(t, func(w *world) {
		w.onRoute(func(c *relay.Context) { c.Reply(404, "Not Here", "X: 1", "Y: 2") })
		start := time.Now()
		invite := w.send("INVITE") // and no 100: nothing takes time
		m := w.phone.Expect("SIP/2.0 404 Not Here")
		if m.Get("X") != "1" || m.Get("Y") != "2" || m.ToTag() == "" {
			w.Errorf("the phone gets\n%s", m.Text)
		}
		if again := w.phone.Status(404); again.Text != m.Text || again.At.Sub(start) < 500*time.Millisecond {
			w.Error("the answer is not repeated by Timer G")
		}
		w.ack(invite, m)
		w.phone.Silent(time.Minute)

		w.onRoute(func(c *relay.Context) { c.Refuse(403, "Forbidden", "X: 1") })
		for _, method := range []string{"INVITE", "MESSAGE"} {
			text := w.send(method)
			for range 2 {
				if m := w.phone.Status(403); m.Get("X") != "1" || m.ToTag() == "" {
					w.Errorf("the phone gets\n%s", m.Text)
				}
				w.gone()
				w.phone.Send(proxyAddr, text)
			}
			w.phone.Status(403)
		}
		w.phone.Silent(time.Minute)

		w.onRoute(func(c *relay.Context) { c.Drop() })
		w.send("INVITE")
		w.send("MESSAGE")
		w.phone.Silent(time.Minute)
		if s := w.relay.Stats(); s.Replied != 7 || s.Dropped != 2 {
			w.Errorf("stats %+v, want 7 replied and 2 dropped", s)
		}
	})
}

// The policy may take its time. R28: the caller is told.
func TestPolicy_DecidesLater(t *testing.T) {
	for _, refuse := range []bool{true, false} {
		run(t, func(w *world) {
			pbx := w.server()
			w.onRoute(func(c *relay.Context) {
				time.AfterFunc(time.Second, func() {
					if refuse {
						c.Refuse(404, "Not Found")
					} else {
						c.Forward(groups(pbx))
					}
				})
			})
			start := time.Now()
			invite := w.send("INVITE")
			if m := w.phone.Status(100); m.At != start {
				w.Errorf("100 after %v", m.At.Sub(start))
			}
			if refuse { // the caller does not repeat an INVITE that has a 100
				w.phone.Status(404)
				w.ack(invite, w.phone.Status(404))
			} else {
				pbx.Reply(pbx.Expect("INVITE"), 200, "a")
				w.phone.Status(200)
			}
			w.phone.Silent(time.Minute)
			w.send("OPTIONS")
			if refuse {
				w.phone.Status(404)
			} else {
				pbx.Reply(pbx.Expect("OPTIONS"), 200, "a")
				w.phone.Status(200)
			}
		})
	}
}

// A request that was held back is routed again, and the policy sees that.
func TestPolicy_Retry(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		var retried []bool
		w.onRoute(func(c *relay.Context) {
			retried = append(retried, c.Retried)
			if !c.Retried {
				time.AfterFunc(time.Second, c.Retry)
				return
			}
			c.Forward(groups(pbx))
			c.Retry() // it has its plan
		})
		w.send("OPTIONS")
		pbx.Silent(900 * time.Millisecond)
		m := pbx.Expect("OPTIONS")
		pbx.Reply(m, 200, "a")
		w.phone.Status(200)
		if diff := cmp.Diff([]bool{false, true}, retried); diff != "" {
			w.Error(diff)
		}
	})
}

// Of several decisions the first counts.
func TestPolicy_DecidesTwice(t *testing.T) {
	run(t, func(w *world) {
		a, b := w.server(), w.server()
		w.onRoute(func(c *relay.Context) {
			c.Forward(groups(a))
			c.Forward(groups(b))
		})
		w.send("OPTIONS")
		a.Reply(a.Expect("OPTIONS"), 200, "a")
		w.phone.Status(200)
		b.Silent(time.Minute)
		w.onRoute(func(c *relay.Context) {
			c.Reply(404, "Not Found")
			c.Reply(405, "Not This One")
			c.Refuse(405, "Not This One")
			c.Drop()
		})
		w.send("OPTIONS")
		w.phone.Status(404)
		w.phone.Silent(time.Minute)
	})
}

// A final answer of the policy's ends the branches.
func TestPolicy_ReplyAfterForward(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		w.onRoute(func(c *relay.Context) {
			c.Forward(groups(pbx))
			time.AfterFunc(10*time.Second, func() { c.Reply(480, "Too Long") })
		})
		invite := w.send("INVITE")
		w.phone.Status(100)
		m := pbx.Expect("INVITE")
		pbx.Reply(m, 180, "a")
		w.phone.Status(180)
		w.ack(invite, w.phone.Expect("SIP/2.0 480 Too Long"))
		pbx.Reply(pbx.Expect("CANCEL"), 200, "a")
		pbx.Reply(m, 487, "a")
		w.phone.Silent(time.Minute)
	})
}

// Answer sees each response and may change it.
func TestPolicy_AnswerPatches(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		p := groups(pbx)
		p.Targets[0][0].Context = "ctx"
		var seen []int
		p.Answer = func(t *relay.Target, m *sipmsg.Message, patch *sipmsg.Patch) (int, string) {
			seen = append(seen, m.Status)
			patch.Prepend(sipmsg.Contact, fmt.Sprint("X-Seen: ", m.Status, " ", t.Context))
			if m.Status == 180 {
				return 500, "Means Nothing"
			}
			return 0, ""
		}
		w.forward(p)
		w.send("INVITE")
		w.phone.Status(100)
		m := pbx.Expect("INVITE")
		for _, status := range []int{100, 180, 200, 200} {
			pbx.Reply(m, status, "a")
			if status > 100 {
				if got := w.phone.Status(status); got.Get("X-Seen") != fmt.Sprint(status, " ctx") {
					w.Errorf("the phone gets\n%s", got.Text)
				}
			}
		}
		if diff := cmp.Diff([]int{180, 200, 200}, seen); diff != "" {
			w.Error(diff)
		}
	})
}

// Answer may have another final response sent. If it is a 2xx to an INVITE
// that is replaced, the callee is hung up on, and the other branches are
// canceled.
func TestPolicy_AnswerReplaces(t *testing.T) {
	run(t, func(w *world) {
		plan := relay.Plan{Ended: w.ended, Answer: func(_ *relay.Target, m *sipmsg.Message, _ *sipmsg.Patch) (int, string) {
			if m.Status == 200 {
				return 500, "Not Stored"
			}
			return 0, ""
		}}
		pbx := w.server()
		p := plan
		p.Targets = groups(pbx).Targets
		w.forward(p)
		w.send("REGISTER")
		pbx.Reply(pbx.Expect("REGISTER"), 200, "a", "Contact: <sip:x@y>")
		w.phone.Expect("SIP/2.0 500 Not Stored")
		pbx.Silent(time.Minute)

		invite, a, b, ma, mb := w.both(plan)
		a.Reply(ma, 200, "a", "Contact: <sip:401@10.1.1.1>")
		w.ack(invite, w.phone.Expect("SIP/2.0 500 Not Stored"))
		a.Expect("ACK sip:401@10.1.1.1 ")
		a.Reply(a.Expect("BYE sip:401@10.1.1.1 "), 200, "a")
		b.Expect("CANCEL")
		b.Reply(mb, 487, "b")
		w.phone.Silent(time.Minute)
		want := []relay.Result{{Status: 500, Reason: "Not Stored", Attempts: 1}, {Status: 500, Reason: "Not Stored", Attempts: 2}}
		if diff := cmp.Diff(want, w.results(), cmp.AllowUnexported(transport.Flow{})); diff != "" {
			w.Error(diff)
		}
	})
}

// A callee that cannot be hung up on, as it has no Contact, is left alone.
func TestPolicy_ReplacedWithoutContact(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		p := groups(pbx)
		p.Answer = func(*relay.Target, *sipmsg.Message, *sipmsg.Patch) (int, string) { return 500, "No" }
		w.forward(p)
		for _, contact := range []string{"X: y", "Contact: *", "Contact: <>", "Contact: <tel:1>"} {
			invite := w.send("INVITE")
			w.phone.Status(100)
			pbx.Reply(pbx.Expect("INVITE"), 200, "a", contact)
			w.ack(invite, w.phone.Status(500))
			pbx.Silent(time.Minute)
		}
	})
}

// panics makes a hook of w panic while on is true, and returns the plan to
// forward with.
func (w *world) panics(hook string, pbx *siptestx.Peer, on *atomic.Bool) relay.Plan {
	p := groups(pbx)
	p.RecordRoute = true
	fail := func() {
		if on.Load() {
			panic(hook)
		}
	}
	switch hook {
	case "Symmetric":
		w.symmetric = func(transport.Flow) bool { fail(); return false }
	case "Own":
		w.own = func(string, uint16) bool { fail(); return false }
	case "SentBy":
		w.sentBy = func(f transport.Flow) string { fail(); return f.Local().String() }
	case "Edit":
		p.Targets[0][0].Edit = func(transport.Flow, *sipmsg.Patch) { fail() }
	case "Ended":
		p.Ended = func(relay.Result) { fail() }
	default:
		p.Answer = func(_ *relay.Target, m *sipmsg.Message, _ *sipmsg.Patch) (int, string) {
			if hook == fmt.Sprint("Answer ", m.Status) {
				fail()
			}
			return 0, ""
		}
	}
	return p
}

// R33: a panic of the policy costs one request, which is answered with 500 if
// it was not yet, and is counted. What rings is canceled. The next request
// finds all in order.
func TestPolicy_Panics(t *testing.T) {
	for _, hook := range []string{"Symmetric", "Own", "Route", "Retry", "SentBy", "Edit", "Answer 180", "Answer 200", "Answer 486", "Ended", "Follower"} {
		for _, method := range []string{"INVITE", "MESSAGE"} {
			t.Run(hook+" "+method, func(t *testing.T) {
				run(t, func(w *world) { w.panicIn(hook, method) })
			})
		}
	}
}

func (w *world) panicIn(hook, method string) {
	pbx := w.server()
	var on atomic.Bool
	on.Store(true)
	p := w.panics(hook, pbx, &on)
	w.onRoute(func(c *relay.Context) {
		if on.Load() && (hook == "Route" || hook == "Retry" && c.Retried) {
			panic(hook)
		}
		if hook == "Retry" && !c.Retried {
			time.AfterFunc(time.Second, c.Retry)
			return
		}
		if hook == "Follower" {
			c.Follower = &follower{ended: func(relay.Result) { panics(&on, hook) }}
		}
		c.Forward(clone(p))
	})
	final := 486
	if hook == "Answer 200" {
		final = 200
	}
	go w.serve(pbx, method, final)
	text := w.send(method, "Route: <sip:x;lr>")
	var statuses []int
	for _, m := range w.phone.Collect(40 * time.Second) {
		if s := m.Status(); s > 180 && len(statuses) == 0 {
			statuses = append(statuses, s)
			if method == "INVITE" {
				w.ack(text, m)
			}
		}
	}
	want := 500
	if hook == "Ended" || hook == "Follower" {
		want = final
	}
	if len(statuses) != 1 || statuses[0] != want {
		w.Errorf("final answers %v, want %d", statuses, want)
	}
	if s := w.relay.Stats(); s.Panics == 0 || hook != "Own" && s.Panics > 2 {
		w.Errorf("%d panics counted", s.Panics)
	}
	on.Store(false)
	time.Sleep(5 * time.Minute)
	w.gone()
	w.send("MESSAGE")
	time.Sleep(2 * time.Second)
	if got := siptestx.Starts(w.phone.Drain()); !strings.HasPrefix(got, "SIP/2.0 180 ") || !strings.Contains(got, fmt.Sprint("SIP/2.0 ", final)) {
		w.Errorf("the next request is answered with\n%s", got)
	}
}

// serve answers what comes to a callee for a while.
func (w *world) serve(pbx *siptestx.Peer, method string, final int) {
	invites := map[string]siptestx.Message{}
	for range 8 * 60 {
		for _, m := range pbx.Poll() {
			switch m.Method() {
			case "INVITE", "MESSAGE":
				invites[m.Branch()] = m
				pbx.Reply(m, 180, "a")
				pbx.Reply(m, final, "a", "Contact: <sip:401@10.1.1.1>")
			case "CANCEL":
				pbx.Reply(m, 200, "a")
				pbx.Reply(invites[m.Branch()], 487, "a")
			case "BYE":
				pbx.Reply(m, 200, "a")
			}
		}
		time.Sleep(time.Second)
	}
}

// R33: an ACK is forwarded without a transaction, and not answered.
func TestPolicy_PanicsOfAck(t *testing.T) {
	for _, hook := range []string{"Symmetric", "Own", "SentBy", "Edit"} {
		run(t, func(w *world) {
			var on atomic.Bool
			on.Store(true)
			w.forward(w.panics(hook, w.server(), &on))
			w.send("ACK", "Route: <sip:x;lr>")
			w.phone.Silent(time.Minute)
			if s := w.relay.Stats(); s.Panics != 1 {
				w.Errorf("%s: %d panics counted", hook, s.Panics)
			}
		})
	}
}

// R32: everything may be called from everywhere.
func TestPolicy_CallsFromCallbacks(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		var c *relay.Context
		all := func() {
			w.relay.Stats()
			c.Retry()
			c.Forward(groups(pbx))
			c.Reply(404, "Not Found")
			c.Refuse(404, "Not Found")
			c.Drop()
			w.relay.Closed(transport.Flow{}, nil)
		}
		p := groups(pbx)
		p.Targets[0][0].Edit = func(transport.Flow, *sipmsg.Patch) { all() }
		p.Answer = func(*relay.Target, *sipmsg.Message, *sipmsg.Patch) (int, string) { all(); return 0, "" }
		p.Ended = func(relay.Result) { all() }
		w.onRoute(func(ctx *relay.Context) { c = ctx; c.Forward(clone(p)); all() })
		w.send("OPTIONS")
		synctest.Wait()
		for _, m := range pbx.Drain() {
			pbx.Reply(m, 200, "a")
		}
		w.phone.Status(404)
	})
}
