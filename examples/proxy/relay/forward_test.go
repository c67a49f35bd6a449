package relay_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/internal/siptestx"
)

// crlf gives a text of the source the line ends of SIP.
func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// R1: a request passes byte for byte but for its first line, a Via more,
// Max-Forwards and Max-Breadth; a response but for a Via less. P-74: so do all bodies.
func TestForward_Fidelity(t *testing.T) {
	const body = "v=0\r\no=\x00\xff \r\n\r\nSIP/2.0 200 OK\r\n\r\n"
	request := crlf(`INVITE sip:401@a.example;x=1;x=2 SIP/2.0
Subject : a "quoted  ,  comma" and Zoë
v: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKa;rport, SIP/2.0/TCP [2001:db8::1]:5061;branch=z9hG4bKb
max-forwards:  17
f: "Alice, \"A.\"" <sip:alice@a.example;x=y>;tag=1
t:   <sip:401@a.example>
i: Call-1@a
CSeq:  4711   INVITE
m: <sip:alice@198.51.100.7;ob>;+sip.instance="<urn:uuid:0>", <sip:b@c>;q=0.1
Refer-To: <sip:x@y?Replaces=a%3Bto-tag%3Db>;x=1;x=2
X-Folded: a
	b
  c
k: 100rel , timer
Require: 100rel
P-Early-Media:
c: application/sdp
l: `+fmt.Sprint(len(body))+"\n\n") + body
	want := strings.NewReplacer(
		"sip:401@a.example;x=1;x=2 SIP", "sip:401@203.0.113.20;line=1 SIP",
		";rport,", ";rport=5060;received=198.51.100.7,",
		"max-forwards:  17", "Max-Breadth: 60\r\nmax-forwards:  16",
	).Replace(request)
	run(t, func(w *world) {
		pbx := w.server()
		to := target(pbx)
		to.RequestURI = "sip:401@203.0.113.20;line=1"
		w.forward(relay.Plan{Targets: [][]relay.Target{{to}}})
		w.phone.Send(proxyAddr, request)
		m := pbx.Expect("INVITE")
		ours, rest, _ := strings.Cut(m.Text[strings.Index(m.Text, "Via: "):], "\r\n")
		got := strings.Replace(m.Text, ours+"\r\n", "", 1)
		if diff := cmp.Diff(want, got); diff != "" || !strings.HasPrefix(rest, "v: ") {
			w.Errorf("%s\n%s", diff, m.Text)
		}
		if !strings.HasPrefix(ours, "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK") {
			w.Errorf("our Via is %q", ours)
		}
		w.phone.Status(100)
		w.responsesPass(pbx, m.From, ours, body)
	})
}

// responsesPass sends responses of the PBX with our Via, in a field of its own
// and first in a list, and expects them at the phone without it.
func (w *world) responsesPass(pbx *siptestx.Peer, proxy netip.AddrPort, ours, body string) {
	w.Helper()
	const theirs = "SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKa;rport=5060, SIP/2.0/TCP [2001:db8::1]:5061;branch=z9hG4bKb\r\n"
	tail := crlf(`t: <sip:401@a.example>;tag=2
f: "Alice, \"A.\"" <sip:alice@a.example;x=y>;tag=1
i: Call-1@a
CSeq: 4711 INVITE
RSeq: 17
Contact: <sip:401@203.0.113.20;line=1>
l:  `+fmt.Sprint(len(body))+"\n\n") + body
	for _, tt := range []struct{ status, vias, want string }{
		{"183 Süß  (really)", ours + "\r\nv:   ", "v:   "},
		{"486", "v: " + ours[5:] + " ,\r\n  ", "v: "},
	} {
		head := "SIP/2.0 " + tt.status + "\r\nServer : x\r\n"
		pbx.Send(proxy, head+tt.vias+theirs+tail)
		if diff := cmp.Diff(head+tt.want+theirs+tail, w.phone.Next().Text); diff != "" {
			w.Error(diff)
		}
	}
}

