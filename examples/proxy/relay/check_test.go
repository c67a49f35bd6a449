package relay_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/internal/siptestx"
)

func TestNew_Faults(t *testing.T) {
	_, err := relay.New(relay.Config{NoReply: -1})
	if err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("New reports %v, want 4 faults", err)
	}
	for _, cfg := range []relay.Config{{T1: -1}, {T2: -1}, {TimerC: -1}} {
		w := &world{T: t}
		cfg.Policy, cfg.Network, cfg.Own = policy{w}, network{w}, w.isOwn
		if r, err := relay.New(cfg); err == nil || r != nil {
			t.Errorf("New(%+v) = %v, %v, want an error", cfg, r, err)
		}
	}
}

// RFC 3261 section 16.3 step 5: what must be supported by proxies is not.
func TestCheck_ProxyRequire(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		w.forward(groups(pbx))
		w.send("INVITE", "Proxy-Require: sec-agree, foo", "Proxy-Require: bar", "Require: 100rel")
		if m := w.phone.Status(420); m.Get("Unsupported") != "sec-agree, foo, bar" || m.ToTag() == "" {
			w.Errorf("answered with\n%s", m.Text)
		}
		w.phone.Silent(time.Second)
		w.gone() // it was refused without state
		pbx.Silent(time.Second)
		w.send("ACK", "Proxy-Require: foo")
		pbx.Expect("ACK") // RFC 3261 section 8.2.2.3
	})
}

// RFC 3261 section 16.3 step 1: a Request-URI that is at fault is refused; of other
// schemes the policy knows.
func TestCheck_RequestURI(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		w.forward(groups(pbx))
		for _, uri := range []string{"sip:401@2001:db8::10", "sip:401@[2001:db8:::1]", "sip:401@a.example:0x", "sips:@@a", "sip:"} {
			w.phone.Send(proxyAddr, w.phone.Request("MESSAGE", uri))
			w.phone.Status(400)
			w.phone.Send(proxyAddr, w.phone.Request("ACK", uri))
		}
		w.phone.Silent(time.Second)
		w.gone()
		pbx.Silent(time.Second)
		w.phone.Send(proxyAddr, w.phone.Request("MESSAGE", "tel:+15551234"))
		pbx.Expect("MESSAGE tel:+15551234 ")
	})
}

// crowded returns an INVITE of the phone to which so many header fields, and bytes
// of them, could be added.
func (w *world) crowded(fields, bytes int) string {
	invite := w.phone.Request("INVITE", "sip:401@a.example")
	f, b := parse(w, invite).Room()
	fill := strings.Repeat("X: y\r\n", f-fields-1)
	fill += "Y: " + strings.Repeat("y", b-bytes-len(fill+"Y: \r\n")) + "\r\n"
	return strings.Replace(invite, "CSeq:", fill+"CSeq:", 1)
}

// What is added to a request leaves it readable, so that it can be canceled.
func TestCheck_Room(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		p := groups(pbx)
		p.RecordRoute = true
		w.forward(p)
		invite := w.crowded(16, 4<<10)
		w.phone.Send(proxyAddr, invite)
		w.phone.Status(100)
		m := pbx.Expect("INVITE")
		pbx.Reply(m, 180, "a")
		w.phone.Status(180)
		w.hangUp(invite)
		pbx.Reply(pbx.Expect("CANCEL"), 200, "a")
		pbx.Reply(m, 487, "a")
		pbx.Expect("ACK")
		w.ack(invite, w.phone.Status(487))
	})
}

// A request that has no room for that is refused.
func TestCheck_NoRoom(t *testing.T) {
	for _, room := range [][2]int{{15, 4 << 10}, {16, 4<<10 - 1}} {
		run(t, func(w *world) {
			w.forward(groups(w.server()))
			w.phone.Send(proxyAddr, w.crowded(room[0], room[1]))
			w.phone.Status(513)
			w.gone() // it was refused without state
		})
	}
}

// bounce makes a peer send back what it gets, as a proxy does. Change edits it.
func (w *world) bounce(p *siptestx.Peer, m siptestx.Message, change func(string) string) {
	via := "Via: SIP/2.0/UDP " + p.Addr.String() + ";branch=z9hG4bKbounce" + m.Branch()[8:] + "\r\nVia: "
	text := strings.Replace(m.Text, "Via: ", via, 1)
	if change != nil {
		text = change(text)
	}
	p.Send(proxyAddr, text)
}

