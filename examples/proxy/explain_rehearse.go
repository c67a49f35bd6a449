package main

import (
	"net"
	"net/netip"

	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
)

// rehearse takes a request from src through a relay of its own, which reads and
// checks it as the one in service does, and then calls policy. If the relay
// answers it without, that is what it returns.
func (p *Proxy) rehearse(src route.Source, m *sipmsg.Message, policy func(*relay.Context)) (answer *sipmsg.Message, err error) {
	s := &rehearsal{src: src.Addr, policy: policy}
	r, err := relay.New(relay.Config{Policy: s, Network: s, Own: p.names.isOwn, Logger: p.log})
	if err != nil {
		return nil, err
	}
	l, err := transport.New(transport.Config{Handler: r})
	if err != nil {
		return nil, err
	}
	if err := l.ServePacket(s); err != nil { // nothing is read without Run
		return nil, err
	}
	f, _ := l.Find("udp", noAddr, src.Addr)
	r.Message(f, m)
	if s.answer == "" {
		return nil, nil
	}
	return sipmsg.Parse(s.answer)
}

// rehearsal is all that its relay has to do with: a policy that forwards nothing,
// a network on which nobody is, and a socket that keeps what is sent.
type rehearsal struct {
	net.PacketConn // nil: no other method is used
	src            netip.AddrPort
	policy         func(*relay.Context)
	answer         string
}

var (
	_ relay.Policy  = (*rehearsal)(nil)
	_ relay.Network = (*rehearsal)(nil)
)

// Symmetric implements [relay.Policy].
func (s *rehearsal) Symmetric(transport.Flow) bool { return true }

// Route implements [relay.Policy].
func (s *rehearsal) Route(c *relay.Context) {
	s.policy(c)
	c.Drop()
}

// Find implements [relay.Network].
func (s *rehearsal) Find(string, netip.AddrPort, netip.AddrPort) (transport.Flow, bool) {
	return transport.Flow{}, false
}

// Dial implements [relay.Network].
func (s *rehearsal) Dial(string, netip.AddrPort, netip.AddrPort) (transport.Flow, error) {
	return transport.Flow{}, transport.ErrNoListener
}

// LocalAddr returns an address of the family of the source.
func (s *rehearsal) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(s.src) }

// WriteTo keeps an answer.
func (s *rehearsal) WriteTo(b []byte, _ net.Addr) (int, error) {
	s.answer = string(b)
	return len(b), nil
}
