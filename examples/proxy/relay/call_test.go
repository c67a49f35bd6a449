package relay_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/internal/siptestx"
)

// inDialog returns the phone's request in the dialog of an INVITE's answer.
func (w *world) inDialog(method string, invite string, answer siptestx.Message, fields ...string) string {
	seq := "2"
	if method == "ACK" {
		seq = "1"
	}
	m := siptestx.Message{Text: invite}
	fields = append([]string{"From: " + m.Get("From"), "Call-ID: " + m.Get("Call-ID"),
		"To: " + answer.Get("To"), "CSeq: " + seq + " " + method}, fields...)
	return w.phone.Request(method, "sip:401@203.0.113.20", fields...)
}

// A call from its INVITE to its BYE. R28: the 100 is there soon if
// nothing else is, and for an INVITE only. R26: the ACK for the 2xx passes.
func TestCall(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		p := groups(pbx)
		p.RecordRoute = true
		w.forward(p)
		start := time.Now()
		invite := w.send("INVITE", "\nv=0\r\n")
		if m := w.phone.Status(100); m.At.Sub(start) > 50*time.Millisecond || m.ToTag() != "" {
			w.Errorf("%v later the 100 is\n%s", m.At.Sub(start), m.Text)
		}
		m := pbx.Expect("INVITE")
		pbx.Reply(m, 100, "") // ours was enough
		pbx.Reply(m, 180, "a")
		if got := w.phone.Status(180); got.ToTag() != "a" || len(got.All("Via")) != 1 {
			w.Errorf("the phone gets\n%s", got.Text)
		}
		pbx.Reply(m, 200, "a", "\nv=0\r\n")
		answer := w.phone.Status(200)
		route := "Route: " + answer.Get("Record-Route")
		w.phone.Send(proxyAddr, w.inDialog("ACK", invite, answer, route))
		ack := pbx.Expect("ACK")
		if ack.Branch() == m.Branch() || ack.Get("Route") != "" || ack.Get("Max-Forwards") != "69" || len(ack.All("Via")) != 2 {
			w.Errorf("the PBX gets\n%s", ack.Text)
		}
		w.phone.Send(proxyAddr, w.inDialog("BYE", invite, answer, route))
		bye := pbx.Expect("BYE")
		pbx.Reply(bye, 200, "a")
		w.phone.Status(200)
		w.phone.Silent(time.Minute)
		pbx.Silent(0)
		want := []relay.Result{{Status: 200, Reason: "OK", Attempts: 1}, {Status: 200, Reason: "OK", Attempts: 1}}
		got := w.results()
		for i := range got {
			if got[i].Target == nil || got[i].Target.Remote != pbx.Addr {
				w.Errorf("result %d has target %v", i, got[i].Target)
			}
			got[i].Target = nil
		}
		if diff := cmp.Diff(want, got); diff != "" {
			w.Error(diff)
		}
		if s := w.relay.Stats(); s.Forwarded != 3 || s.Replied+s.Dropped+s.Late+s.Strays+s.Failovers != 0 {
			w.Errorf("stats %+v", s)
		}
	})
}

// R28: no 100 for other requests, and one for a repeated INVITE each time that it
// comes again.
func TestCall_Trying(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		w.forward(groups(pbx))
		w.send("OPTIONS")
		pbx.Reply(pbx.Expect("OPTIONS"), 200, "a")
		w.phone.Status(200)
		invite := w.send("INVITE")
		for range 9 {
			w.phone.Send(proxyAddr, invite)
		}
		if got := siptestx.Starts(w.phone.Drain()); got != strings.Repeat("SIP/2.0 100 Trying\n", 9) {
			w.Errorf("10 INVITEs are answered with\n%s", got)
		}
		m := pbx.Expect("INVITE") // R29
		pbx.Silent(400 * time.Millisecond)
		pbx.Reply(m, 486, "a")
		w.ack(invite, w.phone.Status(486))
		pbx.Expect("ACK")
	})
}

// R29: ten of a kind are one for the PBX, each is answered with what there is.
func TestCall_Duplicates(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		w.forward(groups(pbx))
		text := w.send("REGISTER")
		for range 9 {
			w.phone.Send(proxyAddr, text)
		}
		m := pbx.Expect("REGISTER")
		pbx.Silent(400 * time.Millisecond)
		pbx.Reply(m, 200, "a")
		pbx.Reply(m, 200, "a") // the PBX repeats it as well
		first := w.phone.Status(200)
		w.phone.Silent(time.Second)
		w.phone.Send(proxyAddr, text)
		if again := w.phone.Status(200); again.Text != first.Text {
			w.Errorf("the answer changed to\n%s", again.Text)
		}
		pbx.Silent(time.Minute)
	})
}

