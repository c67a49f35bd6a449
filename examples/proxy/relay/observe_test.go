package relay_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/relay"
)

// events are what a relay has told.
type events struct {
	mu  sync.Mutex
	all []relay.Event
}

// observe is the Observe of the relay's configuration.
func (w *world) observe(e relay.Event) {
	e.Method = strings.Clone(e.Method)
	w.events.mu.Lock()
	defer w.events.mu.Unlock()
	w.events.all = append(w.events.all, e)
}

// told returns what was told but Received, as words.
func (w *world) told() (all []string) {
	names := map[relay.EventKind]string{
		relay.Arrived: "arrived", relay.Sent: "sent", relay.Ringing: "ringing", relay.BranchEnded: "branch",
		relay.FailedOver: "failover", relay.HungUp: "hung up", relay.AnsweredAgain: "again", relay.Done: "done",
	}
	w.events.mu.Lock()
	defer w.events.mu.Unlock()
	for _, e := range w.events.all {
		if e.Kind == relay.Received {
			continue
		}
		text := e.Method + " " + names[e.Kind]
		if e.Status != 0 {
			text += fmt.Sprint(" ", e.Status)
		}
		if e.NoAnswer {
			text += " unheard"
		}
		if e.Took != 0 {
			text += fmt.Sprint(" after ", e.Took.Round(time.Second))
		}
		if e.Tag != nil {
			text += fmt.Sprint(" ", e.Tag)
		}
		all = append(all, text)
	}
	return all
}

// complete fails the test unless each request that arrived is done, once.
func (w *world) complete() {
	w.Helper()
	open := map[string]int{}
	for _, text := range w.told() {
		switch f := strings.Fields(text); {
		case f[0] == "ACK", f[0] == "CANCEL":
		case f[1] == "arrived":
			open[f[0]]++
		case f[1] == "done":
			open[f[0]]--
		}
	}
	for method, n := range open {
		if n != 0 {
			w.Errorf("of %s, %d more arrived than were done", method, n)
		}
	}
}

// received returns the statuses of the responses that came for a method.
func (w *world) received(method string) (all []int) {
	w.events.mu.Lock()
	defer w.events.mu.Unlock()
	for _, e := range w.events.all {
		if e.Kind == relay.Received && e.Method == method {
			all = append(all, e.Status)
		}
	}
	return all
}

func (w *world) wantTold(want ...string) {
	w.Helper()
	if diff := cmp.Diff(want, w.told()); diff != "" {
		w.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestObserve_Call(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		w.onRoute(func(c *relay.Context) {
			c.Tag = "tag"
			c.Forward(groups(pbx))
		})
		w.send("INVITE")
		m := pbx.Expect("INVITE")
		pbx.Reply(m, 100, "")
		time.Sleep(2 * time.Second)
		pbx.Reply(m, 183, "callee")
		pbx.Reply(m, 180, "callee")
		time.Sleep(3 * time.Second)
		pbx.Reply(m, 200, "callee")
		pbx.Reply(m, 200, "callee")
		time.Sleep(time.Minute)
		w.wantTold(
			"INVITE arrived tag",
			"INVITE sent 100 tag",
			"INVITE sent 183 tag", "INVITE ringing 183 after 2s tag",
			"INVITE sent 180 tag",
			"INVITE branch 200 tag", "INVITE sent 200 tag", "INVITE done 200 after 5s tag",
			"INVITE again 200 tag", "INVITE sent 200 tag",
		)
		if diff := cmp.Diff([]int{100, 183, 180, 200, 200}, w.received("INVITE")); diff != "" {
			w.Errorf("received (-want +got):\n%s", diff)
		}
	})
}

