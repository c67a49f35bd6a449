package peertest

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// overTCP is a tenant whose PBX is reached over TCP.
func (s *site) overTCP() settings {
	return settings{tenants: []tenant{{pbxes: []string{fmt.Sprintf("{uri: \"sip:%v;transport=tcp\"}", s.pbx(0))}}}}
}

// A phone that registers over TCP is called over the same connection, which is
// the only way to it: it does not listen. PBX and phone need not use the same
// transport.
func TestTCP(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		phone, pbx bool // uses TCP
	}{
		{"phone", true, false},
		{"PBX", false, true},
		{"both", true, true},
	} {
		for _, call := range []struct {
			name  string
			story story
		}{
			{"is called", join(calls(pbx, phone), inDialog(pbx, phone), inDialog(phone, pbx), hangsUp(pbx, phone))},
			{"calls", join(challenged(401), inDialog(phone, pbx), inDialog(pbx, phone), hangsUp(phone, pbx))},
			{"is called, 100rel", join(reliable(pbx, phone), hangsUp(phone, pbx))},
			{"is called, given up", canceled(pbx, phone)},
		} {
			t.Run(tt.name+"/"+call.name, func(t *testing.T) {
				t.Parallel()
				s := newSite(t)
				c := settings{}
				if tt.pbx {
					c = s.overTCP()
				}
				s.start(c)
				e, b := s.caller(0), s.board(0)
				e.tcp, b.tcp = tt.phone, tt.pbx
				s.play(join(registers(), call.story), e, b)
			})
		}
	}
}

// tunnel takes the connections of a SIPp, which may have been built without TLS, and
// carries what comes on them to the proxy and back over TLS.
func (s *site) tunnel(at netip.AddrPort, ca *authority) {
	s.t.Helper()
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		s.t.Fatal(err)
	}
	var all sync.WaitGroup
	s.t.Cleanup(func() { l.Close(); all.Wait() })
	config := &tls.Config{RootCAs: ca.pool, ServerName: s.host(1).String()}
	carry := func(from, to net.Conn) {
		io.Copy(to, from)
		from.Close()
		to.Close()
	}
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			secured, err := tls.Dial("tcp", s.stream("TLS").String(), config)
			if err != nil {
				s.t.Error(err)
				c.Close()
				return
			}
			all.Go(func() { carry(c, secured) })
			all.Go(func() { carry(secured, c) })
		}
	})
}

// What holds over TCP does over TLS.
func TestTLS(t *testing.T) {
	t.Parallel()
	for name, story := range map[string]story{
		"is called":           join(calls(pbx, phone), inDialog(pbx, phone), inDialog(phone, pbx), hangsUp(pbx, phone)),
		"calls":               join(challenged(401), inDialog(phone, pbx), inDialog(pbx, phone), hangsUp(phone, pbx)),
		"is called, 100rel":   join(reliable(pbx, phone), hangsUp(phone, pbx)),
		"is called, given up": canceled(pbx, phone),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			ca := s.authority()
			s.start(s.onStreams(ca, t.TempDir()))
			e := s.caller(0)
			e.tcp, e.to = true, s.phone(9)
			s.tunnel(e.to, ca)
			s.play(join(registers(), story), e, s.board(0))
		})
	}
}

// Of phones with a connection each, the right one rings. When its connection is
// gone the phone is gone: no other connection is taken, and none is opened
// (R42).
func TestTCPPhonesAreToldApart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(settings{tenants: tenants(2)})
	var boards [2]*asterisk
	var phones [4]*peer // two of each tenant
	var contacts [4]string
	for i := range boards {
		boards[i] = s.asterisk(fmt.Sprint("PBX ", i), s.pbx(i))
	}
	for i := range phones {
		ext := fmt.Sprint(401 + i/2)
		phones[i] = s.tcp(fmt.Sprint("phone ", i), s.phone(i))
		phones[i].register(ext, domain(i%2), "secret")
		contacts[i] = boards[i%2].contact(ext)
	}
	p.wantBindings(4)
	for i, h := range phones {
		d := boards[i%2].dial(contacts[i])
		h.reply(h.expect("INVITE"), 486)
		d.refused(d.expect("486 INVITE"))
		h.expect("ACK")
	}
	phones[0].close()
	var l net.Listener
	eventually(t, "the address is free again", func() bool {
		var err error
		l, err = net.Listen("tcp", s.phone(0).String())
		return err == nil
	})
	defer l.Close()
	d := boards[0].dial(contacts[0])
	d.refused(d.expect("480 INVITE"))
	p.silent(phones[1:]...)
	l.(*net.TCPListener).SetDeadline(time.Now().Add(-time.Second)) // what is there is there
	if _, err := l.Accept(); err == nil {
		t.Error("the proxy has opened a connection to a phone")
	}
}
