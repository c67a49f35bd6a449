package route_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// The messages in testdata/asterisk.txt were captured from Asterisk 22 behind
// a proxy, in its configurations: rewrite is rewrite_contact, path is
// support_path, obproxy is outbound_proxy, plain is none of them, and own is
// with a Contact that the proxy registered. Bodies are left out.

// village is the world of the captures: one tenant, one PBX.
func village(t *testing.T) *route.World {
	b := newBindings()
	b.register(t,
		phone{aor: "401@tenant-a.test", contact: "sip:401-0x55795387d400@127.0.2.11:5060", remote: "127.0.2.11:5060", token: "401-1ce1"},
		phone{aor: "401@tenant-a.test", contact: "sip:401-0xffff@127.0.2.99:5060", remote: "127.0.2.99:5060", token: "401-2000"},
		phone{aor: "402@tenant-a.test", contact: "sip:402-0x55777cf2d400@127.0.2.12:5060", remote: "127.0.2.12:5060", age: 4 * time.Second},
		phone{aor: "402@tenant-a.test", contact: "sip:402-0x5637d0386400@127.0.2.12:5060", remote: "127.0.2.12:5062", age: 3 * time.Second},
		phone{aor: "402@tenant-a.test", contact: "sip:402-0x5596b71c6400@127.0.2.12:5060", remote: "127.0.2.12:5064", age: 2 * time.Second},
		phone{aor: "402@tenant-a.test", contact: "sip:402-0x560918251400@127.0.2.12:5060", remote: "127.0.2.12:5066", age: 1 * time.Second},
	)
	return &route.World{
		Tenants:  newTable(t, set(1, "tenant-a.test", "127.0.1.10")),
		Bindings: b,
		Own: func(host string, port uint16) bool {
			return (host == "127.0.0.1" || host == "127.0.3.1") && port == 5060
		},
	}
}

type capture struct {
	src route.Source
	msg *sipmsg.Message
}

func captures(t *testing.T) map[string]capture {
	t.Helper()
	text, err := os.ReadFile("testdata/asterisk.txt")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]capture{}
	for _, part := range strings.Split(string(text), "== ")[1:] {
		name, rest, _ := strings.Cut(part, "\n")
		src, raw, _ := strings.Cut(rest, "\n")
		raw = strings.ReplaceAll(strings.TrimSpace(raw), "\n", "\r\n") + "\r\n\r\n"
		msg, err := sipmsg.Parse(raw)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = capture{source(src), msg}
	}
	return all
}

func TestFrom_Asterisk(t *testing.T) {
	const (
		dialog = "pbx: along its dialog (in_dialog)"
		to402  = "pbx: to 402@tenant-a.test "
	)
	want := map[string]string{
		"rewrite: REGISTER of the phone":                                 "phone: to set 1 for 402@tenant-a.test, registered by sip:pbx.test (domain)",
		"rewrite: OPTIONS (qualify)":                                     to402 + "(only_candidate) sip:402-0x55777cf2d400@127.0.2.12:5060",
		"rewrite: INVITE to the callee":                                  to402 + "(only_candidate) sip:402-0x55777cf2d400@127.0.2.12:5060",
		"rewrite: ACK (2xx) to the callee":                               dialog,
		"rewrite: BYE to the callee":                                     dialog,
		"rewrite: BYE to the caller":                                     dialog,
		"rewrite: PRACK to the callee":                                   dialog,
		"rewrite: NOTIFY message-summary (unsolicited)":                  "pbx: to 401@tenant-a.test (only_candidate) sip:401-0x55795387d400@127.0.2.11:5060",
		"rewrite: NOTIFY message-summary (in the SUBSCRIBE dialog)":      dialog,
		"rewrite: NOTIFY refer":                                          dialog,
		"path: OPTIONS (qualify)":                                        to402 + "(contact_match) sip:402-0x5637d0386400@127.0.2.12:5060",
		"path: INVITE to the callee":                                     to402 + "(contact_match) sip:402-0x5637d0386400@127.0.2.12:5060",
		"path: BYE to the callee":                                        dialog,
		"path-directmedia: re-INVITE/UPDATE by Asterisk after answer #1": dialog,
		"obproxy: OPTIONS (qualify)":                                     to402 + "(contact_match) sip:402-0x5596b71c6400@127.0.2.12:5060",
		"obproxy: INVITE to the callee":                                  to402 + "(contact_match) sip:402-0x5596b71c6400@127.0.2.12:5060",
		"obproxy: BYE to the callee":                                     dialog,
		"rewrite-timers: session refresh by Asterisk":                    dialog,
		"rewrite-fromdomain: INVITE to the callee":                       to402 + "(from_domain) sip:402-0x560918251400@127.0.2.12:5060",
		"own: NOTIFY message-summary (unsolicited)":                      "pbx: to 401@tenant-a.test (token) sip:401-0x55795387d400@127.0.2.11:5060",
		"plain: INVITE, Dial(PJSIP/402/sip:402@proxy)": to402[:len(to402)-1] + ", 4 phones, parallel (only_candidate)" +
			" sip:402-0x560918251400@127.0.2.12:5060 sip:402-0x5596b71c6400@127.0.2.12:5060 sip:402-0x5637d0386400@127.0.2.12:5060 sip:402-0x55777cf2d400@127.0.2.12:5060",
	}
	w := village(t)
	all := captures(t)
	if len(all) != len(want) {
		t.Errorf("%d captures, %d expected decisions", len(all), len(want))
	}
	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			req := route.From(c.msg)
			req.Trusted = req.InDialog && c.msg.Has(sipmsg.Route) // all Routes in the captures are the proxy's
			if got := line(decide(t, &req, c.src, w)); got != want[name] {
				t.Errorf("got %s\nwant %s", got, want[name])
			}
		})
	}
}