// R9: Max-Forwards.
func TestForward_MaxForwards(t *testing.T) {
	tests := []struct {
		method, uri, field string
		want               string // at the PBX; empty if it gets nothing
		status             int
	}{
		{"OPTIONS", "sip:401@a.example", "Max-Forwards: 70", "69", 200},
		{"OPTIONS", "sip:401@a.example", "Max-Forwards: 1", "0", 200},
		{"OPTIONS", "sip:401@a.example", "Max-Forwards:", "70", 200},
		{"OPTIONS", "sip:401@a.example", "Max-Forwards: 255", "254", 200},
		{"OPTIONS", "sip:401@a.example", "Max-Forwards: 0", "", 483},
		{"INVITE", "sip:401@a.example", "Max-Forwards: 0", "", 483},
		{"REGISTER", "sip:192.0.2.1", "Max-Forwards: 0", "", 483},
		{"OPTIONS", "sip:401@192.0.2.1", "Max-Forwards: 0", "", 483},
		{"OPTIONS", "sip:192.0.2.1", "Max-Forwards: 0", "0", 200}, // to us: the policy answers
		{"OPTIONS", "sip:401@a.example", "Max-Forwards: 256", "", 400},
		{"OPTIONS", "sip:401@a.example", "Max-Forwards: x", "", 400},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.uri+" "+tt.field, func(t *testing.T) {
			run(t, func(w *world) {
				pbx := w.server()
				w.forward(groups(pbx))
				w.phone.Send(proxyAddr, w.phone.Request(tt.method, tt.uri, tt.field))
				if tt.want != "" {
					m := pbx.Expect(tt.method)
					if got := m.Get("Max-Forwards"); got != tt.want {
						w.Errorf("Max-Forwards is %q, want %q", got, tt.want)
					}
					pbx.Reply(m, 200, "a")
				}
				w.phone.Status(tt.status)
				pbx.Silent(time.Second)
			})
		})
	}
}

// R1, R8: each branch of a fork gets its own Via, Request-URI and Edit, and
// Max-Forwards once decremented.
func TestForward_Fork(t *testing.T) {
	run(t, func(w *world) {
		a, b := w.server(), w.server()
		targets := group(a, b)
		for i := range targets {
			name := fmt.Sprint(i)
			targets[i].RequestURI = "sip:target@" + name
			targets[i].Edit = func(f transport.Flow, p *sipmsg.Patch) {
				p.Prepend(sipmsg.Supported, "X-Name: "+name+" to "+f.Remote().String())
			}
		}
		w.forward(relay.Plan{Targets: [][]relay.Target{targets}})
		w.send("MESSAGE")
		branches := map[string]bool{}
		for i, p := range []*siptestx.Peer{a, b} {
			m := p.Expect("MESSAGE sip:target@" + fmt.Sprint(i) + " ")
			branches[m.Branch()] = true
			if m.Get("Max-Forwards") != "69" || m.Get("X-Name") != fmt.Sprint(i, " to ", p.Addr) || len(m.All("Via")) != 2 {
				w.Errorf("branch %d gets\n%s", i, m.Text)
			}
			p.Reply(m, 200, "a")
		}
		if len(branches) != 2 {
			w.Error("the branches have one branch parameter")
		}
	})
}

type recordRouteTest struct {
	name    string
	overTCP bool // the phone
	to      func(*world, *siptestx.Peer) relay.Target
	fields  []string
	want    []string
}

func recordRouteTests() []recordRouteTest {
	udp := func(w *world, p *siptestx.Peer) relay.Target { return target(p) }
	inner := func(_ *world, p *siptestx.Peer) relay.Target {
		return relay.Target{Network: "udp", Local: innerAddr, Remote: p.Addr}
	}
	tcp := func(w *world, _ *siptestx.Peer) relay.Target {
		l := siptestx.Listen(w, w.pbx, 5060)
		go func() { l.Accept() }()
		return relay.Target{Network: "tcp", Remote: l.Addr}
	}
	const mine = "<sip:192.0.2.1:5060;lr;p=1>"
	return []recordRouteTest{
		{"udp to udp", false, udp, nil, []string{mine}},
		{"another before", false, udp, []string{"Record-Route: <sip:x;lr>"}, []string{mine, "<sip:x;lr>"}},
		{"udp to another listener", false, inner, nil, []string{"<sip:192.0.2.1:5070;lr;p=1>", mine}},
		{"udp to tcp", false, tcp, nil, []string{"<sip:192.0.2.1:5060;transport=tcp;lr;p=1>", mine}},
		{"tcp to udp", true, udp, nil, []string{mine, "<sip:192.0.2.1:5060;transport=tcp;lr;p=1>"}},
		{"tcp to tcp", true, tcp, nil, []string{"<sip:192.0.2.1:5060;transport=tcp;lr;p=1>"}},
	}
}

