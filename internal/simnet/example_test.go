package simnet_test

import (
	"fmt"
	"log"
	"net/netip"

	"github.com/sipward/sipward/internal/simnet"
)

// A phone behind a NAT reaches a proxy, which sees the NAT's address.
func Example() {
	network := simnet.New(simnet.Config{})
	defer network.Close()
	proxy := network.NewHost(netip.MustParseAddr("192.0.2.1"))
	home := network.NewNAT(simnet.NATConfig{
		Type:    simnet.PortRestricted,
		Outside: []netip.Addr{netip.MustParseAddr("203.0.113.7")},
	})
	phone := home.NewHost(netip.MustParseAddr("192.168.1.10"))

	server, err := proxy.ListenPacket(netip.MustParseAddrPort("192.0.2.1:5060"))
	if err != nil {
		log.Fatal(err)
	}
	client, err := phone.ListenPacket(netip.MustParseAddrPort("192.168.1.10:5060"))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.WriteTo([]byte("REGISTER"), server.LocalAddr()); err != nil {
		log.Fatal(err)
	}
	buf := make([]byte, 100)
	n, src, err := server.ReadFrom(buf)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s from %v\n", buf[:n], src)
	// Output: REGISTER from 203.0.113.7:40000
}
