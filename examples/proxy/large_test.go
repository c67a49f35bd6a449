package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
)

// largeYAML has PBXes that get large requests over TCP.
const largeYAML = "dispatcher: {udp_mtu: 1300, probe: never}" + threeTenants

// large makes any request too large for a datagram.
var large = "Subject: " + strings.Repeat("v", 1300)

// overStream has a large request of the phone arrive at p over TCP, and returns p as
// the end of that connection.
func (ph *phone) overStream(p *pbx, l *siptestx.Listener) *pbx {
	ph.w.Helper()
	ph.ask(ph.call("MESSAGE", "sip:402@"+ph.domain, large))
	stream := *p
	stream.Peer = ph.w.peer(l.Accept())
	stream.Reply(stream.Expect("MESSAGE"), 200, "pbx")
	ph.w.answer(ph.Peer, 200)
	return &stream
}

// TestLarge: a call that begins with a large request is over TCP at the PBX, in both
// directions to its end, and over UDP at the phone, whatever is sent to that. RFC
// 3261 section 18.1.1.
func TestLarge(t *testing.T) {
	inWorld(t, largeYAML, func(w *world) {
		ph := w.behind(simnet.Symmetric, "401", "a.test")
		uri := ph.at(w.a)
		stream := ph.overStream(w.a, siptestx.Listen(w, w.a.host, 5060))
		caller, callee := ph.side(), stream.side()
		callee.contact = "sip:" + w.a.Addr.String() // without a transport, as an Asterisk does
		caller.dial(callee, ph.call("INVITE", "sip:402@a.test", large))
		conversation(caller, callee)
		caller, callee = callIn(w.a, uri, ph)
		callee.exchange(caller, "INFO")
		caller.exchange(callee, "UPDATE", large)
		w.a.reaches(ph, "MESSAGE", uri, large)
		if n := w.proxy.transport.Stats().Dialed; n != 1 {
			t.Errorf("%d connections were opened", n)
		}
		stream.Close()
	})
}

// TestLarge_InDialog: a large request in a dialog goes over TCP, and the dialog stays
// where it began.
func TestLarge_InDialog(t *testing.T) {
	inWorld(t, largeYAML, func(w *world) {
		ph := w.behind(simnet.Symmetric, "401", "a.test")
		ph.at(w.a)
		stream := ph.overStream(w.a, siptestx.Listen(w, w.a.host, 5060))
		caller, callee := callOut(ph, w.a)
		caller.peer.Send(caller.to, caller.text("INVITE", large))
		m := stream.Expect("INVITE")
		stream.Reply(m, 200, "", "Contact: <"+callee.contact+">")
		w.answer(ph.Peer, 200)
		callee.target = uriOf(m.Get("Contact"))
		caller.ack(callee)
		conversation(caller, callee)
		stream.Close()
	})
}

// TestLarge_Refused: a PBX that takes no TCP costs no call, and is not taken for
// dead.
func TestLarge_Refused(t *testing.T) {
	inWorld(t, largeYAML, func(w *world) {
		ph := w.behind(simnet.Symmetric, "401", "a.test")
		ph.at(w.a)
		start := time.Now()
		for range 5 {
			caller, callee := ph.side(), w.a.side()
			callee.contact = "sip:" + w.a.Addr.String()
			caller.dial(callee, ph.call("INVITE", "sip:402@a.test", large))
			caller.exchange(callee, "BYE")
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("that takes %v", d)
		}
		for _, s := range w.proxy.sets.Status() {
			if s.Failures > 0 {
				t.Errorf("%s has %d failures", s.URI, s.Failures)
			}
		}
		if n := w.proxy.transport.Stats().Dialed; n != 1 {
			t.Errorf("it was tried %d times", n)
		}
	})
}

// TestLarge_UDPOnly: what is sent over UDP however large it is.
func TestLarge_UDPOnly(t *testing.T) {
	explicit := strings.Replace(largeYAML, "sip:10.0.1.10:5060", "sip:10.0.1.10;transport=udp", 1)
	for _, tt := range []struct{ name, yaml, method string }{
		{"off", threeTenants, "MESSAGE"},
		{"a URI that says so", explicit, "MESSAGE"},
		{"REGISTER", largeYAML, "REGISTER"}, // lest the connection be taken for the phone's address
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, tt.yaml, func(w *world) {
				siptestx.Listen(w, w.a.host, 5060)
				ph := w.behind(simnet.Symmetric, "401", "a.test")
				ph.at(w.a)
				text := ph.call(tt.method, "sip:402@a.test", large)
				if tt.method == "REGISTER" {
					text = ph.registerText(large)
				}
				ph.ask(text)
				w.a.Reply(w.a.Expect(tt.method), 486, "pbx")
				ph.Status(486)
				synctest.Wait()
				if n := w.proxy.transport.Stats().Dialed; n != 0 {
					t.Errorf("%d connections were opened", n)
				}
			})
		})
	}
}
