package simnet_test

import (
	"net/netip"
	"testing"

	"github.com/sipward/sipward/internal/simnet"
)

// BenchmarkPingPong sends a datagram through a NAT and back.
func BenchmarkPingPong(b *testing.B) {
	n := simnet.New(simnet.Config{})
	defer n.Close()
	phone, err := n.NewNAT(simnet.NATConfig{Outside: []netip.Addr{homeAddr}}).NewHost(phoneAddr).ListenPacket(at(phoneAddr, sip))
	if err != nil {
		b.Fatal(err)
	}
	proxy, err := n.NewHost(proxyAddr).ListenPacket(at(proxyAddr, sip))
	if err != nil {
		b.Fatal(err)
	}
	message, buf := make([]byte, 500), make([]byte, 1500)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := phone.WriteToUDPAddrPort(message, at(proxyAddr, sip)); err != nil {
			b.Fatal(err)
		}
		_, src, err := proxy.ReadFromUDPAddrPort(buf)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := proxy.WriteToUDPAddrPort(message, src); err != nil {
			b.Fatal(err)
		}
		if _, _, err := phone.ReadFromUDPAddrPort(buf); err != nil {
			b.Fatal(err)
		}
	}
}
