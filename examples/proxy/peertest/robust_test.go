package peertest

import (
	"strings"
	"testing"
)

// garbage is what is no SIP, or hardly.
func (s *site) garbage() []string {
	return []string{
		"\r\n\r\n",
		"\x00",
		strings.Repeat("A", 60_000),
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"INVITE sip:401@tenant-a.test SIP/2.0\r\n\r\n",
		"INVITE sip:401@tenant-a.test SIP/2.0\r\nContent-Length: -1\r\n\r\n",
		"REGISTER sip:tenant-a.test SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1\r\nTo: <\r\nFrom: <sip:\r\nCall-ID: 1\r\nCSeq: x REGISTER\r\n\r\n",
		"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP " + s.proxy().String() + ";branch=z9hG4bKx\r\nFrom: <sip:x>\r\nTo: <sip:x>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\r\n",
		"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKx\r\nContent-Length: 999999999\r\n\r\n",
	}
}

// What is no SIP does no harm: the proxy goes on, and forwards none of it.
func TestGarbage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(settings{})
	contact := s.play(registers(), s.extension(0), s.board(0))
	h, b := s.udp("phone", s.phone(0)), s.udp("PBX", s.pbx(0))
	for _, text := range s.garbage() {
		for i := range 3 { // strangers, phones and PBXes may all be broken
			x := s.udp("sender", s.phone(10+i))
			x.send(text)
			x.close()
			x = s.tcp("sender", s.phone(10+i))
			x.send(text)
			x.close()
		}
		h.send(text)
		b.send(text)
	}
	for _, x := range []*peer{h, b} {
		x.wantNoRequest()
		x.close()
	}
	s.play(answered(), s.extension(0), &end{at: s.pbx(0), user: "999", dials: contact})
	p.wantBindings(1)
}

// The proxy ends when it is told to, even if a phone rings and a PBX is silent.
func TestStopsWhileRinging(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(settings{})
	contact := s.play(registers(), s.extension(0), s.board(0))
	b, h := s.udp("PBX", s.pbx(0)), s.udp("phone", s.phone(0))
	b.call(contact, "sip:999@"+s.pbx(0).Addr().String())
	h.reply(h.expect("INVITE"), 180)
	b.expect("180 INVITE")
	h.call("sip:9@"+domain(0), "sip:401@"+domain(0))
	b.expect("INVITE")
	p.stop()
}
