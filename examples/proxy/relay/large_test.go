package relay_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
)

// large makes any request too large for a datagram.
var large = "Subject: " + strings.Repeat("v", udpMTU)

// either returns a plan for the PBX on w.pbx, which may take TCP.
func (w *world) either() relay.Plan {
	return relay.Plan{Failover: true, Begin: w.watch.begin, Targets: [][]relay.Target{{{
		Network: "udp", Remote: netipAddr(pbxAddr), TCP: true,
	}}}}
}

// attempted returns what attempts were told since it was last called.
func (w *world) attempted() string {
	synctest.Wait()
	w.watch.mu.Lock()
	defer w.watch.mu.Unlock()
	all := strings.Join(w.watch.list, ", ")
	w.watch.list = nil
	return all
}

// vanish has all of TCP to the PBX vanish, as with a firewall.
func (w *world) vanish() {
	w.net.AddRule(simnet.Rule{
		Match: func(p simnet.Packet) bool { return p.Network() == "tcp" && p.Dst.Addr() == pbxAddr },
		Link:  simnet.Link{Loss: 1},
	})
}

// sendLarge sends a large request of the phone.
func (w *world) sendLarge(method string) string {
	text := w.phone.Request(method, "sip:401@a.example", large)
	w.phone.Send(proxyAddr, text)
	return text
}

// RFC 3261 section 18.1.1: what is too large for a datagram goes over TCP, and so do
// the CANCEL and the ACK that belong to it, while all else stays.
func TestLarge(t *testing.T) {
	run(t, func(w *world) {
		pbx, l := siptestx.UDP(w, w.pbx, 5060), siptestx.Listen(w, w.pbx, 5060)
		p := w.either()
		p.RecordRoute = true
		w.forward(p)
		invite := w.sendLarge("INVITE")
		stream := l.Accept()
		m := stream.Expect("INVITE")
		if vias := m.All("Via"); len(vias) != 2 || !strings.HasPrefix(vias[0], "SIP/2.0/TCP 192.0.2.1:5060;branch=") {
			w.Errorf("it arrives with the Vias %q", vias)
		}
		want := []string{"<sip:192.0.2.1:5060;transport=tcp;lr>", "<sip:192.0.2.1:5060;lr>"} // the callee's side first
		if diff := cmp.Diff(want, m.All("Record-Route")); diff != "" {
			w.Error(diff)
		}
		w.phone.Status(100)
		stream.Reply(m, 180, "callee")
		w.phone.Status(180)
		w.hangUp(invite)
		cancel := stream.Expect("CANCEL")
		if cancel.Get("Via") != m.All("Via")[0] {
			w.Errorf("it is canceled with\n%s", cancel.Text)
		}
		stream.Reply(cancel, 200, "callee")
		stream.Reply(m, 487, "callee")
		stream.Expect("ACK")
		w.ack(invite, w.phone.Status(487))
		w.send("OPTIONS")
		pbx.Reply(pbx.Expect("OPTIONS"), 200, "a")
		w.phone.Status(200)
		w.sendLarge("MESSAGE")
		stream.Reply(stream.Expect("MESSAGE"), 200, "a")
		w.phone.Status(200)
		if s := w.transport.Stats(); s.Dialed != 1 {
			w.Errorf("%d connections", s.Dialed)
		}
		stream.Close()
	})
}

// What is sent decides, and TCP is for targets only that may take it.
func TestLarge_Limit(t *testing.T) {
	for _, tt := range []struct {
		name  string
		size  int // of what is sent, give or take the length of a branch
		maybe bool
		tcp   bool
	}{
		{"below", udpMTU - 10, true, false},
		{"above", udpMTU + 10, true, true},
		{"above, UDP only", udpMTU + 10, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(w *world) {
				pbx, l := siptestx.UDP(w, w.pbx, 5060), siptestx.Listen(w, w.pbx, 5060)
				p := w.either()
				p.Targets[0][0].TCP = tt.maybe
				w.forward(p)
				w.send("MESSAGE")
				m := pbx.Expect("MESSAGE")
				pbx.Reply(m, 200, "a")
				w.phone.Status(200)
				w.phone.Send(proxyAddr, w.phone.Request("MESSAGE", "sip:401@a.example", "X: "+strings.Repeat("v", tt.size-len(m.Text)-len("X: \r\n"))))
				at := pbx
				if tt.tcp {
					at = l.Accept()
				}
				at.Reply(at.Expect("MESSAGE"), 200, "a")
				w.phone.Status(200)
				if tt.tcp {
					at.Close()
				}
			})
		})
	}
}

