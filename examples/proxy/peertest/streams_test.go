package peertest

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// streams are the transports beside UDP and TCP, with the ports of the proxy.
var streams = map[string]uint16{"TLS": 5061, "WS": 8080, "WSS": 8443}

// stream is where the proxy takes a transport.
func (s *site) stream(network string) netip.AddrPort {
	return netip.AddrPortFrom(s.host(1), streams[network])
}

// onStreams is a proxy that listens for all transports, with a certificate of
// the authority in a directory.
func (s *site) onStreams(ca *authority, dir string) settings {
	s.t.Helper()
	id := ca.issue(s.host(1), dir)
	c := settings{lines: []string{fmt.Sprintf("tls: {cert: %q, key: %q, ca: %q}", id.certFile, id.keyFile, ca.file)}}
	for network := range streams {
		c.listen = append(c.listen, fmt.Sprintf("%s:%v", strings.ToLower(network), s.stream(network)))
	}
	return c
}

// secure speaks TLS with the proxy, whose certificate must be by the authority.
func (s *site) secure(c net.Conn, ca *authority) *tls.Conn {
	s.t.Helper()
	secured := tls.Client(c, &tls.Config{RootCAs: ca.pool, ServerName: s.host(1).String()})
	if err := secured.HandshakeContext(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	return secured
}

// connect returns a peer that is connected to the proxy by a transport.
func (s *site) connect(network, name string, at netip.AddrPort, ca *authority) *peer {
	s.t.Helper()
	var c net.Conn = s.dial(at, s.stream(network))
	if network != "WS" {
		c = s.secure(c, ca)
	}
	if network != "TLS" {
		d := ws.Dialer{
			Protocols: []string{"sip"},
			NetDial:   func(context.Context, string, string) (net.Conn, error) { return c, nil },
			TLSClient: func(c net.Conn, _ string) net.Conn { return c }, // it is secure already
		}
		url := strings.ToLower(network) + "://" + s.stream(network).String()
		if _, early, shake, err := d.Dial(s.t.Context(), url); err != nil || early != nil || shake.Protocol != "sip" {
			s.t.Fatalf("%s: protocol %q, %v", url, shake.Protocol, err)
		}
		c = &webSocket{Conn: c}
	}
	return s.over(network, name, at, c)
}

// webSocket is a connection of which each message is a frame (RFC 7118).
type webSocket struct {
	net.Conn
	rest bytes.Buffer
}

// Read implements [net.Conn].
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

// Write implements [net.Conn].
func (w *webSocket) Write(b []byte) (int, error) {
	return len(b), wsutil.WriteClientText(w.Conn, b)
}

// converse has each side of a call that is up send requests, the last of which
// is the BYE of the callee.
func converse(caller, callee *dialog) {
	caller.p.t.Helper()
	ask := func(from, to *dialog, method string) {
		caller.p.t.Helper()
		from.request(method)
		to.p.reply(to.p.expect(method), 200)
		from.p.expect("200 " + method)
		if method == "INVITE" {
			from.ack()
			to.p.expect("ACK")
		}
	}
	for _, method := range []string{"INVITE", "INFO"} {
		ask(caller, callee, method)
		ask(callee, caller, method)
	}
	ask(callee, caller, "BYE")
}

// takes has the phone h take a call of the PBX to a Contact.
func (a *asterisk) takes(contact string, h *peer) (caller, callee *dialog) {
	a.t.Helper()
	caller = a.dial(contact)
	callee = h.accept(h.expect("INVITE"), h.contactOf("401"))
	caller.expect("200 INVITE")
	caller.ack()
	h.expect("ACK")
	return caller, callee
}

// takenFrom has the PBX take a call of the phone h.
func (a *asterisk) takenFrom(h *peer) (caller, callee *dialog) {
	a.t.Helper()
	caller = h.dialog("sip:999@"+domain(0), "sip:401@"+domain(0))
	caller.request("INVITE", "Contact: <"+h.contactOf("401")+">")
	callee = a.accept(a.expect("INVITE"), a.contactOf("999"))
	caller.expect("200 INVITE")
	caller.ack()
	a.expect("ACK")
	return caller, callee
}

// A phone registers over a connection with a PBX that has UDP, and calls go to
// and fro over that connection, which is the only way to it whatever its Contact
// says (P-37, P-50). When it is closed the phone is gone (R42).
func TestStreams(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, network, contact string
	}{
		{"TLS, behind NAT", "TLS", "sip:401@" + private + ";transport=tls"},
		{"TLS, public", "TLS", ""}, // or a PJSIP that has learned how the proxy sees it
		{"WS", "WS", "sip:x7k2@df7jal23ls0d.invalid;transport=ws"},
		{"WSS", "WSS", "sip:x7k2@df7jal23ls0d.invalid;transport=ws"}, // RFC 7118 section 5.2.4
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			ca := s.authority()
			p := s.start(s.onStreams(ca, t.TempDir()))
			a, h := s.asterisk("PBX", s.pbx(0)), s.connect(tt.network, "phone", s.phone(0), ca)
			h.shown = tt.contact
			other := s.connect(tt.network, "other phone", s.phone(1), ca)
			h.register("401", domain(0), "secret")
			other.register("402", domain(0), "secret")
			contact := a.contact("401")
			converse(a.takes(contact, h))
			converse(a.takenFrom(h))

			rings := a.dial(contact)
			h.reply(h.expect("INVITE"), 180)
			rings.expect("180 INVITE")
			h.close()
			if got := rings.refusal(); got != 480 {
				t.Errorf("the call that rang ends with %d, want 480", got)
			}
			a.misses(contact, 480)
			a.rings(a.contact("402"), other, other.contactOf("402"))
			p.silent(other)
		})
	}
}

