package hep_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/internal/hep"
	"github.com/sipward/sipward/internal/heptest"
)

var (
	phone  = netip.MustParseAddrPort("203.0.113.7:5062")
	proxy  = netip.MustParseAddrPort("192.0.2.1:5060")
	phone6 = netip.MustParseAddrPort("[2001:db8::7]:5062")
	proxy6 = netip.MustParseAddrPort("[2001:db8::1]:5060")
	noon   = time.Date(2026, 3, 14, 12, 0, 0, 123_456_789, time.UTC)
)

// equal compares addresses, which have unexported fields.
var equal = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })

// decode reads what Encode has written.
func decode(t *testing.T, b []byte) heptest.Packet {
	t.Helper()
	p, err := heptest.Decode(b)
	if err != nil {
		t.Fatalf("%v in\n%x", err, b)
	}
	return p
}

// TestEncode: who reads a packet by the specification has the message, its way and
// its time to the microsecond.
func TestEncode(t *testing.T) {
	const text = "OPTIONS sip:a.test SIP/2.0\r\nI : 1@phone \r\nCall-ID: 2\r\n\r\n"
	tests := []struct {
		name  string
		agent uint32
		key   string
		in    hep.Packet
		want  heptest.Packet
	}{
		{"IPv4", 7, "", hep.Packet{Source: phone, Destination: proxy, Message: text},
			heptest.Packet{Protocol: 17, Source: phone, Destination: proxy, Agent: 7, Correlation: "1@phone", Payload: text}},
		{"IPv6, a stream", 1<<32 - 1, "my key", hep.Packet{Source: proxy6, Destination: phone6, Stream: true, Message: text},
			heptest.Packet{Protocol: 6, Source: proxy6, Destination: phone6, Agent: 1<<32 - 1, Key: "my key", Correlation: "1@phone", Payload: text}},
		{"malformed", 0, "", hep.Packet{Source: phone, Destination: proxy, Message: "INVITE x"},
			heptest.Packet{Protocol: 17, Source: phone, Destination: proxy, Payload: "INVITE x"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Time = noon
			tt.want.Time, tt.want.Type = noon.Truncate(time.Microsecond), 1
			if diff := cmp.Diff(tt.want, decode(t, hep.Encode(nil, tt.agent, tt.key, &tt.in)), equal); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestEncode_TooLarge: a packet fits into a datagram, whatever the message.
func TestEncode_TooLarge(t *testing.T) {
	text := "OPTIONS sip:a.test SIP/2.0\r\nCall-ID: " + strings.Repeat("c", 1000) + "\r\n\r\n" + strings.Repeat("x", 1<<16)
	b := hep.Encode(nil, 1, strings.Repeat("k", 255), &hep.Packet{Time: noon, Source: phone6, Destination: proxy6, Message: text})
	p := decode(t, b)
	if len(b) > 65507 || len(p.Payload) < 64000 || !strings.HasPrefix(text, p.Payload) || p.Correlation != strings.Repeat("c", 256) {
		t.Errorf("%d bytes, %d of the message, correlation %q", len(b), len(p.Payload), p.Correlation)
	}
}

// BenchmarkEncode is one REGISTER with credentials.
func BenchmarkEncode(b *testing.B) {
	p := hep.Packet{Time: noon, Source: phone, Destination: proxy, Message: register(
		`Authorization: Digest username="401",realm="asterisk",nonce="1795325083/039e",uri="sip:a.test",response="` + secret + `",algorithm=MD5,qop=auth,nc=00000001,cnonce="8a8f"`)}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = hep.Encode(buf[:0], 1, "", &p)
	}
}

// listen opens a socket on loopback.
func listen(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
