package simnet

import (
	"context"
	"net"
	"net/netip"
	"syscall"
)

// backlog is how many streams wait for Accept. A dial beyond them is lost, so
// that it is sent again.
const backlog = 128

// Listener accepts TCP streams.
type Listener struct {
	host    *Host
	local   netip.AddrPort
	backlog chan *Conn
	done    chan struct{} // closed by close, with net.mu held
}

var _ net.Listener = (*Listener)(nil)

// Listen opens a TCP listener. Addresses are as in [Host.ListenPacket].
func (h *Host) Listen(local netip.AddrPort) (*Listener, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	bound, err := h.bind(local, func(a netip.AddrPort) bool { return h.listeners[a] != nil })
	if err != nil {
		return nil, opError("listen", "tcp", nil, net.TCPAddrFromAddrPort(local), err)
	}
	l := &Listener{
		host:    h,
		local:   bound,
		backlog: make(chan *Conn, backlog),
		done:    make(chan struct{}),
	}
	h.listeners[bound] = l
	return l, nil
}

// Accept waits for the next stream, a [*Conn].
func (l *Listener) Accept() (net.Conn, error) {
	if !isClosed(l.done) {
		select {
		case c := <-l.backlog:
			return c, nil
		case <-l.done:
		}
	}
	return nil, opError("accept", "tcp", nil, l.Addr(), net.ErrClosed)
}

// Addr returns the address that l is bound to, a [*net.TCPAddr].
func (l *Listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.local) }

// Close ends Accept, refuses dials from now on and resets the streams that
// were not accepted. Closing twice gives [net.ErrClosed].
func (l *Listener) Close() error {
	l.host.net.mu.Lock()
	defer l.host.net.mu.Unlock()
	if isClosed(l.done) {
		return opError("close", "tcp", nil, l.Addr(), net.ErrClosed)
	}
	l.close()
	return nil
}

// close is Close with the network locked.
func (l *Listener) close() {
	close(l.done)
	delete(l.host.listeners, l.local)
	for {
		select {
		case c := <-l.backlog:
			c.transmit(Rst, nil)
			c.fail(net.ErrClosed)
		default:
			return
		}
	}
}

// Dial opens a TCP stream from local to remote. The zero AddrPort as local
// takes h's address of the family and a free port. If nobody listens it
// fails with ECONNREFUSED; if packets vanish it waits until ctx is done and
// fails with ctx's error, or after some minutes with ETIMEDOUT.
func (h *Host) Dial(ctx context.Context, local, remote netip.AddrPort) (*Conn, error) {
	c, err := h.dial(ctx, local, unmap(remote))
	if err != nil {
		return nil, opError("dial", "tcp", nil, net.TCPAddrFromAddrPort(remote), err)
	}
	return c, nil
}

func (h *Host) dial(ctx context.Context, local, remote netip.AddrPort) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, err := h.startDial(local, remote)
	if err != nil {
		return nil, err
	}
	select {
	case <-c.established:
		return c, nil
	case <-c.failed:
	case <-ctx.Done():
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	switch {
	case c.err != nil:
		return nil, c.err
	case isClosed(c.established):
		return c, nil
	}
	c.fail(ctx.Err())
	return nil, ctx.Err()
}

// startDial adds the stream and sends its Syn.
func (h *Host) startDial(local, remote netip.AddrPort) (*Conn, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if !remote.IsValid() || remote.Port() == 0 || remote.Addr().IsUnspecified() {
		return nil, syscall.EINVAL
	}
	if h.down {
		return nil, syscall.ENETDOWN
	}
	if !local.Addr().IsValid() {
		local = netip.AddrPortFrom(unspecified(remote.Addr()), local.Port())
	}
	src, err := h.source(unmap(local), remote.Addr())
	if err != nil {
		return nil, err
	}
	src, err = h.bind(src, func(a netip.AddrPort) bool { return h.conns[connID{a, remote}] != nil })
	if err != nil {
		return nil, err
	}
	c := newConn(h, connID{local: src, remote: remote})
	c.transmit(Syn, nil)
	return c, nil
}
