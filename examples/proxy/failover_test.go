package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
)

// threeBoxes is one tenant with three PBXs that can stand in for each other.
const threeBoxes = `
tenants:
  - {setid: 10, domains: [a.test], destinations: [{uri: "sip:10.0.1.10:5060"}, {uri: "sip:10.0.1.20:5060"}, {uri: "sip:10.0.1.30:5060"}]}
`

// who returns the PBX that gets the next request, and the request; it fails the
// test if several do.
func (w *world) who(method string) (*pbx, siptestx.Message) {
	w.Helper()
	var found *pbx
	var m siptestx.Message
	for _, p := range []*pbx{w.a, w.b, w.c} {
		for _, got := range p.Drain() {
			if found != nil || got.Method() != method {
				w.Fatalf("%v gets\n%s", p.Addr, got.Text)
			}
			found, m = p, got
		}
	}
	if found == nil {
		w.Fatalf("nobody gets the %s", method)
	}
	return found, m
}

// home registers the phone wherever the proxy sends it.
func (ph *phone) home() *pbx {
	ph.w.Helper()
	ph.ask(ph.registerText())
	p, m := ph.w.who("REGISTER")
	p.accept(m)
	ph.Status(200)
	return p
}

// TestAffinity: all of an AOR stays with one PBX, the challenge and the answer
// to it above all, and if one fails only its AORs move. P-36.
func TestAffinity(t *testing.T) {
	inWorld(t, threeBoxes, func(w *world) {
		homes := map[string]*pbx{}
		counts := map[*pbx]int{}
		h := w.net.NewHost(w.outside())
		p := siptestx.UDP(w, h, 5060)
		var phones []*phone
		for i := range 60 {
			ph := w.phoneFrom(h, p, fmt.Sprint(400+i), "a.test")
			phones = append(phones, ph)
			box := ph.home()
			homes[ph.user] = box
			counts[box]++
			if again := ph.home(); again != box {
				t.Fatalf("%s moves from %v to %v", ph.user, box.Addr, again.Addr)
			}
			ph.ask(ph.call("MESSAGE", "sip:499@a.test"))
			box.Reply(box.Expect("MESSAGE"), 200, "pbx")
			ph.Status(200)
		}
		if len(counts) != 3 {
			t.Errorf("only %d PBXs are used", len(counts))
		}
		w.b.host.BlackHole(true)
		failures := 0 // of which the dispatcher needs two to be sure
		for _, ph := range phones {
			ph.ask(ph.registerText())
			if homes[ph.user] == w.b {
				if failures++; failures <= w.cfg.Dispatcher.Fall {
					time.Sleep(w.cfg.Timers.Branch)
				}
			}
			box, m := w.who("REGISTER")
			box.accept(m)
			ph.Status(200)
			if homes[ph.user] != w.b && box != homes[ph.user] {
				t.Errorf("%s moves from %v to %v", ph.user, homes[ph.user].Addr, box.Addr)
			}
		}
	})
}

// TestFailover: a PBX that is silent or says 503 is passed over, for every kind
// of request. P-34.
func TestFailover(t *testing.T) {
	inWorld(t, threeBoxes, func(w *world) {
		ph := w.behind(simnet.PortRestricted, "401", "a.test")
		first := ph.home()
		for _, method := range []string{"INVITE", "MESSAGE", "REGISTER"} {
			text := ph.call(method, "sip:402@a.test")
			if method == "REGISTER" {
				text = ph.registerText()
			}
			ph.ask(text)
			dead, m := w.who(method)
			if dead != first {
				t.Errorf("%s goes to %v first", method, dead.Addr)
			}
			dead.Reply(m, 503, "pbx")
			if method == "INVITE" {
				dead.Expect("ACK")
			}
			next, m := w.who(method)
			next.Reply(m, 200, "pbx", "Contact: <sip:"+next.Addr.String()+">")
			w.answer(ph.Peer, 200)
		}
		ph.home()
		first.host.BlackHole(true)
		for _, method := range []string{"INVITE", "MESSAGE"} {
			ph.ask(ph.call(method, "sip:402@a.test"))
			time.Sleep(w.cfg.Timers.Branch)
			next, m := w.who(method)
			if next == first {
				t.Error("it is in a black hole")
			}
			next.Reply(m, 200, "pbx", "Contact: <sip:"+next.Addr.String()+">")
			w.answer(ph.Peer, 200)
		}
	})
}