// P-62: a REGISTER with credentials is a new request, though all but CSeq and
// branch are as before.
func TestCall_SecondRegister(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		w.forward(groups(pbx))
		text := w.send("REGISTER")
		pbx.Reply(pbx.Expect("REGISTER"), 401, "a", `WWW-Authenticate: Digest realm="a", nonce="1"`)
		w.phone.Status(401)
		w.phone.Send(proxyAddr, siptestx.Edit(text, "CSeq: 2 REGISTER", "Authorization: Digest x", "Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKsecond"))
		m := pbx.Expect("REGISTER")
		if m.Get("Authorization") != "Digest x" {
			w.Errorf("the PBX gets\n%s", m.Text)
		}
		pbx.Reply(m, 200, "a")
		w.phone.Status(200)
	})
}

// R21: what comes in order is passed on in order, over UDP and TCP, however
// close it is.
func TestCall_Order(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			run(t, func(w *world) {
				var pbx *siptestx.Peer
				to := relay.Target{Network: network, Remote: netipAddr(pbxAddr)}
				if network == "udp" {
					pbx = siptestx.UDP(w, w.pbx, 5060)
				} else {
					l := siptestx.Listen(w, w.pbx, 5060)
					flow, err := w.transport.Dial("tcp", noAddr, l.Addr)
					must(w, err)
					pbx, to = l.Accept(), relay.Target{Flow: flow}
				}
				w.forward(relay.Plan{Targets: [][]relay.Target{{to}}})
				for range 100 {
					w.send("INVITE")
					m := pbx.Expect("INVITE")
					for _, status := range []int{100, 183, 180, 200} {
						pbx.Reply(m, status, "a")
					}
					want := "SIP/2.0 183 Session Progress\nSIP/2.0 180 Ringing\nSIP/2.0 200 OK\n"
					if got := siptestx.Starts(w.phone.Drain()); got != want {
						w.Fatalf("the phone gets\n%s", got)
					}
				}
			})
		})
	}
}

// P-75: what challenges or asks is passed on as it came.
func TestCall_StatusesPass(t *testing.T) {
	for _, tt := range []struct {
		status int
		field  string
	}{
		{302, "Contact: <sip:x@y>"},
		{401, `WWW-Authenticate: Digest realm="a", nonce="1", qop="auth,auth-int"`},
		{407, `Proxy-Authenticate: Digest realm="a", nonce="1"`},
		{423, "Min-Expires: 120"},
		{494, "Security-Server: ipsec-3gpp"},
		{404, "X: y"}, {480, "X: y"}, {486, "Retry-After: 5"}, {500, "X: y"}, {603, "X: y"},
	} {
		for _, failover := range []bool{false, true} { // P-27: nothing of this makes a failover
			t.Run(fmt.Sprint(tt.status, failover), func(t *testing.T) {
				run(t, func(w *world) {
					pbx, second := w.server(), w.server()
					p := groups(pbx, second)
					if p.Failover = failover; !failover {
						p.Targets = p.Targets[:1]
					}
					w.forward(p)
					for _, method := range []string{"REGISTER", "INVITE"} {
						text := w.send(method)
						m := pbx.Expect(method)
						pbx.Reply(m, tt.status, "a", tt.field)
						if method == "INVITE" {
							pbx.Expect("ACK")
						}
						got := w.phone.Status(tt.status)
						want := strings.Replace(m.Reply(tt.status, "a", tt.field), "Via: "+m.Get("Via")+"\r\n", "", 1)
						if diff := cmp.Diff(want, got.Text); diff != "" {
							w.Error(diff)
						}
						if method == "INVITE" {
							w.ack(text, got)
						}
					}
					second.Silent(time.Minute)
				})
			})
		}
	}
}

// P-74: 100rel and UPDATE pass with their bodies and numbers.
func TestCall_Reliable(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		p := groups(pbx)
		p.RecordRoute = true
		w.forward(p)
		const offer, answer = "\nv=0\r\no=- 1\r\n", "\nv=0\r\no=- 2\r\n"
		invite := w.send("INVITE", "Require: 100rel")
		w.phone.Status(100)
		m := pbx.Expect("INVITE")
		pbx.Reply(m, 183, "a", "Require: 100rel", "RSeq: 4711", offer)
		ringing := w.phone.Status(183)
		if ringing.Get("RSeq") != "4711" || ringing.Get("Require") != "100rel" || ringing.Body() != offer[1:] {
			w.Errorf("the phone gets\n%s", ringing.Text)
		}
		route := "Route: " + ringing.Get("Record-Route")
		for _, method := range []string{"PRACK", "UPDATE"} {
			w.phone.Send(proxyAddr, w.inDialog(method, invite, ringing, route, "RAck: 4711 1 INVITE", answer))
			got := pbx.Expect(method)
			if got.Get("RAck") != "4711 1 INVITE" || got.Body() != answer[1:] {
				w.Errorf("the PBX gets\n%s", got.Text)
			}
			pbx.Reply(got, 200, "a", answer)
			if got := w.phone.Status(200); got.Body() != answer[1:] {
				w.Errorf("the phone gets\n%s", got.Text)
			}
		}
		pbx.Reply(m, 200, "a")
		w.phone.Status(200)
	})
}

