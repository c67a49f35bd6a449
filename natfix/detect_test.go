package natfix_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"github.com/sipward/sipward/natfix"
)

// TestIsPrivate covers IPv4, IPv6 and what is between. P-38.
func TestIsPrivate(t *testing.T) {
	tests := map[string]bool{
		"10.0.0.1": true, "10.255.255.255": true, "9.255.255.255": false, "11.0.0.0": false,
		"172.16.0.1": true, "172.31.255.255": true, "172.15.255.255": false, "172.32.0.0": false,
		"192.168.0.1": true, "192.167.255.255": false, "192.169.0.0": false,
		"100.64.0.0": true, "100.127.255.255": true, "100.63.255.255": false, "100.128.0.0": false,
		"169.254.1.1": true, "169.253.1.1": false,
		"127.0.0.1": true, "127.255.255.254": true, "126.0.0.1": false,
		"192.0.0.1": true, "192.0.0.7": true, "192.0.0.8": false, "192.0.2.7": false,
		"0.0.0.0": true, "8.8.8.8": false, "198.51.100.7": false,
		"::ffff:10.0.0.1": true, "::ffff:100.64.0.1": true, "::ffff:8.8.8.8": false,
		"::1": true, "::": true, "fe80::1": true, "fe80::1%eth0": true, "febf::1": true, "fec0::1": false,
		"fc00::1": true, "fdff::1": true, "fe00::1": false,
		"2001:db8::1": false, "2a00::1": false,
		"64:ff9b::10.0.0.1": false,
	}
	for text, want := range tests {
		if got := natfix.IsPrivate(netip.MustParseAddr(text)); got != want {
			t.Errorf("IsPrivate(%s) = %t", text, got)
		}
	}
	if natfix.IsPrivate(netip.Addr{}) {
		t.Error("the zero Addr is private")
	}
}

// TestParseSigns accepts what configurations of OpenSIPS 2 and 3 have. P-09.
func TestParseSigns(t *testing.T) {
	tests := []struct {
		in   string
		want natfix.Signs
	}{
		{"", 0},
		{"0", 0},
		{"1", natfix.PrivateContact},
		{"2", natfix.ViaMismatch},
		{"4", natfix.PrivateVia},
		{"8", natfix.PrivateSDP},
		{"16", natfix.PortMismatch},
		{"32", natfix.ContactMismatch},
		{"64", natfix.ContactPortMismatch},
		{"128", 0},
		{"19", natfix.PrivateContact | natfix.ViaMismatch | natfix.PortMismatch},
		{"31", natfix.PrivateContact | natfix.ViaMismatch | natfix.PrivateVia | natfix.PrivateSDP | natfix.PortMismatch},
		{"23", natfix.DefaultSigns},
		{"private-contact,diff-ip-src-via,private-via,diff-port-src-via", natfix.DefaultSigns},
		{" Private-SDP, 64\tdiff-ip-src-contact ", natfix.PrivateSDP | natfix.ContactPortMismatch | natfix.ContactMismatch},
		{"carrier-grade-nat,diff-port-src-contact", natfix.ContactPortMismatch},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := natfix.ParseSigns(tt.in)
			if err != nil || got != tt.want {
				t.Errorf("ParseSigns = %v, %v, want %v", got, err, tt.want)
			}
		})
	}

	_, err := natfix.ParseSigns("19, nat, 256 -1")
	if !errors.Is(err, natfix.ErrUnknownSign) {
		t.Fatalf("err = %v, want ErrUnknownSign", err)
	}
	for _, word := range []string{`"nat"`, `"256"`, `"-1"`} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error does not name %s: %v", word, err)
		}
	}
}

func TestSigns_Text(t *testing.T) {
	for s := range natfix.Signs(128) {
		text, err := s.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back natfix.Signs
		if err := back.UnmarshalText(text); err != nil || back != s {
			t.Errorf("%d became %q became %d, %v", s, text, back, err)
		}
	}
	s := natfix.PrivateSDP
	if err := s.UnmarshalText([]byte("x")); err == nil || s != natfix.PrivateSDP {
		t.Errorf("UnmarshalText = %v, left %v", err, s)
	}
}

