package transport_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
)

// options answers OPTIONS, on the flow that the request came on.
type options struct{}

func (options) Message(f transport.Flow, m *sipmsg.Message) {
	if m.Method == "OPTIONS" {
		m.Stamp(f.Remote(), false)
		f.Send(m.Respond(200, "OK", "b2"))
	}
}

func (options) Fault(f transport.Flow, m *sipmsg.Message, err error) {
	if e, ok := errors.AsType[*sipmsg.Error](err); ok && m.Answerable() {
		f.Send(m.Respond(e.Status, e.Fault, "b2"))
	}
}

func (options) Closed(transport.Flow, error) {}

// A server that answers OPTIONS over UDP and TCP.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	layer, err := transport.New(transport.Config{Handler: options{}})
	if err != nil {
		panic(err)
	}
	for _, network := range []string{"udp", "tcp"} {
		if err := layer.Listen(ctx, network, netip.MustParseAddrPort("127.0.0.1:0")); err != nil {
			panic(err)
		}
	}
	done := make(chan error)
	go func() { done <- layer.Run(ctx) }()

	for _, network := range []string{"udp", "tcp"} {
		phone, err := net.Dial(network, layer.Addrs(network)[0].String())
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(phone, "OPTIONS sip:127.0.0.1 SIP/2.0\r\n"+
			"Via: SIP/2.0/%s 127.0.0.1;branch=z9hG4bK1\r\n"+
			"From: <sip:201@a.example>;tag=a1\r\n"+
			"To: <sip:127.0.0.1>\r\n"+
			"Call-ID: 1@127.0.0.1\r\n"+
			"CSeq: 1 OPTIONS\r\n"+
			"Content-Length: 0\r\n\r\n", strings.ToUpper(network))
		buf := make([]byte, 1500)
		n, err := phone.Read(buf)
		if err != nil {
			panic(err)
		}
		line, _, _ := strings.Cut(string(buf[:n]), "\r\n")
		fmt.Println(network, line)
		phone.Close()
	}
	cancel()
	fmt.Println(<-done)
	// Output:
	// udp SIP/2.0 200 OK
	// tcp SIP/2.0 200 OK
	// <nil>
}