// TestFailover_AllDead: the caller is told, and when to try again.
func TestFailover_AllDead(t *testing.T) {
	inWorld(t, threeBoxes, func(w *world) {
		for _, p := range []*pbx{w.a, w.b, w.c} {
			p.host.BlackHole(true)
		}
		ph := w.public("401", "a.test")
		start := time.Now()
		ph.ask(ph.registerText())
		got := ph.Status(503)
		if d := got.At.Sub(start); d != 3*w.cfg.Timers.Branch || got.Get("Retry-After") != "10" {
			t.Errorf("after %v\n%s", d, got.Text)
		}
	})
}

// TestFailover_NoneOnAnAnswer: what a PBX answers is the answer. P-27.
func TestFailover_NoneOnAnAnswer(t *testing.T) {
	inWorld(t, threeBoxes, func(w *world) {
		ph := w.public("401", "a.test")
		for _, status := range []int{401, 404, 407, 480, 484, 486, 600, 603} {
			invite := ph.ask(ph.call("INVITE", "sip:402@a.test"))
			p, m := w.who("INVITE")
			p.Reply(m, status, "pbx")
			got := w.answer(ph.Peer, status)
			p.Expect("ACK")
			ph.ask(w.another("ACK", invite, "To: "+got.Get("To")))
			w.quiet()
		}
		if n := w.proxy.relay.Stats().Failovers; n != 0 {
			t.Errorf("%d failovers", n)
		}
	})
}

// TestRegistrarPreferred: a phone calls over the PBX that it is registered at,
// though another is first in the order of its AOR.
func TestRegistrarPreferred(t *testing.T) {
	inWorld(t, threeBoxes, func(w *world) {
		ph := w.public("401", "a.test")
		first := ph.home()
		first.host.BlackHole(true)
		ph.ask(ph.registerText())
		time.Sleep(w.cfg.Timers.Branch)
		second, m := w.who("REGISTER")
		second.accept(m)
		ph.Status(200)
		time.Sleep(time.Minute)
		first.host.BlackHole(false)
		ph.ask(ph.call("MESSAGE", "sip:402@a.test"))
		p, m := w.who("MESSAGE")
		if p != second {
			t.Errorf("it calls over %v, is registered at %v", p.Addr, second.Addr)
		}
		p.Reply(m, 200, "pbx")
		ph.Status(200)
		if p := ph.home(); p != first {
			t.Errorf("it registers at %v, first is %v", p.Addr, first.Addr)
		}
	})
}

// TestCallBack: from its list of calls a phone calls the address of the PBX,
// which showed that as the domain of the caller.
func TestCallBack(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.behind(simnet.PortRestricted, "401", "a.test")
		ph.at(w.a)
		caller, callee := ph.side(), w.a.side()
		caller.dial(callee, ph.call("INVITE", "sip:402@10.0.1.10"))
		conversation(caller, callee)
		if n := w.decided(route.PBXAlias); n != 1 {
			t.Errorf("%d are counted", n)
		}
	})
}

// TestCallBack_SharedPBX: then the caller's domain says whose call it is. P-12.
func TestCallBack_SharedPBX(t *testing.T) {
	inWorld(t, sharedPBX, func(w *world) {
		ph := w.public("401", "b.test")
		ph.at(w.a)
		ph.ask(ph.call("MESSAGE", "sip:402@10.0.1.10:5060"))
		m := w.a.Expect("MESSAGE")
		if m.URI() != "sip:402@10.0.1.10:5060" {
			t.Errorf("it arrives for %s", m.URI())
		}
		w.a.Reply(m, 200, "pbx")
		ph.Status(200)
		ph.ask(ph.call("MESSAGE", "sip:402@10.0.1.10:5060", "From: <sip:401@10.0.1.10>;tag=1"))
		w.silence()
		if n := w.decided(route.Ambiguous); n != 1 {
			t.Errorf("%d are counted as ambiguous", n)
		}
	})
}
