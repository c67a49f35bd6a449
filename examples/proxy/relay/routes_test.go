package relay_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/internal/siptestx"
)

// routed is what the policy and the PBX see of a request's Routes.
type routed struct {
	URI    string   // the policy's
	Own    []string // likewise
	Next   string   // likewise
	Sent   string   // Request-URI at the PBX
	Routes []string // Route fields at the PBX
}

// routes returns what becomes of a request.
func (w *world) routes(uri string, to func(*relay.Target), fields ...string) routed {
	w.Helper()
	pbx := w.server()
	var got routed
	w.onRoute(func(c *relay.Context) {
		got = routed{URI: c.RequestURI, Own: c.OwnRoutes, Next: c.NextRoute}
		p := groups(pbx)
		if to != nil {
			to(&p.Targets[0][0])
		}
		c.Forward(p)
	})
	text := w.phone.Request("BYE", uri, fields...)
	w.phone.Send(proxyAddr, text)
	m := pbx.Expect("BYE")
	got.Sent, got.Routes = m.URI(), m.All("Route")
	pbx.Reply(m, 200, "a")
	w.phone.Status(200)
	return got
}

// P-29: our own Routes are taken off, adjacent or not, and no other (RFC 3261
// section 16.4); the next one is told to the policy.
func TestRoutes(t *testing.T) {
	const (
		uri   = "sip:402@10.0.0.2:5061;ob"
		own   = "<sip:192.0.2.1:5060;lr>"
		other = "<sip:203.0.113.9;lr>"
	)
	tests := []struct {
		name   string
		fields []string
		want   routed
	}{
		{"none", nil, routed{URI: uri, Sent: uri}},
		{"own", []string{"Route: " + own}, routed{URI: uri, Own: []string{"sip:192.0.2.1:5060;lr"}, Sent: uri}},
		{"own name", []string{`Route: "us" <sip:proxy.example;lr;x=1>;y`}, routed{URI: uri, Own: []string{"sip:proxy.example;lr;x=1"}, Sent: uri}},
		{"other", []string{"Route: " + other}, routed{URI: uri, Next: other, Sent: uri, Routes: []string{other}}},
		{"double", []string{"Route: <sip:192.0.2.1:5060;transport=tcp;lr>, " + own},
			routed{URI: uri, Own: []string{"sip:192.0.2.1:5060;transport=tcp;lr", "sip:192.0.2.1:5060;lr"}, Sent: uri}},
		{"list", []string{"Route: " + own + " ,  " + other + ";a=b," + own, "Route: <sip:z;lr>"},
			routed{URI: uri, Own: []string{"sip:192.0.2.1:5060;lr", "sip:192.0.2.1:5060;lr"}, Next: other + ";a=b", Sent: uri,
				Routes: []string{other + ";a=b", "<sip:z;lr>"}}},
		{"other port", []string{"Route: <sip:192.0.2.1:5090;lr>"},
			routed{URI: uri, Next: "<sip:192.0.2.1:5090;lr>", Sent: uri, Routes: []string{"<sip:192.0.2.1:5090;lr>"}}},
		{"twice the same other", []string{"Route: " + own + "," + other + "," + other},
			routed{URI: uri, Own: []string{"sip:192.0.2.1:5060;lr"}, Next: other, Sent: uri, Routes: []string{other + ", " + other}}},
		// What Asterisk sends with support_path: one Route of the dialog's
		// route set and, further down, the one from the Path.
		{"Asterisk with path", []string{"Route: <sip:192.0.2.1;lr>", "Reason: Q.850;cause=16", "Supported: path", "Route: " + own},
			routed{URI: uri, Own: []string{"sip:192.0.2.1;lr", "sip:192.0.2.1:5060;lr"}, Sent: uri}},
		{"Asterisk with path, not ours", []string{"Route: " + other, "Reason: Q.850;cause=127", "Supported: path", "Route: " + own},
			routed{URI: uri, Own: []string{"sip:192.0.2.1:5060;lr"}, Next: other, Sent: uri, Routes: []string{other}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(w *world) {
				got := w.routes(uri, nil, append(tt.fields, "To: <sip:402@a.example>;tag=to")...)
				if diff := cmp.Diff(tt.want, got); diff != "" {
					w.Error(diff)
				}
			})
		})
	}
}

// RFC 3261 section 16.4: what a strict router before us did is undone, with one
// Record-Route of ours and with two.
func TestRoutes_StrictRouterBefore(t *testing.T) {
	const uri, ours = "sip:402@10.0.0.2:5061;ob", "sip:192.0.2.1:5060;lr;p=1"
	tests := []struct {
		name, uri, route string
		want             routed
	}{
		{"last", ours, "<" + uri + ">", routed{URI: uri, Own: []string{ours}, Sent: uri}},
		{"before others", ours, "<sip:x;lr>, <" + uri + ">",
			routed{URI: uri, Own: []string{ours}, Next: "<sip:x;lr>", Sent: uri, Routes: []string{"<sip:x;lr>"}}},
		{"double", ours, "<sip:192.0.2.1:5070;lr>,<" + uri + ">",
			routed{URI: uri, Own: []string{ours, "sip:192.0.2.1:5070;lr"}, Sent: uri}},
		{"not ours", "sip:192.0.2.2;lr", "<" + uri + ">",
			routed{URI: "sip:192.0.2.2;lr", Next: "<" + uri + ">", Sent: uri, Routes: []string{"<sip:192.0.2.2;lr>"}}},
		{"a user of ours", "sip:401@192.0.2.1;lr", "<sip:x;lr>",
			routed{URI: "sip:401@192.0.2.1;lr", Next: "<sip:x;lr>", Sent: "sip:401@192.0.2.1;lr", Routes: []string{"<sip:x;lr>"}}},
		{"no lr", "sip:192.0.2.1", "<sip:x;lr>",
			routed{URI: "sip:192.0.2.1", Next: "<sip:x;lr>", Sent: "sip:192.0.2.1", Routes: []string{"<sip:x;lr>"}}},
		{"no URI", ours, "<tel:1>", routed{URI: ours, Next: "<tel:1>", Sent: ours, Routes: []string{"<tel:1>"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(w *world) {
				got := w.routes(tt.uri, nil, "Route: "+tt.route, "To: <sip:402@a.example>;tag=to")
				if diff := cmp.Diff(tt.want, got); diff != "" {
					w.Error(diff)
				}
			})
		})
	}
}