// SIGHUP brings a new certificate to those who connect from then on. Who is
// connected stays so, and a certificate that is at fault changes nothing.
func TestCertificateReload(t *testing.T) {
	t.Parallel()
	s, dir := newSite(t), t.TempDir()
	ca := s.authority()
	p := s.start(s.onStreams(ca, dir))
	a, h := s.asterisk("PBX", s.pbx(0)), s.connect("TLS", "phone", s.phone(0), ca)
	h.register("401", domain(0), "secret")
	shown := func(network string) string {
		t.Helper()
		c := s.secure(s.dial(netip.AddrPortFrom(s.phone(1).Addr(), 0), s.stream(network)), ca)
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	old := shown("TLS")
	id := ca.issue(s.host(1), dir)
	if got := shown("TLS"); got != old {
		t.Error("the certificate is read without SIGHUP")
	}
	p.signal(t, syscall.SIGHUP)
	fresh := id.Leaf.SerialNumber.String()
	eventually(t, "the new certificate is shown", func() bool { return shown("TLS") == fresh })
	if got := shown("WSS"); got != fresh {
		t.Error("over WSS it is the old one")
	}

	p.complains = true
	writePEM(t, id.certFile, "CERTIFICATE", []byte("none"))
	p.signal(t, syscall.SIGHUP)
	eventually(t, "the fault is logged", func() bool { return strings.Contains(p.errors.String(), "level=ERROR") })
	if got := shown("TLS"); got != fresh {
		t.Error("one at fault has taken the place of the good one")
	}
	a.rings(a.contact("401"), h, h.contactOf("401"))
}

// secureBoard returns a PBX that takes connections over TLS, and sends by the one
// that it has.
func (s *site) secureBoard(name string, at netip.AddrPort, id identity) *asterisk {
	s.t.Helper()
	tcp, err := net.Listen("tcp", at.String())
	if err != nil {
		s.t.Fatal(err)
	}
	l := &server{Listener: tls.NewListener(tcp, &tls.Config{Certificates: []tls.Certificate{id.Certificate}})}
	p := s.peer(name, at)
	p.network, p.shown = "TLS", fmt.Sprintf("sip:999@%v;transport=tls", at)
	p.send = func(text string) { l.conn().Write([]byte(text)) }
	a := p.asterisk()
	p.start(l, func() {
		for l.next() {
			p.read(l.conn())
		}
	})
	return a
}

// server takes connections, one at a time.
type server struct {
	net.Listener
	mu  sync.Mutex
	has net.Conn // nil before the first one
}

// next waits for the next connection. It reports false at the end.
func (l *server) next() bool {
	c, err := l.Accept()
	if err != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.has = c
	return true
}

func (l *server) conn() net.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.has
}

// Close ends what there is.
func (l *server) Close() error {
	err := l.Listener.Close()
	if c := l.conn(); c != nil {
		c.Close()
	}
	return err
}

// overTLS is a tenant whose PBX is reached over TLS.
func (s *site) overTLS(ca *authority) (c settings, at netip.AddrPort) {
	c = s.onStreams(ca, s.t.TempDir())
	at = netip.AddrPortFrom(s.pbx(0).Addr(), 5061)
	c.tenants = []tenant{{pbxes: []string{fmt.Sprintf("{uri: \"sip:%v;transport=tls\"}", at)}}}
	return c, at
}

// A PBX is reached over TLS, by a certificate of whom tls.ca has, and phones by
// what they have.
func TestPBXOverTLS(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"UDP", "TLS", "WSS"} {
		t.Run("phone over "+network, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			ca := s.authority()
			c, at := s.overTLS(ca)
			s.start(c)
			a := s.secureBoard("PBX", at, ca.issue(at.Addr(), t.TempDir()))
			var h *peer
			if network == "UDP" {
				h = s.udp("phone", s.phone(0))
			} else {
				h = s.connect(network, "phone", s.phone(0), ca)
			}
			h.shown = "sip:401@" + private + ";transport=" + strings.ToLower(h.network)
			h.register("401", domain(0), "secret")
			converse(a.takes(a.contact("401"), h))
			converse(a.takenFrom(h))
		})
	}
}

// Nothing is sent to who is in the place of a PBX without a certificate of whom
// tls.ca has.
func TestPBXOverTLSIsKnown(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		id   func(s *site, ca *authority, at netip.AddrPort) identity
	}{
		{"of another authority", func(s *site, _ *authority, at netip.AddrPort) identity {
			return s.authority().issue(at.Addr(), s.t.TempDir())
		}},
		{"of another host", func(s *site, ca *authority, _ netip.AddrPort) identity {
			return ca.issue(s.stranger().Addr(), s.t.TempDir())
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			ca := s.authority()
			c, at := s.overTLS(ca)
			p := s.start(c)
			a, h := s.secureBoard("impostor", at, tt.id(s, ca, at)).trusts(), s.udp("phone", s.phone(0))
			d := h.dialog("sip:401@"+domain(0), "sip:401@"+domain(0))
			d.request("REGISTER", "Contact: <"+h.contactOf("401")+">")
			if m := h.await("final answer", func(m *message) bool { return m.status() >= 200 }); m.status() != 503 {
				t.Errorf("the phone gets %s, want 503", m.first)
			}
			p.stop()
			a.close()
			a.wantNothing()
			if got := a.stored("401"); len(got) != 0 {
				t.Errorf("the impostor knows %q", got)
			}
		})
	}
}
