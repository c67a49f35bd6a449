package relay_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"strings"

	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/internal/simnet"
)

// outbound is a policy that sends everything to one server.
type outbound struct{ server netip.AddrPort }

func (outbound) Symmetric(transport.Flow) bool { return true }

func (p outbound) Route(c *relay.Context) {
	if c.Message.Method == "REGISTER" {
		c.Refuse(405, "Method Not Allowed", "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS")
		return
	}
	c.Forward(relay.Plan{Targets: [][]relay.Target{{{Network: "udp", Remote: p.server}}}, RecordRoute: true})
}

// late is the relay's network, which needs the relay to be made.
type late struct{ *transport.Layer }

// socket opens a UDP socket on a host of its own.
func socket(network *simnet.Network, addr netip.AddrPort) *simnet.PacketConn {
	pc, err := network.NewHost(addr.Addr()).ListenPacket(addr)
	if err != nil {
		log.Fatal(err)
	}
	return pc
}

// A proxy in front of one server.
func Example() {
	network := simnet.New(simnet.Config{}) // in place of UDP sockets
	defer network.Close()
	server := socket(network, netip.AddrPortFrom(pbxAddr, 5060))
	phone := socket(network, netip.AddrPortFrom(phoneAddr, 5060))

	var sockets late
	proxy, err := relay.New(relay.Config{
		Policy:  outbound{netip.AddrPortFrom(pbxAddr, 5060)},
		Network: &sockets,
		Own:     func(host string, _ uint16) bool { return host == "192.0.2.1" },
	})
	if err != nil {
		log.Fatal(err)
	}
	if sockets.Layer, err = transport.New(transport.Config{Handler: proxy}); err != nil {
		log.Fatal(err)
	}
	if err := sockets.ServePacket(socket(network, proxyAddr)); err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go sockets.Run(ctx)
	go proxy.Run(ctx)

	const invite = "INVITE sip:401@a.example SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n" +
		"From: <sip:a@b>;tag=1\r\nTo: <sip:401@a.example>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
	if _, err := phone.WriteToUDPAddrPort([]byte(invite), proxyAddr); err != nil {
		log.Fatal(err)
	}
	buf := make([]byte, 2000)
	n, from, err := server.ReadFromUDPAddrPort(buf)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("from", from)
	for line := range strings.Lines(string(buf[:n])) {
		for _, name := range []string{"INVITE", "Record-Route", "Max-Forwards"} {
			if strings.HasPrefix(line, name) {
				fmt.Println(strings.TrimSpace(line))
			}
		}
	}
	// Output:
	// from 192.0.2.1:5060
	// INVITE sip:401@a.example SIP/2.0
	// Record-Route: <sip:192.0.2.1:5060;lr>
	// Max-Forwards: 69
}