// A target's Route, such as a Path, goes on top of what is left; with the last
// of our own gone, too. Section 16.6 step 6: a strict router gets its address
// as the Request-URI and the true one as the last Route.
func TestRoutes_Target(t *testing.T) {
	const own = "<sip:192.0.2.1:5060;lr>"
	tests := []struct {
		name, route string
		fields      []string
		sent        string
		want        []string
	}{
		{"alone", "<sip:p;lr>", nil, "sip:new@b", []string{"<sip:p;lr>"}},
		{"instead of own", "<sip:p;lr>", []string{"Route: " + own}, "sip:new@b", []string{"<sip:p;lr>"}},
		{"two", "<sip:p;lr>,<sip:q;lr>", []string{"Route: " + own, "Reason: x", "Route: " + own}, "sip:new@b", []string{"<sip:p;lr>,<sip:q;lr>"}},
		{"before others", "<sip:p;lr>", []string{"Route: " + own + ", <sip:x;lr>", "Route: " + own}, "sip:new@b", []string{"<sip:p;lr>", "<sip:x;lr>"}},
		{"strict", "<sip:p;x=1>", nil, "sip:p;x=1", []string{"<sip:new@b>"}},
		{"strict, then others", "<sip:p>, <sip:q;lr>", []string{"Route: " + own + ", <sip:x;lr>", "Subject: s", "Route: <sip:y>"}, "sip:p",
			[]string{"<sip:q;lr>, <sip:x;lr>, <sip:y>, <sip:new@b>"}},
		{"strict in the route set", "", []string{"Route: <sip:x>, <sip:y;lr>"}, "sip:x", []string{"<sip:y;lr>, <sip:new@b>"}},
		{"not SIP", "<tel:1>", nil, "sip:new@b", []string{"<tel:1>"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(w *world) {
				got := w.routes("sip:402@b", func(to *relay.Target) { to.RequestURI, to.Route = "sip:new@b", tt.route }, tt.fields...)
				if diff := cmp.Diff(routed{Sent: tt.sent, Routes: tt.want}, routed{Sent: got.Sent, Routes: got.Routes}); diff != "" {
					w.Error(diff)
				}
			})
		})
	}
}

// The CANCEL of an Asterisk with support_path has two Routes, with a Reason
// between them. It matches by its Via, whatever its Routes are.
func TestRoutes_AsteriskCancel(t *testing.T) {
	run(t, func(w *world) {
		phone := w.server()
		w.forward(groups(phone))
		pbx := siptestx.UDP(w, w.pbx, 5060)
		invite := crlf(`INVITE sip:402-0x5637d0386400@127.0.2.12:5060 SIP/2.0
Via: SIP/2.0/UDP 203.0.113.10:5060;rport;branch=z9hG4bKPj62979368-d4ab-490a-860b-b5468d8d976d
From: "A 401" <sip:401@203.0.113.10>;tag=4e8fa326-2d18-47a3-9fee-62ce7a18650a
To: <sip:402-0x5637d0386400@127.0.2.12>
Contact: <sip:asterisk@203.0.113.10:5060>
Call-ID: a25e9fe5-62db-4c10-94af-9f3f7cf645b8
CSeq: 9239 INVITE
Route: <sip:192.0.2.1:5060;lr>
Max-Forwards: 70
User-Agent: Asterisk-a
Content-Length:  0

`)
		pbx.Send(proxyAddr, invite)
		pbx.Status(100)
		m := phone.Expect("INVITE sip:402-0x5637d0386400@127.0.2.12:5060 ")
		if m.Get("Route") != "" {
			w.Errorf("Route %q reaches the phone", m.Get("Route"))
		}
		phone.Reply(m, 180, "a")
		pbx.Status(180)
		cancel := strings.Replace(another("CANCEL", invite), "Max-Forwards: 70\r\n",
			"Reason: Q.850;cause=127\r\nSupported: path\r\nRoute: <sip:192.0.2.1:5060;lr>\r\nMax-Forwards: 70\r\n", 1)
		pbx.Send(proxyAddr, cancel)
		pbx.Status(200)
		c := phone.Expect("CANCEL sip:402-0x5637d0386400@127.0.2.12:5060 ")
		if c.Get("Route") != "" || c.Get("Reason") != "Q.850;cause=127" || c.Branch() != m.Branch() {
			w.Errorf("the phone gets\n%s", c.Text)
		}
		phone.Reply(c, 200, "a")
		phone.Reply(m, 487, "a")
		phone.Expect("ACK")
		pbx.Send(proxyAddr, another("ACK", invite, "To: "+pbx.Status(487).Get("To")))
		pbx.Silent(time.Minute)
	})
}
