package transport_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/internal/simnet"
)

// tlsPBX listens on loopback with a certificate and takes what comes.
func tlsPBX(t *testing.T, cfg *tls.Config) netip.AddrPort {
	l, err := tls.Listen("tcp", "127.0.0.2:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 2048)
			if n, err := c.Read(buf); err == nil {
				c.Write(buf[:n])
			}
			c.Close()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// R53: a PBX is dialed with TLS if its certificate is for the name that it is
// known by, or for its address, and by an authority that is trusted.
func TestTLS_Dial(t *testing.T) {
	named, addressed := newCertificate(t, "pbx.a.example"), newCertificate(t, "127.0.0.2")
	ours := newCertificate(t, "proxy.example")
	tests := []struct {
		name   string
		server tls.Certificate
		client *tls.Config
		known  string // what ServerName says
		want   string // error
	}{
		{"name of the server", named, &tls.Config{RootCAs: trusting(named)}, "pbx.a.example", ""},
		{"name in the configuration", named, &tls.Config{RootCAs: trusting(named), ServerName: "pbx.a.example"}, "", ""},
		{"address", addressed, &tls.Config{RootCAs: trusting(addressed)}, "", ""},
		{"certificate of our own", named, &tls.Config{RootCAs: trusting(named), Certificates: []tls.Certificate{ours}}, "pbx.a.example", ""},
		{"other name", named, &tls.Config{RootCAs: trusting(named)}, "pbx.b.example", "not pbx.b.example"},
		{"no name", named, &tls.Config{RootCAs: trusting(named)}, "", "127.0.0.2"},
		{"roots of the system", named, nil, "pbx.a.example", "certificate signed by unknown authority"},
		{"foreign root", named, &tls.Config{RootCAs: trusting(addressed)}, "pbx.a.example", "certificate"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := &tls.Config{Certificates: []tls.Certificate{tt.server}, ClientAuth: tls.RequestClientCert}
			remote := tlsPBX(t, server)
			got := make(chan string, 2)
			var asked netip.AddrPort
			layer := newLayer(t, transport.Config{
				Handler: &handler{
					message: func(f transport.Flow, m *sipmsg.Message) {
						if f.TLS() == nil || !f.TLS().HandshakeComplete {
							t.Errorf("TLS state %v", f.TLS())
						}
						got <- ""
					},
					closed: func(f transport.Flow, err error) { got <- err.Error() },
				},
				ClientTLS:  tt.client,
				ServerName: func(a netip.AddrPort) string { asked = a; return tt.known },
			})
			run(t, layer)
			f, err := layer.Dial("tls", none, remote)
			if err != nil {
				t.Fatal(err)
			}
			f.Send([]byte(request("OPTIONS", "a")))
			if err := <-got; (err == "") != (tt.want == "") || !strings.Contains(err, tt.want) {
				t.Errorf("%q, want %q", err, tt.want)
			}
			if asked != remote || f.Network() != "tls" || f.Remote() != remote {
				t.Errorf("flow %v, asked for %v", f, asked)
			}
			if s := layer.Stats(); s.Dialed != 1 || (s.DialErrors == 1) != (tt.want != "") || s.Handshakes != 0 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// R53: a PBX that accepts but does not speak TLS is given up in the 3 s of any
// dial.
func TestTLS_DialSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newLab(t, transport.Config{})
		pbx, _ := newPBX(lab, "10.0.1.10:5061")
		f, err := lab.layer.Dial("tls", tcp, pbx.addr)
		if err != nil {
			t.Fatal(err)
		}
		f.Send([]byte("x"))
		time.Sleep(3*time.Second - time.Nanosecond)
		lab.expect()
		time.Sleep(time.Nanosecond)
		lab.expect("closed: transport: no connection: context deadline exceeded")
		if s := lab.layer.Stats(); s.DialErrors != 1 || s.SendErrors != 1 || s.Connections != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// A TLS connection can be closed, and the layer stopped, in the middle of the
// handshake of either side.
func TestTLS_Interrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newFullLab(t, transport.Config{})
		pbx, _ := newPBX(lab, "10.0.1.10:5061")
		lab.connectRaw("tls", lab.newHost("198.51.100.7"), 0)
		f, err := lab.layer.Dial("tls", none, pbx.addr)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		start := time.Now()
		f.Close()
		lab.expect("closed: transport: closed")
		lab.stop()
		lab.expect("closed: transport: closed", "closed: transport: closed")
		if d := time.Since(start); d != 0 {
			t.Errorf("took %v", d)
		}
	})
}

// R44: who shows a certificate is known by it.
func TestTLS_ClientCertificate(t *testing.T) {
	for _, network := range []string{"tls", "wss"} {
		ours, phones := newCertificate(t, "sip.a.example"), newCertificate(t, "phone.a.example")
		flows := make(chan transport.Flow, 1)
		layer := newLayer(t, transport.Config{
			Handler: &handler{message: func(f transport.Flow, _ *sipmsg.Message) { flows <- f }},
			ServerTLS: &tls.Config{
				Certificates: []tls.Certificate{ours}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: trusting(phones),
			},
		})
		to := listen(t, layer, network, "127.0.0.1:0")
		run(t, layer)
		c, err := tls.Dial("tcp", to.String(), &tls.Config{
			RootCAs: trusting(ours), ServerName: "sip.a.example", Certificates: []tls.Certificate{phones},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		text := request("OPTIONS", "a")
		if network == "wss" {
			text = upgradeRequest + textFrame(text)
		}
		c.Write([]byte(text))
		state := (<-flows).TLS()
		if len(state.PeerCertificates) != 1 || !state.PeerCertificates[0].Equal(phones.Leaf) {
			t.Errorf("%s: certificates %v", network, state.PeerCertificates)
		}

		if c, err := tls.Dial("tcp", to.String(), &tls.Config{InsecureSkipVerify: true}); err == nil {
			_, err = c.Read(make([]byte, 1))
			if err == nil || !strings.Contains(err.Error(), "certificate required") {
				t.Errorf("%s: a client without certificate: %v", network, err)
			}
			c.Close()
		}
		waitFor(t, func() bool { return layer.Stats().Handshakes == 1 })
	}
}

// What is no TLS is told from what takes too long.
func TestTLS_HandshakeErrors(t *testing.T) {
	for _, network := range []string{"tls", "wss"} {
		synctest.Test(t, func(t *testing.T) {
			lab := newFullLab(t, transport.Config{})
			host := lab.newHost("198.51.100.7")
			lab.connectRaw(network, host, 0).send(request("OPTIONS", "a"))
			lab.connectRaw(network, host, 0).raw.Close()
			synctest.Wait()
			for _, e := range lab.log.all() {
				if e.What != "closed" || !errors.Is(e.Err, transport.ErrHandshake) {
					t.Errorf("%s: %v", e.What, e.Err)
				}
			}
			if s := lab.layer.Stats(); s.Handshakes != 2 || s.Connections != 0 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// A listener with TLS needs a configuration.
func TestTLS_NoConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		layer := newLayer(t, transport.Config{})
		for _, network := range []string{"tls", "wss"} {
			if err := layer.Listen(context.Background(), network, address("127.0.0.1:0")); err == nil || !strings.Contains(err.Error(), "ServerTLS") {
				t.Errorf("Listen %s: %v", network, err)
			}
		}
		run(t, layer)
	})
}

// A dialed TLS connection is shared, as one without TLS is, and not with it.
func TestTLS_DialShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pbx := newCertificate(t, "pbx.a.example")
		lab := newFullLab(t, transport.Config{
			ClientTLS: &tls.Config{RootCAs: trusting(pbx), ServerName: "pbx.a.example"},
		})
		host := lab.newHost("10.0.1.10")
		l, err := host.Listen(address("10.0.1.10:5061"))
		if err != nil {
			t.Fatal(err)
		}
		first, err := lab.layer.Dial("tls", none, address("10.0.1.10:5061"))
		second, _ := lab.layer.Dial("tls", none, address("10.0.1.10:5061"))
		plain, _ := lab.layer.Dial("tcp", none, address("10.0.1.10:5061"))
		if err != nil || first != second || first == plain {
			t.Errorf("flows %v, %v and %v: %v", first, second, plain, err)
		}
		first.Send([]byte("x"))
		second.Send([]byte("y"))
		synctest.Wait() // all is connected
		for range 2 {
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if c.(*simnet.Conn).RemoteAddr().(*net.TCPAddr).AddrPort() == plain.Local() {
				continue
			}
			server := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pbx}})
			buf := make([]byte, 10)
			if n, err := server.Read(buf); string(buf[:n]) != "xy" {
				t.Errorf("PBX received %q, %v", buf[:n], err)
			}
		}
	})
}

// RFC 5923 section 3: who connects from the address of a PBX has not proved to be
// it, and is not taken for it.
func TestTLS_DialTakesNoAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newFullLab(t, transport.Config{})
		a := lab.connect("tls", lab.newHost("10.0.1.10"), 5061)
		accepted, ok := lab.layer.Find("tls", none, a.addr())
		f, err := lab.layer.Dial("tls", none, a.addr())
		if err != nil || !ok || f == accepted {
			t.Errorf("dialed %v, %v; accepted %v, %v", f, err, accepted, ok)
		}
		if s := lab.layer.Stats(); s.Dialed != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}
