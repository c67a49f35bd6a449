package natfix_test

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/location"
)

// TestKeepalive_NAT has a phone behind each type of NAT called after five
// minutes in which it sent nothing of its own accord.
func TestKeepalive_NAT(t *testing.T) {
	tests := []struct {
		name, ping     string
		interval       time.Duration
		inboundRefresh bool // the NAT counts packets to the phone as use
		want           bool
	}{
		{"OPTIONS", "OPTIONS", 25 * time.Second, false, true},
		{"CRLF", "\r\n\r\n", 25 * time.Second, true, true},
		{"CRLF through a NAT that only the phone keeps open", "\r\n\r\n", 25 * time.Second, false, false},
		{"too seldom", "OPTIONS", 45 * time.Second, true, false},
		{"no ping", "", 0, true, false},
	}
	for _, nat := range []simnet.NATType{simnet.FullCone, simnet.Restricted, simnet.PortRestricted, simnet.Symmetric} {
		for _, tt := range tests {
			t.Run(fmt.Sprint(nat, "/", tt.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSite(t, simnet.NATConfig{Type: nat, Timeout: 30 * time.Second, InboundRefresh: tt.inboundRefresh})
					s.keepAlive(t, tt.ping, tt.interval, 5*time.Minute)
					s.send("INVITE")
					synctest.Wait()
					if got := len(s.heard) == 1; got != tt.want {
						t.Errorf("the phone can be called: %t", got)
					}
				})
			})
		}
	}
}

// site is a phone that has registered through a NAT.
type site struct {
	server net.PacketConn
	phone  net.Addr    // as the server sees it
	heard  chan string // what the phone got but for pings
}

func newSite(t *testing.T, cfg simnet.NATConfig) *site {
	t.Helper()
	network := simnet.New(simnet.Config{})
	t.Cleanup(func() { network.Close() })
	cfg.Outside = []netip.Addr{netip.MustParseAddr("198.51.100.7")}
	listen := func(h *simnet.Host, addr string) net.PacketConn {
		c, err := h.ListenPacket(netip.MustParseAddrPort(addr))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	s := &site{heard: make(chan string, 1)}
	s.server = listen(network.NewHost(netip.MustParseAddr("192.0.2.1")), "192.0.2.1:5060")
	phone := listen(network.NewNAT(cfg).NewHost(netip.MustParseAddr("192.168.0.66")), "192.168.0.66:5060")
	if _, err := phone.WriteTo([]byte("REGISTER"), s.server.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	var err error
	if _, s.phone, err = s.server.ReadFrom(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	go read(phone, func(text string) {
		switch text {
		case "OPTIONS":
			phone.WriteTo([]byte("200"), s.server.LocalAddr())
		case "INVITE":
			s.heard <- text
		}
	})
	go read(s.server, func(string) {})
	return s
}

// read hands over all that arrives until the socket is closed.
func read(c net.PacketConn, take func(string)) {
	buf := make([]byte, 100)
	for {
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		take(string(buf[:n]))
	}
}

func (s *site) send(text string) { s.server.WriteTo([]byte(text), s.phone) }

// keepAlive runs a keepalive for d.
func (s *site) keepAlive(t *testing.T, ping string, interval, d time.Duration) {
	t.Helper()
	remote, err := netip.ParseAddrPort(s.phone.String())
	if err != nil {
		t.Fatal(err)
	}
	w := world{entries: phones(t, 1)}
	w.entries[0].Binding.Flow.Remote = remote
	cfg := w.config(interval)
	cfg.Ping = func(location.Entry, func(bool)) { s.send(ping) }
	w.run(t, cfg, d)
}