// Methods that nobody knows are forwarded like others.
func TestCall_UnknownMethod(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		w.forward(groups(pbx))
		for _, method := range []string{"FOO", "invite", "x-1.0"} {
			w.send(method)
			pbx.Reply(pbx.Expect(method+" "), 501, "a")
			w.phone.Status(501)
		}
	})
}

// R27: every 2xx is passed on for 64*T1 after the first, of whatever dialog and
// transport, also a late one of another branch.
func TestCall_Every2xx(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			run(t, func(w *world) {
				phone := w.phone
				if network == "tcp" {
					phone = siptestx.Dial(w, w.phones, proxyAddr)
				}
				a, b := w.server(), w.server()
				w.forward(relay.Plan{Targets: [][]relay.Target{group(a, b)}})
				phone.Send(proxyAddr, phone.Request("INVITE", "sip:401@a.example"))
				phone.Status(100)
				ma, mb := a.Expect("INVITE"), b.Expect("INVITE")
				a.Reply(ma, 200, "a1")
				phone.Status(200)
				for i, tag := range []string{"a1", "a2", "a1"} {
					time.Sleep(10 * time.Second)
					a.Reply(ma, 200, tag)
					if got := phone.Status(200); got.ToTag() != tag {
						w.Errorf("the phone gets\n%s", got.Text)
					}
					if i == 0 { // R23: b answers as its CANCEL arrives
						b.Reply(mb, 200, "b")
						if got := phone.Status(200); got.ToTag() != "b" {
							w.Errorf("the phone gets\n%s", got.Text)
						}
					}
				}
				time.Sleep(3 * time.Second)
				a.Reply(ma, 200, "a1")
				phone.Silent(time.Minute)
				if got := w.results(); len(got) != 1 || got[0].Status != 200 {
					w.Errorf("results %+v, want one", got)
				}
			})
		})
	}
}

// P-24, R26: an ACK for a 2xx without a Route goes where the 2xx came from, for
// as long as that may be repeated. It is never answered, nor is any ACK.
func TestCall_AckWithoutRoute(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		w.onRoute(func(c *relay.Context) {
			if c.Message.Method != "ACK" {
				c.Forward(groups(pbx))
				return
			}
			f := c.Peer()
			if f == (transport.Flow{}) {
				c.Reply(481, "Not Seen")
				return
			}
			c.Forward(relay.Plan{Targets: [][]relay.Target{{{Flow: f}}}})
		})
		invite := w.send("INVITE")
		w.phone.Status(100)
		m := pbx.Expect("INVITE")
		ack := w.inDialog("ACK", invite, siptestx.Message{Text: m.Reply(200, "a")})
		w.phone.Send(proxyAddr, ack)
		pbx.Silent(400 * time.Millisecond) // there is no 2xx yet
		pbx.Reply(m, 200, "a")
		for range 3 {
			w.phone.Send(proxyAddr, ack)
			pbx.Expect("ACK sip:401@203.0.113.20 ")
			time.Sleep(10 * time.Second)
		}
		w.phone.Send(proxyAddr, siptestx.Edit(ack, "Call-ID: other"))
		w.phone.Send(proxyAddr, siptestx.Edit(ack, "CSeq: 2 ACK"))
		w.phone.Send(proxyAddr, siptestx.Edit(ack, "From: <sip:x@y>;tag=other"))
		time.Sleep(3 * time.Second)
		w.gone()
		w.phone.Send(proxyAddr, ack)
		pbx.Silent(time.Minute)
		w.phone.Status(200)
		w.phone.Silent(0)
		if s := w.relay.Stats(); s.Dropped != 5 {
			w.Errorf("%d ACKs dropped, want 5", s.Dropped)
		}
	})
}

// An ACK that leads nowhere is dropped.
func TestCall_AckNowhere(t *testing.T) {
	run(t, func(w *world) {
		plans := []relay.Plan{{}, {Targets: [][]relay.Target{nil}}, {Targets: [][]relay.Target{{{Network: "udp"}}}}}
		for _, p := range plans {
			w.forward(p)
			w.send("ACK")
		}
		w.onRoute(func(c *relay.Context) { c.Refuse(403, "Forbidden") })
		w.send("ACK")
		w.phone.Silent(time.Minute)
		if s := w.relay.Stats(); s.Dropped != 4 || s.Forwarded != 0 || s.Replied != 0 || len(w.results()) != 0 {
			w.Errorf("stats %+v, results %+v, want 4 dropped", s, w.results())
		}
	})
}

// R20: an ACK and a BYE of one flow never change places.
func TestCall_AckBeforeBye(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		w.forward(groups(pbx))
		for range 500 {
			w.send("ACK")
			w.send("BYE")
			synctest.Wait()
			pbx.Expect("ACK")
			pbx.Reply(pbx.Expect("BYE"), 200, "a")
			w.phone.Status(200)
		}
	})
}
