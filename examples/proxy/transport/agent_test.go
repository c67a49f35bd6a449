package transport_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/internal/simnet"
)

// streams are the networks with connections, and where a full lab listens.
var streams = map[string]uint16{"tcp": 5060, "tls": 5061, "ws": 80, "wss": 443}

// newFullLab runs a layer with listeners of all stream networks, IPv4 and IPv6.
func newFullLab(t testing.TB, cfg transport.Config) *lab {
	cfg.ServerTLS = &tls.Config{Certificates: []tls.Certificate{newCertificate(t, "sip.a.example")}}
	b := newLab(t, cfg)
	for network := range streams {
		if network != "tcp" {
			b.listen(network)
		}
	}
	return b
}

// listen adds the listeners of a network.
func (b *lab) listen(network string) {
	for _, a := range []netip.AddrPort{tcp, tcp6} {
		l, err := b.host.Listen(netip.AddrPortFrom(a.Addr(), streams[network]))
		if err != nil {
			b.t.Fatal(err)
		}
		if err := b.layer.ServeStream(network, l); err != nil {
			b.t.Fatal(err)
		}
	}
}

// newCertificate returns a certificate that signs itself, for names and
// addresses. It is valid at any time a test may have.
func newCertificate(t testing.TB, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		NotBefore:             time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// trusting returns a pool with the certificates.
func trusting(certs ...tls.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c.Leaf)
	}
	return pool
}

// agent is a phone with a connection of some network to a full lab.
type agent struct {
	t testing.TB
	net.Conn
	raw *simnet.Conn // below TLS
	ws  bool
}

// connect opens a connection from a host, from any port if that is 0. It does
// the handshakes.
func (b *lab) connect(network string, h *simnet.Host, port uint16) *agent {
	b.t.Helper()
	a := b.connectRaw(network, h, port)
	if network == "tls" || network == "wss" {
		c := tls.Client(a.raw, &tls.Config{ServerName: "sip.a.example", InsecureSkipVerify: true})
		if err := c.Handshake(); err != nil {
			b.t.Fatal(err)
		}
		a.Conn = c
		synctest.Wait()
	}
	if a.ws = strings.HasPrefix(network, "ws"); a.ws {
		io.WriteString(a.Conn, upgradeRequest)
		if got, _ := a.bytes(); !strings.HasPrefix(got, "HTTP/1.1 101 ") {
			b.t.Fatalf("handshake: %q", got)
		}
	}
	return a
}

// connectRaw opens a connection without handshakes.
func (b *lab) connectRaw(network string, h *simnet.Host, port uint16) *agent {
	b.t.Helper()
	to := netip.AddrPortFrom(tcp.Addr(), streams[network])
	if h.Addr().Is6() {
		to = netip.AddrPortFrom(tcp6.Addr(), streams[network])
	}
	c, err := h.Dial(context.Background(), netip.AddrPortFrom(h.Addr(), port), to)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	synctest.Wait()
	return &agent{t: b.t, Conn: c, raw: c}
}

const upgradeRequest = "GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" +
	"Origin: https://a.example\r\nSec-WebSocket-Protocol: sip\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

func (a *agent) addr() netip.AddrPort { return a.raw.LocalAddr().(*net.TCPAddr).AddrPort() }

// send sends a message, in a text frame on a WebSocket, and lets it arrive.
func (a *agent) send(text string) {
	a.t.Helper()
	if a.ws {
		text = textFrame(text)
	}
	if _, err := io.WriteString(a.Conn, text); err != nil {
		a.t.Fatal(err)
	}
	synctest.Wait()
}

// bytes returns what the layer wrote so far.
func (a *agent) bytes() (text string, closed bool) {
	synctest.Wait()
	a.SetReadDeadline(time.Now().Add(time.Nanosecond))
	b, err := io.ReadAll(a.Conn)
	return string(b), !errors.Is(err, os.ErrDeadlineExceeded)
}

// received returns the messages that the layer wrote so far. What else is on a
// WebSocket is named in brackets.
func (a *agent) received() (text string, closed bool) {
	text, closed = a.bytes()
	if a.ws {
		text = unframe(text)
	}
	return text, closed
}

// unframe returns what is in the frames of a server.
func unframe(s string) string {
	var out strings.Builder
	for r := strings.NewReader(s); r.Len() > 0; {
		f, err := ws.ReadFrame(r)
		switch {
		case err != nil || f.Header.Masked:
			fmt.Fprintf(&out, "[%v]", err)
			return out.String()
		case f.Header.OpCode == ws.OpText:
			out.Write(f.Payload)
		case f.Header.OpCode == ws.OpBinary:
			fmt.Fprintf(&out, "[binary %s]", f.Payload)
		case f.Header.OpCode == ws.OpClose:
			code, _ := ws.ParseCloseFrameData(f.Payload)
			fmt.Fprintf(&out, "[close %d]", code)
		case f.Header.OpCode == ws.OpPing:
			fmt.Fprintf(&out, "[ping %s]", f.Payload)
		case f.Header.OpCode == ws.OpPong:
			fmt.Fprintf(&out, "[pong %s]", f.Payload)
		}
	}
	return out.String()
}

// clientFrame returns a frame of a client.
func clientFrame(op ws.OpCode, fin bool, payload string) string {
	var b bytes.Buffer
	ws.WriteFrame(&b, ws.MaskFrameWith(ws.NewFrame(op, fin, []byte(payload)), [4]byte{1, 2, 3, 4}))
	return b.String()
}

func textFrame(payload string) string { return clientFrame(ws.OpText, true, payload) }
