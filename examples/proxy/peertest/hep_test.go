package peertest

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/internal/heptest"
)

// collector is where a Homer would be.
func (s *site) collector() netip.AddrPort { return netip.AddrPortFrom(s.host(40), 9060) }

// mirrors is a proxy with a collector.
func (s *site) mirrors() settings {
	return settings{lines: []string{fmt.Sprintf("hep: {to: %q, id: 2001, key: for the collector}", s.collector())}}
}

// A collector gets all that the proxy hears and says, over UDP and TCP, until the
// proxy has ended, and nothing by which a password can be guessed (P-78).
func TestHEP_Mirrored(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(s.collector()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := s.start(s.mirrors())
	a, h := s.asterisk("PBX", s.pbx(0)), s.tcp("phone", s.phone(0))
	h.register("401", domain(0), "secret")
	a.rings(a.contact("401"), h, h.contactOf("401"))
	p.stop()

	up, down := fmt.Sprintf("6 %v %v ", s.phone(0), s.proxy()), fmt.Sprintf("6 %v %v ", s.proxy(), s.phone(0))
	toPBX, fromPBX := fmt.Sprintf("17 %v %v ", s.proxy(), s.pbx(0)), fmt.Sprintf("17 %v %v ", s.pbx(0), s.proxy())
	want := map[string]bool{ // not how often: on a slow machine there are retransmissions
		up + "REGISTER": true, toPBX + "REGISTER": true,
		fromPBX + "401 REGISTER": true, down + "401 REGISTER": true, fromPBX + "200 REGISTER": true, down + "200 REGISTER": true,
		fromPBX + "INVITE": true, down + "INVITE": true, up + "486 INVITE": true, toPBX + "486 INVITE": true,
		down + "ACK": true, fromPBX + "ACK": true,
	}
	got, proofs := map[string]bool{}, 0
	for _, packet := range received(t, c) {
		m := parseMessage(packet.Payload)
		got[fmt.Sprint(packet.Protocol, " ", packet.Source, " ", packet.Destination, " ", m.kind())] = true
		if packet.Agent != 2001 || packet.Key != "for the collector" || packet.Correlation != m.get("Call-ID") || time.Since(packet.Time) > patience {
			t.Errorf("got %+v", packet)
		}
		if given := m.get("Authorization"); given != "" {
			proofs++
			if r := digestParams(given)["response"]; len(r) != 32 || strings.Trim(r, "*") != "" {
				t.Errorf("the collector has got %s", given)
			}
		}
	}
	delete(got, toPBX+"100 INVITE") // if the phone has taken its time
	if diff := cmp.Diff(want, got); diff != "" || proofs < 2 {
		t.Errorf("%d messages with credentials (-want +got):\n%s", proofs, diff)
	}
}

// received returns the packets that are in the buffer of a socket.
func received(t *testing.T, c *net.UDPConn) (all []heptest.Packet) {
	t.Helper()
	buf := make([]byte, 1<<16)
	for {
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // all are there
		n, err := c.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		p, err := heptest.Decode(buf[:n])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// A collector that does not run costs nothing but its packets, and a line in the log.
func TestHEP_NobodyListens(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(s.mirrors())
	a, h := s.asterisk("PBX", s.pbx(0)), s.udp("phone", s.phone(0))
	h.register("401", domain(0), "secret")
	a.rings(a.contact("401"), h, h.contactOf("401"))
	eventually(t, "what is lost is counted", func() bool { return p.state().HEP.Dropped > 0 })
	if n := strings.Count(p.errors.String(), "the HEP collector is not reached"); n != 1 {
		t.Errorf("%d lines in the log", n)
	}
}
