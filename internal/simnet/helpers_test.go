package simnet_test

import (
	"bytes"
	"io"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/internal/simnet"
)

// The addresses of the tests: RFC 5737 outside, RFC 1918 inside.
var (
	proxyAddr = netip.MustParseAddr("192.0.2.1")
	otherAddr = netip.MustParseAddr("192.0.2.2")
	phoneAddr = netip.MustParseAddr("192.168.1.10")
	homeAddr  = netip.MustParseAddr("203.0.113.7")
	shopAddr  = netip.MustParseAddr("203.0.113.8")
)

const sip = 5060

// onNetwork runs f in a bubble with a network that is closed afterwards. The
// bubble fails the test if the network leaves a goroutine behind.
func onNetwork(t *testing.T, cfg simnet.Config, f func(*testing.T, *simnet.Network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(cfg)
		defer n.Close()
		f(t, n)
	})
}

func at(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }

func listenPacket(t *testing.T, h *simnet.Host, port uint16) *simnet.PacketConn {
	t.Helper()
	c, err := h.ListenPacket(at(h.Addr(), port))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func send(t *testing.T, c *simnet.PacketConn, dst netip.AddrPort, text string) {
	t.Helper()
	if _, err := c.WriteToUDPAddrPort([]byte(text), dst); err != nil {
		t.Fatal(err)
	}
}

// receive returns the next datagram. It fails the test if none comes within a
// minute.
func receive(t *testing.T, c *simnet.PacketConn) (string, netip.AddrPort) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2000)
	n, src, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n]), src
}

// receiveAll returns all datagrams that come within a minute.
func receiveAll(t *testing.T, c *simnet.PacketConn) []string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	var all []string
	for b := make([]byte, 2000); ; {
		n, _, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			return all
		}
		all = append(all, string(b[:n]))
	}
}

// expect fails the test unless the next datagram is text. It returns its source.
func expect(t *testing.T, c *simnet.PacketConn, text string) netip.AddrPort {
	t.Helper()
	got, src := receive(t, c)
	if got != text {
		t.Fatalf("received %q, want %q", got, text)
	}
	return src
}

// expectNothing fails the test if a datagram comes within a minute.
func expectNothing(t *testing.T, c *simnet.PacketConn) {
	t.Helper()
	if all := receiveAll(t, c); len(all) > 0 {
		t.Fatalf("received %q, want nothing", all)
	}
}

// letters returns n datagrams "a", "b", …
func letters(n int) []string {
	var all []string
	for i := range n {
		all = append(all, string(rune('a'+i)))
	}
	return all
}

func startsWith(text string) simnet.Match {
	return func(p simnet.Packet) bool { return bytes.HasPrefix(p.Data, []byte(text)) }
}

// events returns "sent", "delivered" or the reason of dropping for each packet.
func events(l *simnet.Log) []string {
	synctest.Wait()
	var all []string
	for _, p := range l.Packets() {
		if p.Event == simnet.Dropped {
			all = append(all, string(p.Reason))
		} else {
			all = append(all, p.Event.String())
		}
	}
	return slices.Clip(all)
}

func listen(t *testing.T, h *simnet.Host) *simnet.Listener {
	t.Helper()
	l, err := h.Listen(at(h.Addr(), sip))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t *testing.T, from, to *simnet.Host) *simnet.Conn {
	t.Helper()
	c, err := from.Dial(t.Context(), netip.AddrPort{}, at(to.Addr(), sip))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pair is a client and a server, outside, and the two ends of a stream.
type pair struct {
	network        *simnet.Network
	clientHost     *simnet.Host
	serverHost     *simnet.Host
	client, server *simnet.Conn
}

// onPair runs f in a bubble with a stream.
func onPair(t *testing.T, cfg simnet.Config, f func(*testing.T, pair)) {
	t.Helper()
	onNetwork(t, cfg, func(t *testing.T, n *simnet.Network) {
		p := pair{network: n, clientHost: n.NewHost(otherAddr), serverHost: n.NewHost(proxyAddr)}
		l := listen(t, p.serverHost)
		p.client = dial(t, p.clientHost, p.serverHost)
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		p.server = c.(*simnet.Conn)
		f(t, p)
	})
}

func write(t *testing.T, c *simnet.Conn, text string) {
	t.Helper()
	if n, err := io.WriteString(c, text); n != len(text) || err != nil {
		t.Fatalf("Write = %d, %v, want %d, nil", n, err, len(text))
	}
}

func readErr(c *simnet.Conn) error { return second(c.Read(make([]byte, 10))) }