// TestContactSigns includes Contacts without a port. P-38 P-50 P-82.
func TestContactSigns(t *testing.T) {
	const (
		private = natfix.PrivateContact
		host    = natfix.ContactMismatch
		port    = natfix.ContactPortMismatch
	)
	tests := []struct {
		uri, src string
		want     natfix.Signs
	}{
		{"sip:401@198.51.100.7:49152", "198.51.100.7:49152", 0},
		{"sip:401@198.51.100.7:49152;line=1?a=b", "198.51.100.7:49152", 0},
		{"sip:401@198.51.100.7:49152", "[::ffff:198.51.100.7]:49152", 0},
		{"sip:401@198.51.100.7:5060", "198.51.100.7:49152", port},
		{"sip:401@198.51.100.8:49152", "198.51.100.7:49152", host},
		{"sip:401@192.168.0.66:2048", "198.51.100.7:49152", private | host | port},
		{"sip:401@10.0.0.7:5062", "10.0.0.7:5062", private},
		{"sip:401@[2001:db8::1]:5062", "[2001:db8::1]:5062", 0},
		{"sip:401@[2001:DB8:0::1]:5062", "[2001:db8::1]:5062", 0},
		{"sip:401@[fd00::1]:5062", "[2001:db8::1]:5062", private | host},
		{"sip:401@[64:ff9b::a00:1]:5062", "[2001:db8::1]:5062", host},
		{"sip:401@198.51.100.7", "198.51.100.7:5060", 0},
		{"sips:401@198.51.100.7", "198.51.100.7:5061", 0},
		{"sip:401@198.51.100.7;transport=tls", "198.51.100.7:5061", 0},
		{"sip:401@198.51.100.7;Transport=TLS", "198.51.100.7:5061", 0},
		{"sip:401@198.51.100.7;transport=tcp", "198.51.100.7:5060", 0},
		{"sip:401@198.51.100.7;transport=ws", "198.51.100.7:80", 0},
		{"sip:401@198.51.100.7;transport=wss", "198.51.100.7:443", 0},
		{"sips:401@198.51.100.7;transport=ws", "198.51.100.7:443", 0},
		{"sip:401@phone.test:49152", "198.51.100.7:49152", host},
		{"sip:df7jal23ls0d.invalid;transport=ws", "198.51.100.7:80", private | host},
		{"sip:401@phone.LOCAL:49152", "198.51.100.7:49152", private | host},
		{"tel:+15551234", "198.51.100.7:49152", 0},
		{"*", "198.51.100.7:49152", 0},
		{"sip:401@", "198.51.100.7:49152", 0},
	}
	for _, tt := range tests {
		t.Run(tt.uri, func(t *testing.T) {
			if got := natfix.ContactSigns(tt.uri, netip.MustParseAddrPort(tt.src)); got != tt.want {
				t.Errorf("ContactSigns from %s = %v, want %v", tt.src, got, tt.want)
			}
		})
	}
}

func TestViaSigns(t *testing.T) {
	const (
		private = natfix.PrivateVia
		host    = natfix.ViaMismatch
		port    = natfix.PortMismatch
	)
	tests := []struct {
		transport, host string
		port            uint16
		src             string
		want            natfix.Signs
	}{
		{"UDP", "198.51.100.7", 49152, "198.51.100.7:49152", 0},
		{"UDP", "198.51.100.7", 0, "198.51.100.7:5060", 0},
		{"TLS", "198.51.100.7", 0, "198.51.100.7:5061", 0},
		{"WS", "198.51.100.7", 0, "198.51.100.7:80", 0},
		{"WSS", "198.51.100.7", 0, "198.51.100.7:443", 0},
		{"UDP", "198.51.100.7", 0, "198.51.100.7:49152", port},
		{"UDP", "198.51.100.8", 49152, "198.51.100.7:49152", host},
		{"UDP", "100.64.0.9", 49152, "198.51.100.7:49152", private | host},
		{"UDP", "2001:db8::1", 5062, "[2001:db8::1]:5062", 0},
		{"UDP", "[2001:db8::1]", 5062, "[2001:db8::1]:5062", 0},
		{"UDP", "fe80::1", 5062, "[2001:db8::1]:5062", private | host},
		{"UDP", "phone.test", 5062, "[2001:db8::1]:5062", host},
	}
	for _, tt := range tests {
		if got := natfix.ViaSigns(tt.transport, tt.host, tt.port, netip.MustParseAddrPort(tt.src)); got != tt.want {
			t.Errorf("ViaSigns(%s %s %d) from %s = %v, want %v", tt.transport, tt.host, tt.port, tt.src, got, tt.want)
		}
	}
}

