package transport_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/sipward/sipward/examples/proxy/transport"
)

// BenchmarkUDP_Echo is one datagram through the layer and back, on loopback:
// both system calls of the layer, both of the client, and the parsing.
func BenchmarkUDP_Echo(b *testing.B) {
	for _, window := range []int{1, 32} { // datagrams under way
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) {
			layer := newLayer(b, transport.Config{Handler: &handler{message: echo}})
			to := listen(b, layer, "udp", "127.0.0.1:0")
			run(b, layer)
			phone := newPhone(b, "127.0.0.3:0")
			msg, buf := []byte(request("OPTIONS", "a")), make([]byte, 2048)
			for range window - 1 {
				phone.WriteToUDPAddrPort(msg, to)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := phone.WriteToUDPAddrPort(msg, to); err != nil {
					b.Fatal(err)
				}
				if _, _, err := phone.ReadFromUDPAddrPort(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkStream_Echo is one message through the layer and back, 32 under way.
func BenchmarkStream_Echo(b *testing.B) {
	for _, network := range []string{"tcp", "tls", "ws", "wss"} {
		b.Run(network, func(b *testing.B) {
			layer := newLayer(b, transport.Config{
				Handler:   &handler{message: echo},
				ServerTLS: &tls.Config{Certificates: []tls.Certificate{newCertificate(b, "sip.a.example")}},
			})
			to := listen(b, layer, network, "127.0.0.1:0")
			run(b, layer)
			c, err := net.Dial("tcp", to.String())
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			if network == "tls" || network == "wss" {
				c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			}
			msg := []byte(request("OPTIONS", "a"))
			buf := make([]byte, len(msg))
			if network == "ws" || network == "wss" {
				io.WriteString(c, upgradeRequest)
				if _, err := c.Read(make([]byte, 1024)); err != nil {
					b.Fatal(err)
				}
				msg = []byte(textFrame(string(msg)))
				buf = make([]byte, len(msg)-4) // no mask
			}
			for range 31 {
				c.Write(msg)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(msg); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(c, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
