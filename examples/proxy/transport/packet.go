package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// maxDatagram is more than UDP can carry, so that nothing is cut off.
const maxDatagram = 64 << 10

// port is a UDP listener: one address with one or more sockets. It keeps
// nothing per sender (R48).
type port struct {
	layer  *Layer
	number uint64
	addr   bound
	socks  []packetConn
}

// packetConn is the part of [net.UDPConn] that is used: its calls with
// [netip.AddrPort] do not allocate.
type packetConn interface {
	net.PacketConn
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
}

// asPacketConn returns pc itself if it has the calls of packetConn.
func asPacketConn(pc net.PacketConn) packetConn {
	if c, ok := pc.(packetConn); ok {
		return c
	}
	return foreignConn{pc}
}

// foreignConn makes a packetConn of any net.PacketConn.
type foreignConn struct{ net.PacketConn }

func (c foreignConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, addr, err := c.ReadFrom(b)
	if err != nil {
		return n, netip.AddrPort{}, err
	}
	from, err := addrPort(addr)
	return n, from, err
}

func (c foreignConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return c.WriteTo(b, net.UDPAddrFromAddrPort(to))
}

// read handles what arrives at the socket c until ctx ends. No error but the
// end of c ends it (R46).
func (p *port) read(ctx context.Context, c packetConn) error {
	buf := make([]byte, maxDatagram)
	for failures := 0; ; {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err == nil {
			failures = 0
			p.receive(buf[:n], unmap(from))
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		p.layer.count.readErrors.Add(1)
		if err := p.layer.tolerate(ctx, "udp", p.addr.AddrPort, err, failures); err != nil {
			return err
		}
		failures++
	}
}

// receive handles one datagram.
func (p *port) receive(b []byte, from netip.AddrPort) {
	k := sniff(b)
	if k == message {
		p.layer.deliver(Flow{p, from}, string(b), nil)
		return
	}
	p.layer.count.dropped[k].Add(1)
	if k == stun {
		if answer := answerSTUN(b, from); answer != nil {
			p.write(answer, from)
		}
	}
}

// interrupt makes read return, and leaves the sockets open for sending.
func (p *port) interrupt() {
	for _, c := range p.socks {
		c.SetReadDeadline(past)
	}
}

// shut closes the sockets.
func (p *port) shut() {
	for _, c := range p.socks {
		c.Close()
	}
}

func (p *port) id() uint64                { return p.number }
func (p *port) network() string           { return "udp" }
func (p *port) local() netip.AddrPort     { return p.addr.AddrPort }
func (p *port) tls() *tls.ConnectionState { return nil }
func (p *port) close()                    {}

// send writes one message.
func (p *port) send(b []byte, to netip.AddrPort) error {
	if trace := p.layer.cfg.Trace; trace != nil {
		trace(Flow{p, to}, true, string(b))
	}
	err := p.write(b, to)
	if err != nil {
		p.layer.count.sendErrors.Add(1)
		return err
	}
	p.layer.count.sent.Add(1)
	return nil
}

func (p *port) ping(to netip.AddrPort) error { return p.write([]byte(ping), to) }

// write writes one datagram. The sockets have one address, so any will do; by
// the remote port, the datagrams of a flow keep their order, and the senders
// do not wait for each other at one socket.
func (p *port) write(b []byte, to netip.AddrPort) error {
	_, err := p.socks[int(to.Port())%len(p.socks)].WriteToUDPAddrPort(b, to)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, net.ErrClosed):
		return ErrClosed
	}
	return fmt.Errorf("transport: %w", err)
}
