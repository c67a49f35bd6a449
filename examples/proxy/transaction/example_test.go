package transaction_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"strings"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transaction"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/internal/simnet"
)

// answering is a transaction user that answers every request.
type answering struct{}

func (answering) Request(tx *transaction.Server, m *sipmsg.Message) {
	if err := tx.Respond(200, m.Respond(200, "OK", "1234")); err != nil {
		log.Print(err)
	}
}

func (answering) Cancel(tx *transaction.Server, m *sipmsg.Message, _ *transaction.Server) {
	tx.Refuse(481, m.Respond(481, "Call/Transaction Does Not Exist", "1234"))
}

func (answering) Ack(transport.Flow, *sipmsg.Message)   {}
func (answering) Stray(transport.Flow, *sipmsg.Message) {}
func (answering) Trying(*transaction.Server)            {}

// handler hands what arrives to the transaction layer.
type handler struct{ *transaction.Layer }

func (h handler) Message(f transport.Flow, m *sipmsg.Message) { h.Handle(f, m) }
func (handler) Fault(transport.Flow, *sipmsg.Message, error)  {}
func (h handler) Closed(f transport.Flow, err error)          { h.Layer.Closed(f, err) }

// socket opens a UDP socket on a host of its own.
func socket(network *simnet.Network, addr netip.AddrPort) *simnet.PacketConn {
	pc, err := network.NewHost(addr.Addr()).ListenPacket(addr)
	if err != nil {
		log.Fatal(err)
	}
	return pc
}

// A server on top of the transaction layer: a request that comes twice is
// answered twice and handled once.
func Example() {
	network := simnet.New(simnet.Config{}) // in place of UDP sockets
	defer network.Close()
	layer, err := transaction.New(transaction.Config{User: answering{}})
	if err != nil {
		log.Fatal(err)
	}
	sockets, err := transport.New(transport.Config{Handler: handler{layer}})
	if err != nil {
		log.Fatal(err)
	}
	if err := sockets.ServePacket(socket(network, proxyAddr)); err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go sockets.Run(ctx)
	go layer.Run(ctx)

	phone := socket(network, addrPort(phoneAddr, 5060))
	const options = "OPTIONS sip:192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1\r\n" +
		"From: <sip:a@b>;tag=1\r\nTo: <sip:192.0.2.1>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
	buf := make([]byte, 2000)
	for range 2 {
		if _, err := phone.WriteToUDPAddrPort([]byte(options), proxyAddr); err != nil {
			log.Fatal(err)
		}
		n, _, err := phone.ReadFromUDPAddrPort(buf)
		if err != nil {
			log.Fatal(err)
		}
		line, _, _ := strings.Cut(string(buf[:n]), "\r\n")
		fmt.Println(line)
	}
	s := layer.Stats()
	fmt.Println("absorbed:", s.Absorbed)
	// Output:
	// SIP/2.0 200 OK
	// SIP/2.0 200 OK
	// absorbed: 1
}
