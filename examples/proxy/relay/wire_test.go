package relay_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
)

// wire is a UDP socket that keeps what was sent last to the phone and to the
// PBX, and receives nothing.
type wire struct {
	net.PacketConn
	toPhone, toPBX []byte
}

func (w *wire) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(proxyAddr) }
func (w *wire) Close() error        { return nil }

func (w *wire) ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error) {
	return 0, netip.AddrPort{}, net.ErrClosed
}

func (w *wire) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if to.Addr() == pbxAddr {
		w.toPBX = append(w.toPBX[:0], b...)
	} else {
		w.toPhone = append(w.toPhone[:0], b...)
	}
	return len(b), nil
}

// bench is a relay without a network between one phone and one PBX. What comes
// is handed to it as the transport would, parsing included.
type bench struct {
	testing.TB
	wire       *wire
	relay      *relay.Relay
	phone, pbx transport.Flow
	calls      uint64
	text       []byte
}

// Route implements [relay.Policy].
func (b *bench) Route(c *relay.Context) {
	c.Forward(relay.Plan{
		Targets:     [][]relay.Target{{{Flow: b.pbx, RequestURI: "sip:401@203.0.113.10:5060"}}},
		Failover:    true,
		RecordRoute: c.Message.Method == "INVITE",
	})
}

// Symmetric implements [relay.Policy].
func (b *bench) Symmetric(transport.Flow) bool { return true }

// newBench returns a bench with a timer T1, which says how long transactions
// live.
func newBench(b testing.TB, t1 time.Duration) *bench {
	bb := &bench{TB: b, wire: &wire{}}
	w := &world{}
	var err error
	bb.relay, err = relay.New(relay.Config{
		Policy: bb, Network: network{w}, Own: w.isOwn, T1: t1,
		SentBy: func(transport.Flow) string { return "192.0.2.1:5060" },
	})
	must(b, err)
	w.transport, err = transport.New(transport.Config{Handler: bb.relay})
	must(b, err)
	must(b, w.transport.ServePacket(bb.wire))
	bb.phone, _ = w.transport.Find("udp", proxyAddr, netip.AddrPortFrom(phoneAddr, 5060))
	bb.pbx, _ = w.transport.Find("udp", proxyAddr, netip.AddrPortFrom(pbxAddr, 5060))
	return bb
}

// receive does what the transport does.
func (b *bench) receive(f transport.Flow, text []byte) {
	m, err := sipmsg.Parse(string(text))
	if err != nil {
		b.Fatal(err)
	}
	b.relay.Message(f, m)
}