func TestSDPSigns(t *testing.T) {
	const head = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\n"
	tests := []struct {
		name, body string
		want       natfix.Signs
	}{
		{"empty", "", 0},
		{"public session", head + "c=IN IP4 198.51.100.7\r\nm=audio 4000 RTP/AVP 0\r\n", 0},
		{"private session", head + "c=IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\n", natfix.PrivateSDP},
		{"private media", head + "c=IN IP4 198.51.100.7\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP4 192.168.0.7\r\n", natfix.PrivateSDP},
		{"without the last line end", head + "c=IN IP4 10.0.0.1", natfix.PrivateSDP},
		{"bare line feeds", "v=0\nc=IN IP4 10.0.0.1\n", natfix.PrivateSDP},
		{"held", head + "c=IN IP4 0.0.0.0\r\n", 0},
		{"held, IPv6", head + "c=IN IP6 ::\r\n", 0},
		{"multicast with TTL", head + "c=IN IP4 224.2.1.1/127/3\r\n", 0},
		{"private with TTL", head + "c=IN IP4 10.0.0.1/127\r\n", natfix.PrivateSDP},
		{"unique local", head + "c=IN IP6 fd00::1\r\n", natfix.PrivateSDP},
		{"multipart", "--b\r\nContent-Type: application/sdp\r\n\r\n" + head + "c=IN IP4 10.0.0.1\r\n--b--\r\n", natfix.PrivateSDP},
		{"name", head + "c=IN IP4 phone.test\r\n", 0},
		{"cut short", "c=IN IP", 0},
		{"not a line start", "a=c=IN IP4 10.0.0.1\r\n", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := natfix.SDPSigns([]byte(tt.body)); got != tt.want {
				t.Errorf("SDPSigns = %v, want %v", got, tt.want)
			}
		})
	}
}

// TestDetect has a message for each sign that shows no other one. P-10.
func TestDetect(t *testing.T) {
	const (
		via     = "SIP/2.0/UDP 198.51.100.7:49152;branch=z9hG4bK1"
		contact = "Contact: <sip:401@198.51.100.7:49152>"
		sdp     = "v=0\r\nc=IN IP4 10.0.0.1\r\n"
	)
	tests := []struct {
		name, via, body string
		lines           []string
		want            natfix.Signs
	}{
		{"none", via, "", []string{contact}, 0},
		{"no contact", via, "", nil, 0},
		{"private contact", via, "", []string{"Contact: <sip:401@10.0.0.1:49152>"}, natfix.PrivateContact | natfix.ContactMismatch},
		{"contact host", via, "", []string{"Contact: <sip:401@203.0.113.1:49152>"}, natfix.ContactMismatch},
		{"contact port", via, "", []string{"m: sip:401@198.51.100.7:5060;expires=1"}, natfix.ContactPortMismatch},
		{"second contact", via, "", []string{contact + ", <sip:401@198.51.100.7:1>"}, natfix.ContactPortMismatch},
		{"second contact header", via, "", []string{contact, "Contact: <sip:401@198.51.100.7:1>"}, natfix.ContactPortMismatch},
		{"star", via, "", []string{"Contact: *"}, 0},
		{"via host", "SIP/2.0/UDP 203.0.113.1:49152;branch=z9hG4bK1", "", []string{contact}, natfix.ViaMismatch},
		{"private via", "SIP/2.0/UDP 10.0.0.1:49152;branch=z9hG4bK1", "", []string{contact}, natfix.PrivateVia | natfix.ViaMismatch},
		{"via port", "SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1", "", []string{contact}, natfix.PortMismatch},
		{"impossible via port", "SIP/2.0/UDP 198.51.100.7:114688;branch=z9hG4bK1", "", []string{contact}, natfix.PortMismatch},
		{"private SDP", via, sdp, []string{contact}, natfix.PrivateSDP},
	}
	for name, p := range parsers() {
		for _, tt := range tests {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				req := parse[*sip.Request](t, p, invite(tt.via, tt.body, tt.lines...))
				if got := natfix.Detect(req, public); got != tt.want {
					t.Errorf("Detect = %v, want %v", got, tt.want)
				}
			})
		}
	}
}
