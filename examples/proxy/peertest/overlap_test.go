package peertest

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sockets opens those of the proxy, which outlive it as systemd's do.
func (s *site) sockets() []*os.File {
	s.t.Helper()
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(s.proxy()))
	if err != nil {
		s.t.Fatal(err)
	}
	defer udp.Close()
	tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(s.proxy()))
	if err != nil {
		s.t.Fatal(err)
	}
	defer tcp.Close()
	var files []*os.File
	for _, c := range []interface{ File() (*os.File, error) }{udp, tcp} {
		f, err := c.File()
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { f.Close() })
		files = append(files, f)
	}
	return files
}

// Two proxies overlap, the one that ends and the one that takes over, and read the
// same sockets: either may get what is the other's. The call that is up goes on, and
// the one that rings is answered, as everybody repeats what is lost.
func TestTwoStartsOverlap(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := s.prepare(settings{lines: []string{"drain: 10s"}})
	first.sockets = s.sockets()
	first.run()
	a, h := s.asterisk("PBX", s.pbx(0)), s.udp("phone", s.phone(0))
	h.register("401", domain(0), "secret")
	contact := a.contact("401")
	up, atPhone := a.takes(contact, h)
	rings := a.dial(contact)
	invite := h.expect("INVITE")
	h.reply(invite, 180)
	rings.expect("180 INVITE")

	first.signal(t, syscall.SIGTERM)
	first.stopped = true
	second := s.prepare(settings{})
	second.sockets, second.admin = first.sockets, netip.AddrPortFrom(s.host(2), 8060)
	text, err := os.ReadFile(second.config)
	if err == nil {
		err = os.WriteFile(second.config, []byte(strings.ReplaceAll(string(text), s.admin().String(), second.admin.String())), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	second.run()

	answered := make(chan struct{})
	go func() { // as a phone does until it has the ACK (RFC 3261 section 13.3.1.4)
		for {
			h.reply(invite, 200, "Contact: <"+h.contactOf("401")+">")
			select {
			case <-answered:
				return
			case <-time.After(500 * time.Millisecond):
			}
		}
	}()
	rings.expect("200 INVITE")
	rings.ack()
	h.expect("ACK")
	close(answered)
	if code, ok := first.wait(patience); !ok || code != 0 {
		t.Errorf("the first one: exit code %d, in time: %t", code, ok)
	}
	first.checkLog()
	for range 5 { // there is one by now
		up.request("INFO")
		h.reply(h.expect("INFO"), 200)
		up.expect("200 INFO")
		atPhone.request("INFO")
		a.reply(a.expect("INFO"), 200)
		atPhone.expect("200 INFO")
	}
	for _, d := range []*dialog{up, rings} {
		d.request("BYE")
		h.reply(h.expect("BYE"), 200)
		d.expect("200 BYE")
	}
}
