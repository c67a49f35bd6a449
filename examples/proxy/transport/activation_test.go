package transport_test

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/sipward/sipward/examples/proxy/transport"
)

// passed returns a socket as systemd passes it: a file, of which the sender
// keeps a copy.
func passed(t *testing.T, socket interface{ File() (*os.File, error) }) *os.File {
	t.Helper()
	f, err := socket.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// Sockets that systemd has opened are served on every network, one life of the
// proxy after the other, and a datagram that comes between two is not lost.
func TestServe_SocketActivation(t *testing.T) {
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(address("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	udpFile := passed(t, udp)
	udp.Close()
	files := make(map[string]*os.File)
	for network := range streams {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		files[network] = passed(t, l.(*net.TCPListener))
		l.Close()
	}
	cert := newCertificate(t, "sip.a.example")
	phone := newPhone(t, "127.0.0.3:0")
	for life := range 2 {
		layer := newLayer(t, transport.Config{
			Handler:   &handler{message: echo},
			ServerTLS: &tls.Config{Certificates: []tls.Certificate{cert}},
		})
		pc, err := net.FilePacketConn(udpFile)
		if err != nil {
			t.Fatal(err)
		}
		if err := layer.ServePacket(pc); err != nil {
			t.Fatal(err)
		}
		for network, f := range files {
			l, err := net.FileListener(f)
			if err != nil {
				t.Fatal(err)
			}
			if err := layer.ServeStream(network, l); err != nil {
				t.Fatal(err)
			}
		}
		stop := run(t, layer)
		to := layer.Addrs("udp")[0]
		if life > 0 {
			if got, _ := phone.receive(); got != request("OPTIONS", "between") {
				t.Errorf("received %q", got)
			}
		}
		phone.send(to, request("OPTIONS", "a"))
		if got, from := phone.receive(); got != request("OPTIONS", "a") || from != to {
			t.Errorf("udp: received %q from %v", got, from)
		}
		for network := range streams {
			if got := ask(t, network, layer.Addrs(network)[0].String()); got != request("OPTIONS", "a") {
				t.Errorf("%s: received %q", network, got)
			}
		}
		stop()
		phone.send(to, request("OPTIONS", "between"))
	}
}

// ask sends a request to a layer that returns it, over a real connection of
// its own, and returns the answer.
func ask(t *testing.T, network, addr string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if network == "tls" || network == "wss" {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	text := request("OPTIONS", "a")
	if !strings.HasPrefix(network, "ws") {
		io.WriteString(c, text)
		return read(t, c, len(text))
	}
	io.WriteString(c, upgradeRequest)
	var answer string
	for !strings.HasSuffix(answer, "\r\n\r\n") {
		answer += read(t, c, 1)
	}
	io.WriteString(c, textFrame(text))
	return unframe(read(t, c, len(text)+4)) // a header is that long for it
}

func read(t *testing.T, c net.Conn, size int) string {
	t.Helper()
	buf := make([]byte, size)
	if _, err := io.ReadFull(c, buf); err != nil {
		t.Fatal(err)
	}
	return string(buf)
}