// A PBX that takes no TCP gets the request over UDP, at once if it says so, and the
// next ones for a time without being asked: to nobody is that a failure.
func TestLarge_Refused(t *testing.T) {
	for name, tt := range map[string]struct {
		vanish bool
		wait   time.Duration
	}{"refused": {false, 0}, "no answer": {true, 3 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			run(t, func(w *world) {
				pbx := siptestx.UDP(w, w.pbx, 5060)
				if tt.vanish {
					w.vanish()
				}
				w.forward(w.either())
				for i, wait := range []time.Duration{tt.wait, 0, 0, tt.wait} {
					start := time.Now()
					invite := w.sendLarge("INVITE")
					w.phone.Status(100)
					m := pbx.Expect("INVITE")
					if d := m.At.Sub(start).Truncate(100 * time.Millisecond); d != wait {
						w.Errorf("request %d comes after %v, want %v", i, d, wait)
					}
					if !strings.HasPrefix(m.Get("Via"), "SIP/2.0/UDP") {
						w.Errorf("it comes with\n%s", m.Text)
					}
					pbx.Silent(400 * time.Millisecond)
					pbx.Reply(m, 486, "a")
					pbx.Expect("ACK")
					w.ack(invite, w.phone.Status(486))
					if got := w.attempted(); got != "203.0.113.10: 486 <nil>, 203.0.113.10: end" {
						w.Errorf("told is %s", got)
					}
					if i == 2 {
						time.Sleep(10 * time.Minute)
					}
				}
				for _, r := range w.results() {
					if r.Attempts != 1 || r.Status != 486 {
						w.Errorf("result %+v", r)
					}
				}
				if s := w.relay.Stats(); s.Failovers != 0 || s.Forwarded != 4 || w.transport.Stats().Dialed != 2 {
					w.Errorf("%+v, %d connections", s, w.transport.Stats().Dialed)
				}
			})
		})
	}
}

// A call that is canceled while its connection is being opened goes nowhere.
func TestLarge_Canceled(t *testing.T) {
	run(t, func(w *world) {
		pbx := siptestx.UDP(w, w.pbx, 5060)
		w.vanish()
		w.forward(w.either())
		invite := w.sendLarge("INVITE")
		w.phone.Status(100)
		time.Sleep(time.Second)
		w.hangUp(invite)
		w.ack(invite, w.phone.Status(487))
		pbx.Silent(time.Minute)
	})
}

// A connection that was there and broke is another matter: the request may have
// arrived. The next PBX is tried.
func TestLarge_Broken(t *testing.T) {
	run(t, func(w *world) {
		pbx, l, next := siptestx.UDP(w, w.pbx, 5060), siptestx.Listen(w, w.pbx, 5060), w.server()
		p := w.either()
		p.Targets = append(p.Targets, group(next))
		w.forward(p)
		w.sendLarge("MESSAGE")
		stream := l.Accept()
		stream.Expect("MESSAGE")
		stream.Close()
		next.Reply(next.Expect("MESSAGE"), 200, "b")
		w.phone.Status(200)
		pbx.Silent(time.Second)
		w.sendLarge("MESSAGE")
		stream = l.Accept()
		stream.Reply(stream.Expect("MESSAGE"), 200, "a")
		w.phone.Status(200)
		stream.Close()
	})
}

// A PBX that is told over UDP in the end and does not answer there either has
// failed once.
func TestLarge_Dead(t *testing.T) {
	run(t, func(w *world) {
		w.pbx.BlackHole(true)
		next := w.server()
		p := w.either()
		p.Targets = append(p.Targets, group(next))
		w.forward(p)
		start := time.Now()
		w.sendLarge("MESSAGE")
		m := next.Expect("MESSAGE")
		if d := m.At.Sub(start).Truncate(100 * time.Millisecond); d != 11*time.Second {
			w.Errorf("the next PBX is tried after %v, want 3s and 8s", d)
		}
		next.Reply(m, 200, "b")
		w.phone.Status(200)
		if got := w.attempted(); got != "203.0.113.10: 0 timeout, 203.0.113.10: end, 203.0.113.20: 200 <nil>, 203.0.113.20: end" {
			w.Errorf("told is %s", got)
		}
	})
}