// R31, P-30: a request that comes back unchanged is in a loop; it is not
// forwarded a second time.
func TestCheck_Loop(t *testing.T) {
	for _, method := range []string{"INVITE", "OPTIONS"} {
		for _, format := range []string{"one field each", "a list", "blanks"} {
			t.Run(method+" "+format, func(t *testing.T) {
				run(t, func(w *world) {
					pbx := w.server()
					w.forward(groups(pbx))
					text := w.send(method)
					m := pbx.Expect(method)
					w.bounce(pbx, m, func(text string) string {
						switch format {
						case "a list":
							first := strings.Index(text, "\r\nVia: SIP/2.0/UDP 192")
							return text[:first] + ", " + text[first+len("\r\nVia: "):]
						case "blanks":
							return strings.Replace(text, "192.0.2.1:5060;branch", "192.0.2.1 : 5060 ; branch", 1)
						}
						return text
					})
					pbx.Status(482)
					pbx.Silent(100 * time.Millisecond)
					pbx.Reply(m, 482, "a")
					if method == "INVITE" {
						pbx.Expect("ACK")
						w.phone.Status(100)
					}
					answer := w.phone.Status(482)
					if method == "INVITE" {
						w.ack(text, answer)
					}
					if s := w.relay.Stats(); s.Loops != 1 || s.Forwarded != 1 {
						w.Errorf("stats %+v, want 1 loop", s)
					}
				})
			})
		}
	}
}

// R31: a request that comes back changed is in a spiral, which is allowed. One
// that comes on another way is merged, which is not.
func TestCheck_SpiralAndMerged(t *testing.T) {
	tests := []struct {
		name   string
		change func(string) string
		status int // 0: forwarded
	}{
		{"Request-URI", func(s string) string { return strings.Replace(s, "sip:401@a.example SIP", "sip:402@a.example SIP", 1) }, 0},
		{"CSeq", func(s string) string { return strings.Replace(s, "CSeq: 1", "CSeq: 2", 1) }, 0},
		{"Route", func(s string) string { return strings.Replace(s, "CSeq:", "Route: <sip:x;lr>\r\nCSeq:", 1) }, 0},
		{"other proxy's Via", func(s string) string { return strings.Replace(s, "192.0.2.1:5060", "192.0.2.1:5099", 1) }, 482},
		{"fresh Via", func(s string) string {
			m := siptestx.Message{Text: s}
			return strings.Replace(m.Without("Via"), "Max-", "Via: "+m.Get("Via")+"\r\nMax-", 1)
		}, 482},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(w *world) {
				pbx := w.server()
				w.forward(groups(pbx))
				w.send("OPTIONS")
				first := pbx.Expect("OPTIONS")
				w.bounce(pbx, first, tt.change)
				if tt.status == 0 {
					m := pbx.Expect("OPTIONS")
					if len(m.All("Via")) != 4 {
						w.Errorf("the PBX gets\n%s", m.Text)
					}
					pbx.Reply(m, 200, "a")
					pbx.Status(200)
				} else {
					pbx.Expect("SIP/2.0 482 Request Merged")
					if s := w.relay.Stats(); s.Merged != 1 || s.Loops != 0 {
						w.Errorf("stats %+v, want 1 merged", s)
					}
				}
				pbx.Reply(first, 200, "a")
				w.phone.Status(200)
			})
		})
	}
}

// P-28: a target that are we ourselves gets nothing.
func TestCheck_TargetIsSelf(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		run(t, func(w *world) {
			w.forward(relay.Plan{Targets: [][]relay.Target{{{Network: network, Remote: proxyAddr}}}})
			w.send("OPTIONS")
			w.phone.Expect("SIP/2.0 482 Loop Detected")
			if s := w.relay.Stats(); s.Forwarded != 0 {
				w.Errorf("%d requests were forwarded to ourselves", s.Forwarded)
			}
		})
	}
}

// A request that cannot be read is answered with what is wrong.
func TestFault(t *testing.T) {
	tests := []struct {
		name, old, new, want string
	}{
		{"syntax", "CSeq: 1 OPTIONS", "CSeq: x OPTIONS", "SIP/2.0 400 Bad Request (CSeq)"},
		{"version", "SIP/2.0\r\nVia", "SIP/3.0\r\nVia", "SIP/2.0 505 Version Not Supported"},
		{"no answer to an ACK", "OPTIONS", "ACK", ""},
		{"no answer to a response", "OPTIONS sip:401@a.example SIP/2.0\r\n", "SIP/2.0 999 x\r\n", ""},
		{"no Via", "Via", "X", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(w *world) {
				w.forward(groups())
				text := strings.ReplaceAll(w.phone.Request("OPTIONS", "sip:401@a.example", "Max-Forwards: 0"), tt.old, tt.new)
				w.phone.Send(proxyAddr, strings.Replace(text, "Content-Length: 0", "Content-Length: 1", 1))
				if tt.want == "" {
					w.phone.Silent(time.Second)
				} else if m := w.phone.Next(); !strings.HasPrefix(m.Start(), tt.want) || !strings.Contains(m.Get("Via"), ";received=") {
					w.Errorf("answered with\n%s\nwant %s", m.Text, tt.want)
				}
				if w.relay.Stats().Faults != 1 {
					w.Error("not counted as a fault")
				}
			})
		})
	}
}

// A response to nothing is not passed on, whatever its Via says.
func TestStray(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		m := siptestx.Message{Text: strings.Replace(w.phone.Request("OPTIONS", "sip:401@a.example"),
			"Via:", "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx\r\nVia:", 1)}
		pbx.Send(proxyAddr, m.Reply(200, "a"))
		w.phone.Silent(time.Minute)
		if w.relay.Stats().Strays != 1 {
			w.Error("not counted as a stray")
		}
	})
}