// R26, P-28: a dialog is kept by one Record-Route; by two, the outer one on
// top, if the sides differ in network or listener (RFC 5658).
func TestForward_RecordRoute(t *testing.T) {
	for _, tt := range recordRouteTests() {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(w *world) {
				phone, pbx := w.phone, w.server()
				if tt.overTCP {
					phone = siptestx.Dial(w, w.phones, proxyAddr)
				}
				var got []string
				to := tt.to(w, pbx)
				to.Edit = func(_ transport.Flow, p *sipmsg.Patch) { got = parse(w, string(p.Bytes())).Values(sipmsg.RecordRoute) }
				plan := relay.Plan{Targets: [][]relay.Target{{to}}, RecordRoute: true, RouteParams: ";p=1"}
				w.forward(plan)
				phone.Send(proxyAddr, phone.Request("SUBSCRIBE", "sip:401@a.example", tt.fields...))
				phone.Collect(time.Minute)
				if diff := cmp.Diff(tt.want, got); diff != "" {
					w.Error(diff)
				}
				plan.RecordRoute = false
				w.forward(plan)
				phone.Send(proxyAddr, phone.Request("SUBSCRIBE", "sip:401@a.example"))
				phone.Collect(time.Minute)
				if len(got) != 0 {
					w.Errorf("Record-Route %q without being asked", got)
				}
			})
		})
	}
}

// P-08, R43: where answers go and what the Via says then (RFC 3261 section
// 18.2.2, RFC 3581).
func TestForward_ResponseAddress(t *testing.T) {
	const other = 5080
	tests := []struct {
		name, sentBy string
		symmetric    bool
		toOther      bool // the answer goes to the port of the Via
		via          string
	}{
		{"as in the Via", "198.51.100.7:5060", false, false, ""},
		{"no port", "198.51.100.7", false, false, ""},
		{"other host", "10.0.0.1:5060", false, false, ";received=198.51.100.7"},
		{"rport", "10.0.0.1:5080;rport", false, false, ";received=198.51.100.7;rport=5060"},
		{"port of the Via", "198.51.100.7:5080", false, true, ""},
		{"NAT", "10.0.0.1:5080", true, false, ";received=198.51.100.7;rport=5060"},
		{"lies", "10.0.0.1:5080;received=1.1.1.1;rport=1", false, false, ";received=198.51.100.7;rport=5060"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(w *world) {
				w.symmetric = func(f transport.Flow) bool { return tt.symmetric && f.Remote() == w.phone.Addr }
				phone := siptestx.UDP(w, w.phones, other)
				pbx := w.server()
				w.forward(groups(pbx))
				w.send("REGISTER", "Via: SIP/2.0/UDP "+tt.sentBy+";branch=z9hG4bKa")
				m := pbx.Expect("REGISTER")
				via := m.All("Via")[1]
				for _, p := range []string{";received=", ";rport="} {
					_, want, has := strings.Cut(tt.via, p)
					want, _, _ = strings.Cut(want, ";")
					if got := strings.Contains(via, p); got != has || has && !strings.Contains(via+";", p+want+";") {
						w.Errorf("Via is %q, want %q", via, tt.via)
					}
				}
				pbx.Reply(m, 401, "a")
				got := len(phone.Collect(time.Second))
				if toOther := got == 1; toOther != tt.toOther || got+len(w.phone.Drain()) != 1 {
					w.Errorf("%d answers came to the port of the Via", got)
				}
			})
		})
	}
}

// A response that has no Via but ours is for nobody, and ends the branch.
func TestForward_ResponseWithoutVia(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.server()
		w.forward(groups(pbx))
		w.send("INVITE")
		w.phone.Status(100)
		m := pbx.Expect("INVITE")
		for _, status := range []int{180, 200} {
			all := strings.SplitAfterN(m.Reply(status, "a"), "\r\n", 4)
			pbx.Send(m.From, all[0]+all[1]+all[3]) // without the second Via
		}
		w.phone.Status(480)
	})
}
