package simnet

import (
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// maxDatagram is the largest payload of a UDP packet over IPv4.
const maxDatagram = 65507

// PacketConn is a UDP socket. Besides [net.PacketConn] it has the methods of
// [net.UDPConn] that do without a [net.Addr]. Addresses that it returns are
// never IPv4-mapped.
type PacketConn struct {
	host  *Host
	local netip.AddrPort

	received chan datagram
	dropped  atomic.Uint64
	done     chan struct{} // closed by close, with net.mu held
	read     deadline
	write    deadline
}

var _ net.PacketConn = (*PacketConn)(nil)

type datagram struct {
	src  netip.AddrPort
	data []byte
}

// ListenPacket opens a UDP socket. Port 0 takes a free port, an unspecified
// address all addresses of h, the zero AddrPort h's first address and a free
// port. An address that is in use gives EADDRINUSE, one that h does not have
// EADDRNOTAVAIL.
func (h *Host) ListenPacket(local netip.AddrPort) (*PacketConn, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	bound, err := h.bind(local, func(a netip.AddrPort) bool { return h.packets[a] != nil })
	if err != nil {
		return nil, opError("listen", "udp", nil, net.UDPAddrFromAddrPort(local), err)
	}
	c := &PacketConn{
		host:     h,
		local:    bound,
		received: make(chan datagram, h.net.cfg.ReceiveBuffer),
		done:     make(chan struct{}),
		read:     newDeadline(),
		write:    newDeadline(),
	}
	h.packets[bound] = c
	return c, nil
}

// receiveDatagram hands w to the socket at dst. The network is locked.
func (h *Host) receiveDatagram(w *wire, dst netip.AddrPort) Reason {
	c := socketAt(h.packets, dst)
	if c == nil {
		return NoSocket
	}
	select {
	case c.received <- datagram{w.Src, w.Data}:
		return ""
	default:
		c.dropped.Add(1)
		return BufferFull
	}
}

// ReadFromUDPAddrPort waits for a datagram and copies it to b; what does not
// fit is lost. Datagrams received before Close can not be read after it.
func (c *PacketConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	d, err := c.receive()
	if err != nil {
		return 0, netip.AddrPort{}, opError("read", "udp", c.LocalAddr(), nil, err)
	}
	return copy(b, d.data), d.src, nil
}

func (c *PacketConn) receive() (datagram, error) {
	if isClosed(c.done) {
		return datagram{}, net.ErrClosed
	}
	if err := c.read.err(); err != nil {
		return datagram{}, err
	}
	for {
		select {
		case d := <-c.received:
			return d, nil
		case <-c.done:
			return datagram{}, net.ErrClosed
		case <-c.read.wait():
			if err := c.read.err(); err != nil {
				return datagram{}, err
			}
		}
	}
}

// ReadFrom is [PacketConn.ReadFromUDPAddrPort] with the address as a
// [*net.UDPAddr].
func (c *PacketConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, src, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(src), nil
}

// WriteToUDPAddrPort sends a copy of b to dst. It does not block, and like UDP
// it does not tell whether b arrives.
func (c *PacketConn) WriteToUDPAddrPort(b []byte, dst netip.AddrPort) (int, error) {
	if err := c.send(b, unmap(dst)); err != nil {
		return 0, opError("write", "udp", c.LocalAddr(), net.UDPAddrFromAddrPort(dst), err)
	}
	return len(b), nil
}

func (c *PacketConn) send(b []byte, dst netip.AddrPort) error {
	if err := c.write.err(); err != nil {
		return err
	}
	if !dst.IsValid() || dst.Port() == 0 || dst.Addr().IsUnspecified() {
		return syscall.EINVAL
	}
	if len(b) > maxDatagram {
		return syscall.EMSGSIZE
	}
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if isClosed(c.done) {
		return net.ErrClosed
	}
	if c.host.down {
		return syscall.ENETDOWN
	}
	src, err := c.host.source(c.local, dst.Addr())
	if err != nil {
		return err
	}
	n.send(&wire{
		Packet: Packet{Kind: Datagram, From: c.host, Data: append([]byte(nil), b...)},
		src:    src,
		dst:    dst,
	})
	return nil
}

// WriteTo is [PacketConn.WriteToUDPAddrPort] for a [*net.UDPAddr].
func (c *PacketConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	dst, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, opError("write", "udp", c.LocalAddr(), addr, syscall.EINVAL)
	}
	return c.WriteToUDPAddrPort(b, dst.AddrPort())
}

// LocalAddr returns the address that c is bound to, a [*net.UDPAddr].
func (c *PacketConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.local) }

// Dropped returns how many datagrams found the receive buffer full.
func (c *PacketConn) Dropped() uint64 { return c.dropped.Load() }

// SetDeadline sets both deadlines. Calls past one fail with
// [os.ErrDeadlineExceeded]; the zero Time takes it away.
func (c *PacketConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline sets the deadline of reads, also of one that waits now.
func (c *PacketConn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.read, t) }

// SetWriteDeadline sets the deadline of writes, which never wait.
func (c *PacketConn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.write, t) }

func (c *PacketConn) setDeadline(d *deadline, t time.Time) error {
	if isClosed(c.done) {
		return opError("set", "udp", c.LocalAddr(), nil, net.ErrClosed)
	}
	d.set(t)
	return nil
}

// Close closes the socket and ends reads that wait. What it sent still
// arrives. Closing twice gives [net.ErrClosed].
func (c *PacketConn) Close() error {
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if isClosed(c.done) {
		return opError("close", "udp", c.LocalAddr(), nil, net.ErrClosed)
	}
	c.close()
	return nil
}

// close is Close with the network locked.
func (c *PacketConn) close() {
	close(c.done)
	delete(c.host.packets, c.local)
	c.read.set(time.Time{})
	c.write.set(time.Time{})
}
