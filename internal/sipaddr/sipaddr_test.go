package sipaddr_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/emiago/sipgo/sip"

	"github.com/sipward/sipward/internal/sipaddr"
)

func TestSource(t *testing.T) {
	tests := []struct {
		name, source, want string
	}{
		{"ipv4", "192.0.2.7:5062", "192.0.2.7:5062"},
		{"ipv6", "[2001:db8::1]:5062", "[2001:db8::1]:5062"},
		{"mapped ipv4", "[::ffff:192.0.2.7]:5062", "192.0.2.7:5062"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := sip.NewRequest(sip.REGISTER, sip.Uri{Host: "a.test"})
			req.SetSource(tt.source)
			got, err := sipaddr.Source(req)
			if err != nil {
				t.Fatal(err)
			}
			if got != netip.MustParseAddrPort(tt.want) {
				t.Errorf("Source = %v, want %v", got, tt.want)
			}
		})
	}

	t.Run("host name", func(t *testing.T) {
		req := sip.NewRequest(sip.REGISTER, sip.Uri{Host: "a.test"})
		req.SetSource("phone.test:5060")
		if got, err := sipaddr.Source(req); !errors.Is(err, sipaddr.ErrNoSource) {
			t.Errorf("Source = %v, %v, want ErrNoSource", got, err)
		}
	})
}

func TestFromNet(t *testing.T) {
	tests := []struct {
		name string
		in   net.Addr
		want netip.AddrPort
	}{
		{"udp", &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5060}, netip.MustParseAddrPort("192.0.2.1:5060")},
		{"tcp", &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 5061}, netip.MustParseAddrPort("[2001:db8::1]:5061")},
		{"unix", &net.UnixAddr{Name: "x"}, netip.AddrPort{}},
		{"nil", nil, netip.AddrPort{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := sipaddr.FromNet(tt.in); got != tt.want {
				t.Errorf("FromNet = %v, want %v", got, tt.want)
			}
		})
	}
}

// conn has only the method that Local needs.
type conn struct {
	sip.Connection
	local net.Addr
}

func (c conn) LocalAddr() net.Addr { return c.local }

type tx struct {
	sip.ServerTransaction
	conn sip.Connection
}

func (t tx) Connection() sip.Connection { return t.conn }

type decorator struct{ sip.ServerTransaction }

func (d decorator) Unwrap() sip.ServerTransaction { return d.ServerTransaction }

func TestFlow(t *testing.T) {
	base := tx{conn: conn{local: &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5060}}}
	local := netip.MustParseAddrPort("192.0.2.1:5060")
	tests := []struct {
		name string
		tx   sip.ServerTransaction
		want netip.AddrPort
	}{
		{"plain", base, local},
		{"decorated twice", decorator{decorator{base}}, local},
		{"without a connection", tx{}, netip.AddrPort{}},
		{"without the method", struct{ sip.ServerTransaction }{base}, netip.AddrPort{}},
		{"nil", nil, netip.AddrPort{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := sip.NewRequest(sip.REGISTER, sip.Uri{Host: "a.test"})
			req.SetTransport("UDP")
			req.SetSource("198.51.100.7:5062")
			transport, remote, got, err := sipaddr.Flow(req, tt.tx)
			if err != nil {
				t.Fatal(err)
			}
			if transport != "udp" || remote != netip.MustParseAddrPort("198.51.100.7:5062") {
				t.Errorf("Flow = %q from %v", transport, remote)
			}
			if got != tt.want {
				t.Errorf("local = %v, want %v", got, tt.want)
			}
		})
	}
}
