package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
)

// streamsYAML has a listener for every transport, and two tenants.
const streamsYAML = `
listen: ["udp:192.0.2.1:5060", "tcp:192.0.2.1:5060", "tls:192.0.2.1:5061", "ws:192.0.2.1:8080", "wss:192.0.2.1:8443"]
tls: {cert: %q, key: %q}
tenants:
  - {setid: 10, domains: [a.test], destinations: [{uri: "sip:10.0.1.10"}]}
  - {setid: 20, domains: [b.test], destinations: [{uri: "sip:10.0.1.20"}]}
`

// listenerOf is where phones find a transport.
func listenerOf(network string) netip.AddrPort {
	port := map[string]uint16{"tcp": 5060, "tls": 5061, "ws": 8080, "wss": 8443}[network]
	return netip.AddrPortFrom(proxyAt.Addr(), port)
}

// webSocket is a WebSocket client as a stream.
type webSocket struct {
	net.Conn
	rest bytes.Buffer
}

func (w *webSocket) Read(b []byte) (int, error) {
	if w.rest.Len() == 0 {
		data, _, err := wsutil.ReadServerData(w.Conn)
		if err != nil {
			return 0, err
		}
		w.rest.Write(data)
	}
	return w.rest.Read(b)
}

func (w *webSocket) Write(b []byte) (int, error) {
	return len(b), wsutil.WriteClientText(w.Conn, b)
}

// over returns a phone that is connected by a transport, from a port if that is
// not 0.
func (w *world) over(network string, h *simnet.Host, port uint16, user, domain string) *phone {
	w.Helper()
	var c net.Conn
	c, err := h.Dial(context.Background(), netip.AddrPortFrom(h.Addr(), port), listenerOf(network))
	if err != nil {
		w.Fatal(err)
	}
	if network == "tls" || network == "wss" {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true}) // who we are is tested elsewhere
	}
	if network == "ws" || network == "wss" {
		d := ws.Dialer{Protocols: []string{"sip"}, NetDial: func(context.Context, string, string) (net.Conn, error) { return c, nil },
			TLSClient: func(c net.Conn, _ string) net.Conn { return c }}
		_, br, _, err := d.Dial(context.Background(), network+"://proxy.test/")
		if err != nil {
			w.Fatal(err)
		}
		if br != nil && br.Buffered() > 0 {
			w.Fatal("there is more than the handshake")
		}
		c = &webSocket{Conn: c}
	}
	ph := w.phoneFrom(h, siptestx.Over(w, map[string]string{"tcp": "TCP", "tls": "TLS", "ws": "WS", "wss": "WSS"}[network], c), user, domain)
	ph.contact = "<sip:x7k2@df7jal23ls0d.invalid;transport=" + network + ">" // P-50
	return ph
}

// certificate writes a certificate of the proxy and its key to files.
func certificate(t testing.TB) (cert, key string) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"proxy.test"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &priv.PublicKey, priv)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// onStreams calls f in a world with all transports, for each that is a stream.
func onStreams(t *testing.T, f func(w *world, network string)) {
	cert, key := certificate(t)
	for _, network := range []string{"tcp", "tls", "ws", "wss"} {
		t.Run(network, func(t *testing.T) {
			inWorld(t, fmt.Sprintf(streamsYAML, cert, key), func(w *world) { f(w, network) })
		})
	}
}

// TestStreams_TheSameConnection: a phone is called, and speaks in its dialogs,
// over the connection that it registered on, which the binding names. P-37 P-50.
func TestStreams_TheSameConnection(t *testing.T) {
	onStreams(t, func(w *world, network string) {
		h := w.net.NewHost(w.outside())
		ph, other := w.over(network, h, 0, "401", "a.test"), w.over(network, h, 0, "402", "a.test")
		uri := ph.at(w.a)
		other.register(w.a) // the connection that was accepted last
		b := w.bound("401", "a.test")
		if len(b) != 1 || b[0].Flow.Transport != network || b[0].Flow.Remote != ph.Addr {
			t.Errorf("it is bound as %+v", b)
		}
		w.a.reaches(ph, "OPTIONS", uri)
		caller, callee := callIn(w.a, uri, ph)
		conversation(caller, callee)
		caller, callee = callOut(ph, w.a)
		conversation(caller, callee)
		ph.Close()
		other.Close()
	})
}

// TestStreams_GoneAtOnce: when its connection closes, a phone is not there, and
// that costs nobody a wait (R42).
func TestStreams_GoneAtOnce(t *testing.T) {
	onStreams(t, func(w *world, network string) {
		ph := w.over(network, w.net.NewHost(w.outside()), 0, "401", "a.test")
		uri := ph.at(w.a)
		ph.Close()
		synctest.Wait()
		start := time.Now()
		w.a.refused(480, "INVITE", uri)
		if d := time.Since(start); d > time.Second {
			t.Errorf("it takes %v", d)
		}
	})
}

// TestStreams_ConnectsAgain: the calls of a phone that has lost its connection go on
// over the one that it has registered on since. P-18 P-51.
func TestStreams_ConnectsAgain(t *testing.T) {
	onStreams(t, func(w *world, network string) {
		h := w.net.NewHost(w.outside())
		ph := w.over(network, h, 0, "401", "a.test")
		in, phoneIn := callIn(w.a, ph.at(w.a), ph)
		phoneOut, out := callOut(ph, w.a)
		ph.Close()
		synctest.Wait()
		w.a.Send(w.at, in.text("INFO"))
		w.answer(w.a.Peer, 480)
		again := w.over(network, h, 0, "401", "a.test")
		again.refresh(w.a)
		for _, s := range []*side{phoneIn, phoneOut} {
			s.peer, s.write = again.Peer, again.text
		}
		conversation(out, phoneOut)
		conversation(in, phoneIn)
		again.Close()
	})
}

// TestStreams_AnotherPhone: a phone of another tenant that has come to the very
// same address and port is not called in the place of the first one, nor is
// another one of the same tenant. P-13.
func TestStreams_AnotherPhone(t *testing.T) {
	onStreams(t, func(w *world, network string) {
		h := w.net.NewHost(w.outside())
		for i, domain := range []string{"b.test", "a.test"} {
			port := uint16(41000 + i)
			first := w.over(network, h, port, "401", "a.test")
			uri := first.at(w.a)
			w.a.reaches(first, "MESSAGE", uri)
			first.Close()
			synctest.Wait()
			second := w.over(network, h, port, "402", domain)
			second.register(map[string]*pbx{"a.test": w.a, "b.test": w.b}[domain])
			w.a.refused(480, "INVITE", uri)
			w.a.refused(480, "OPTIONS", uri)
			second.Close()
			synctest.Wait()
		}
	})
}

// TestConns_ClosedMeanwhile: of a connection that ends before its REGISTER is
// answered nothing stays.
func TestConns_ClosedMeanwhile(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.overTCP("401", "a.test")
		ph.ask(ph.registerText())
		m := w.a.Expect("REGISTER")
		ph.Close()
		synctest.Wait()
		w.a.accept(m)
		synctest.Wait()
		if len(w.bound("401", "a.test")) != 1 {
			t.Error("the phone is not registered")
		}
		if n := len(w.proxy.conns.aors); n != 0 {
			t.Errorf("%d connections are known", n)
		}
	})
}