// P-14: the same messages from anywhere else reach no phone.
func TestFrom_AsteriskFromElsewhere(t *testing.T) {
	w := village(t)
	for name, c := range captures(t) {
		req := route.From(c.msg)
		d := decide(t, &req, source("192.0.2.66:5060"), w)
		if d.Action == route.ToPhones || d.Action == route.ToURI || d.Class == route.PBX {
			t.Errorf("%s: %s", name, line(d))
		}
	}
}

func TestFrom(t *testing.T) {
	const head = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n"
	tests := []struct {
		name, msg string
		want      route.Request
	}{
		{"display names and parameters",
			"INVITE sip:9@a.test;x=1 SIP/2.0\r\n" + head + "From: \"A, <sip:x@y>\" <sip:401@a.test:5060>;tag=1\r\nTo: sip:9@a.test;tag=2\r\n\r\n",
			route.Request{Method: "INVITE", Target: uri("sip:9@a.test;x=1"), From: uri("sip:401@a.test:5060"), To: uri("sip:9@a.test"), InDialog: true}},
		{"tel URIs are left out",
			"INVITE tel:+1555 SIP/2.0\r\n" + head + "From: <tel:+1556>;tag=1\r\nTo: <tel:+1555>\r\n\r\n",
			route.Request{Method: "INVITE"}},
		{"the SIP identity of two",
			"INVITE sip:9@a.test SIP/2.0\r\n" + head + "From: <sip:anonymous@anonymous.invalid>;tag=1\r\nTo: <sip:9@a.test>\r\n" +
				"P-Asserted-Identity: <tel:+1556>, \"B, C\" <sip:401@b.test>\r\n\r\n",
			route.Request{Method: "INVITE", Target: uri("sip:9@a.test"), From: uri("sip:anonymous@anonymous.invalid"), To: uri("sip:9@a.test"),
				Asserted: uri("sip:401@b.test")}},
		{"the SIP identity in the second field",
			"INVITE sip:9@a.test SIP/2.0\r\n" + head + "From: <sip:401@b.test>;tag=1\r\nTo: <sip:9@a.test>\r\n" +
				"P-Asserted-Identity: tel:+1556\r\nP-Asserted-Identity: sip:401@b.test\r\n\r\n",
			route.Request{Method: "INVITE", Target: uri("sip:9@a.test"), From: uri("sip:401@b.test"), To: uri("sip:9@a.test"), Asserted: uri("sip:401@b.test")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			msg, err := sipmsg.Parse(tt.msg)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, route.From(msg), addrPorts); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