func TestObserve_Failover(t *testing.T) {
	run(t, func(w *world) {
		silent, busy, good := w.server(), w.server(), w.server()
		plan := failover(silent, busy, good)
		plan.Targets = append([][]relay.Target{{{Network: "udp"}}}, plan.Targets...)
		w.forward(plan)
		w.send("OPTIONS")
		silent.Expect("OPTIONS")
		busy.Reply(busy.Expect("OPTIONS"), 503, "b")
		good.Reply(good.Expect("OPTIONS"), 200, "c")
		w.phone.Status(200)
		w.wantTold(
			"OPTIONS arrived",
			"OPTIONS branch 503 unheard", "OPTIONS failover 503 unheard",
			"OPTIONS branch 408 unheard", "OPTIONS failover 408 unheard",
			"OPTIONS branch 503", "OPTIONS failover 503",
			"OPTIONS branch 200", "OPTIONS sent 200", "OPTIONS done 200 after 8s",
		)
	})
}

// The next phone of several is no failover.
func TestObserve_SerialFork(t *testing.T) {
	run(t, func(w *world) {
		a, b := w.server(), w.server()
		w.forward(groups(a, b))
		w.send("MESSAGE")
		a.Reply(a.Expect("MESSAGE"), 486, "a")
		b.Reply(b.Expect("MESSAGE"), 202, "b")
		w.phone.Status(202)
		w.wantTold("MESSAGE arrived", "MESSAGE branch 486", "MESSAGE branch 202", "MESSAGE sent 202", "MESSAGE done 202")
	})
}

func TestObserve_Cancel(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		w.onRoute(func(c *relay.Context) {
			c.Tag = "tag"
			c.Forward(groups(pbx))
		})
		stray := w.phone.Request("INVITE", "sip:401@a.example")
		w.phone.Send(proxyAddr, another("CANCEL", stray))
		w.phone.Status(481)
		invite := w.send("INVITE")
		m := pbx.Expect("INVITE")
		pbx.Reply(m, 180, "a")
		w.phone.Status(180)
		w.hangUp(invite)
		pbx.Reply(pbx.Expect("CANCEL"), 200, "a")
		pbx.Reply(m, 487, "a")
		pbx.Expect("ACK")
		w.ack(invite, w.phone.Status(487))
		w.wantTold(
			"CANCEL arrived", "CANCEL sent 481",
			"INVITE arrived tag", "INVITE sent 180 tag", "INVITE ringing 180 tag",
			"CANCEL arrived tag", "CANCEL sent 200 tag",
			"INVITE branch 487 tag", "INVITE sent 487 tag", "INVITE done 487 tag",
		)
	})
}

// What the policy never sees, and what it drops, is done as well; an ACK only
// arrives.
func TestObserve_Refused(t *testing.T) {
	run(t, func(w *world) {
		w.onRoute(func(c *relay.Context) { c.Drop() })
		w.send("OPTIONS", "Max-Forwards: 0")
		w.phone.Status(483)
		w.send("OPTIONS")
		w.send("ACK")
		w.phone.Silent(time.Second)
		w.wantTold(
			"OPTIONS arrived", "OPTIONS sent 483", "OPTIONS done 483",
			"OPTIONS arrived", "OPTIONS done",
			"ACK arrived",
		)
	})
}

// A 2xx that is too late is hung up, see TestFailover_TooLate2xx.
func TestObserve_HungUp(t *testing.T) {
	run(t, func(w *world) {
		late, quick := w.server(), w.server()
		w.forward(failover(late, quick))
		invite := w.send("INVITE")
		w.phone.Status(100)
		m := late.Expect("INVITE")
		quick.Reply(quick.Expect("INVITE"), 486, "b")
		quick.Expect("ACK")
		w.ack(invite, w.phone.Status(486))
		late.Reply(m, 200, "a", "Contact: <sip:late@"+late.Addr.String()+">")
		next := late.Next()
		for next.Method() == "INVITE" { // it was sent again
			next = late.Next()
		}
		if next.Method() != "ACK" {
			w.Errorf("the late one gets\n%s", next.Text)
		}
		late.Reply(late.Expect("BYE"), 200, "a")
		w.wantTold(
			"INVITE arrived", "INVITE sent 100",
			"INVITE branch 408 unheard", "INVITE failover 408 unheard",
			"INVITE branch 486", "INVITE sent 486", "INVITE done 486 after 8s",
			"INVITE hung up 200",
		)
	})
}
