package natfix_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/natfix"
)

// public is the phone as seen from outside its NAT.
var public = netip.MustParseAddrPort("198.51.100.7:49152")

var flow = location.Flow{Transport: "udp", Remote: public, Local: netip.MustParseAddrPort("192.0.2.1:5060")}

// invite returns an INVITE with that Via, lines added, and body.
func invite(via, body string, lines ...string) string {
	return strings.Join(append([]string{
		"INVITE sip:402@tenant-a.test SIP/2.0",
		"Via: " + via,
		"Max-Forwards: 70",
		"From: <sip:401@tenant-a.test>;tag=1",
		"To: <sip:402@tenant-a.test>",
		"Call-ID: a",
		"CSeq: 1 INVITE",
	}, append(lines, fmt.Sprintf("Content-Length: %d", len(body)), "", body)...), "\r\n")
}

// parsers returns parsers with sipgo's header table and with the least that its
// transactions need.
func parsers() map[string]*sip.Parser {
	all := sip.DefaultHeadersParser()
	via := sip.HeadersParser{"via": all["via"], "v": all["v"]}
	return map[string]*sip.Parser{
		"default": sip.NewParser(),
		"reduced": sip.NewParser(sip.WithHeadersParsers(via)),
		"none":    sip.NewParser(sip.WithHeadersParsers(sip.HeadersParser{})),
	}
}

func parse[M sip.Message](t testing.TB, p *sip.Parser, text string) M {
	t.Helper()
	msg, err := p.ParseSIP([]byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return msg.(M)
}

// equateAddrs compares netip values, which go-cmp cannot look into.
func equateAddrs() cmp.Option {
	return cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
}

type connection struct{ sip.Connection }

func (connection) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5060} }

type transaction struct{ sip.ServerTransaction }

func (transaction) Connection() sip.Connection { return connection{} }

func TestFlowOf(t *testing.T) {
	req := parse[*sip.Request](t, sip.NewParser(), invite("SIP/2.0/TCP 10.0.0.1;branch=z9hG4bK1", ""))
	req.SetTransport("TCP")
	req.SetSource("[::ffff:198.51.100.7]:49152")
	got, err := natfix.FlowOf(req, transaction{})
	if err != nil {
		t.Fatal(err)
	}
	want := flow
	want.Transport = "tcp"
	if got != want {
		t.Errorf("FlowOf = %+v, want %+v", got, want)
	}
	if src, err := natfix.Source(req); err != nil || src != public {
		t.Errorf("Source = %v, %v", src, err)
	}

	req.SetSource("phone.test:5060")
	if _, err := natfix.FlowOf(req, transaction{}); !errors.Is(err, natfix.ErrNoSource) {
		t.Errorf("err = %v, want ErrNoSource", err)
	}
}

// TestNext says where requests to a phone go. P-07 P-17 P-49 P-50.
func TestNext(t *testing.T) {
	const contact = "sip:401@192.168.0.66:2048;line=x8kmhe6a"
	tcp := location.Flow{Transport: "tcp", Remote: public, Local: flow.Local}
	tests := []struct {
		name string
		in   location.Binding
		want natfix.Hop
	}{
		{
			"flow", location.Binding{Contact: contact, Flow: flow},
			natfix.Hop{RequestURI: contact, Transport: "udp", Remote: public, Local: flow.Local},
		},
		{
			"connection", location.Binding{Contact: contact, Flow: tcp},
			natfix.Hop{RequestURI: contact, Transport: "tcp", Remote: public, Local: flow.Local, Connected: true},
		},
		{
			"browser", location.Binding{Contact: "sip:H5CCvFpY@192.0.2.7;transport=ws", Flow: location.Flow{Transport: "wss", Remote: public}},
			natfix.Hop{RequestURI: "sip:H5CCvFpY@192.0.2.7;transport=ws", Transport: "wss", Remote: public, Connected: true},
		},
		{
			"path before flow", location.Binding{Contact: contact, Flow: flow, Path: `"e, 1" <sip:203.0.113.9:5070;lr;ob>, <sip:edge.test;lr>`},
			natfix.Hop{
				RequestURI: contact, Route: `"e, 1" <sip:203.0.113.9:5070;lr;ob>, <sip:edge.test;lr>`,
				Transport: "udp", Remote: netip.MustParseAddrPort("203.0.113.9:5070"), Local: flow.Local,
			},
		},
		{
			"path by name and over TLS", location.Binding{Contact: contact, Flow: flow, Path: "<sips:edge.test;lr>"},
			natfix.Hop{RequestURI: contact, Route: "<sips:edge.test;lr>", Transport: "tls", Resolve: "sips:edge.test;lr"},
		},
		{
			"contact without port", location.Binding{Contact: "sip:401@203.0.113.5"},
			natfix.Hop{RequestURI: "sip:401@203.0.113.5", Transport: "udp", Remote: netip.MustParseAddrPort("203.0.113.5:5060")},
		},
		{
			"contact with transport", location.Binding{Contact: "sip:401@[2001:db8::5];Transport=WSS"},
			natfix.Hop{RequestURI: "sip:401@[2001:db8::5];Transport=WSS", Transport: "wss", Remote: netip.MustParseAddrPort("[2001:db8::5]:443")},
		},
		{
			"contact by name", location.Binding{Contact: "sip:401@phone.test:5070"},
			natfix.Hop{RequestURI: "sip:401@phone.test:5070", Transport: "udp", Resolve: "sip:401@phone.test:5070"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := natfix.Next(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, tt.want, equateAddrs()); diff != "" {
				t.Errorf("-got +want:\n%s", diff)
			}
		})
	}

	for _, b := range []location.Binding{{}, {Contact: "tel:+15551234"}, {Contact: contact, Flow: flow, Path: " , "}, {Contact: contact, Path: "<mailto:a@b>"}} {
		if hop, err := natfix.Next(b); !errors.Is(err, natfix.ErrNoHop) {
			t.Errorf("Next(%+v) = %+v, %v, want ErrNoHop", b, hop, err)
		}
	}
}
