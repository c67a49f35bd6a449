package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// stream is one connection. Its goroutine, run, opens it if it is a dialed
// one, reads it, and tells of its end. A second one writes what is queued.
//
// Whoever wants it to end calls shut, which only notes the reason and moves
// the deadlines. The connection is closed by run alone.
type stream struct {
	layer  *Layer
	number uint64
	net    string
	remote netip.AddrPort
	dialed bool
	born   time.Time // accepted

	mu     sync.Mutex
	change sync.Cond          // on mu: queue or err
	addr   netip.AddrPort     // ours
	conn   net.Conn           // nil while it is being dialed
	cancel context.CancelFunc // of the dial
	err    error              // why it ends; set once
	queue  []byte             // not yet taken by write
	queued uint64             // messages in it
	taken  int                // bytes that write is busy with
}

func newAccepted(l *Layer, network string, c net.Conn) (*stream, error) {
	local, err := addrPort(c.LocalAddr())
	if err != nil {
		return nil, err
	}
	remote, err := addrPort(c.RemoteAddr())
	if err != nil {
		return nil, err
	}
	s := newStream(l, network, local, remote)
	s.conn, s.born = c, time.Now()
	return s, nil
}

func newDialed(l *Layer, network string, local, remote netip.AddrPort) *stream {
	s := newStream(l, network, local, remote)
	s.dialed = true
	return s
}

func newStream(l *Layer, network string, local, remote netip.AddrPort) *stream {
	s := &stream{layer: l, number: l.ids.Add(1), net: network, addr: local, remote: remote}
	s.change.L = &s.mu
	return s
}

func (s *stream) flow() Flow     { return Flow{s, s.remote} }
func (s *stream) target() target { return target{s.net, s.remote} }

func (s *stream) id() uint64                { return s.number }
func (s *stream) network() string           { return s.net }
func (s *stream) tls() *tls.ConnectionState { return nil }
func (s *stream) close()                    { s.shut(ErrClosed, true) }

func (s *stream) local() netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// uses reports whether s is open and leaves from local, or from anywhere if
// that is not valid. The port of a dialed stream is the kernel's choice and
// does not count.
func (s *stream) uses(local netip.AddrPort) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return false
	}
	return !local.IsValid() || s.addr == local || s.dialed && s.addr.Addr() == local.Addr()
}

// run is the life of the stream.
func (s *stream) run(ctx context.Context) error {
	if err := s.open(ctx); err != nil {
		s.layer.count.dialErrors.Add(1)
		s.shut(err, false)
	} else {
		s.converse()
	}
	s.layer.table.remove(s)
	s.layer.closed(s.flow(), s.end())
	return nil
}

// converse reads and writes until the stream is to end, and closes it.
func (s *stream) converse() {
	var writer sync.WaitGroup
	writer.Go(s.write)
	err := s.read()
	s.shut(err, true)
	writer.Wait()
	if _, fault := errors.AsType[*sipmsg.Error](err); fault {
		s.linger()
	}
	s.conn.Close()
}

// open dials a stream that was not accepted.
func (s *stream) open(ctx context.Context) error {
	if !s.dialed {
		return nil
	}
	dialCtx, cancel := context.WithTimeout(ctx, s.layer.cfg.Limits.Dial)
	defer cancel()
	source, err := s.begin(cancel)
	if err != nil {
		return err
	}
	c, err := s.layer.cfg.DialContext(dialCtx, s.net, source, s.remote)
	switch {
	case err != nil && ctx.Err() != nil:
		return ErrClosed
	case err != nil:
		return fmt.Errorf("transport: %w", err)
	}
	local, err := addrPort(c.LocalAddr())
	if err == nil {
		err = s.connected(c, local)
	}
	if err != nil {
		c.Close()
	}
	return err
}

// begin lets shut cancel the dial. It returns the source address to use.
func (s *stream) begin(cancel context.CancelFunc) (netip.AddrPort, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel = cancel
	if !s.addr.IsValid() || s.addr.Addr().IsUnspecified() {
		return netip.AddrPort{}, s.err
	}
	return netip.AddrPortFrom(s.addr.Addr(), 0), s.err
}

// connected notes the connection, unless shut was faster.
func (s *stream) connected(c net.Conn, local netip.AddrPort) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.conn, s.addr, s.cancel = c, local, nil
	return nil
}

// dialContext is the default of Config.DialContext.
func dialContext(ctx context.Context, network string, local, remote netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: keepAlive, Control: controlTCP}
	if local.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(local)
	}
	return d.DialContext(ctx, network, remote.String())
}

// shut makes the stream end with err. The first call counts, and returns true.
// With flush, what is queued is written before, in bounded time; without, it is
// lost.
func (s *stream) shut(err error, flush bool) bool {
	if !s.note(err, flush) {
		return false
	}
	s.layer.table.hide(s)
	c := &s.layer.count
	switch {
	case errors.Is(err, ErrIdle):
		c.idle.Add(1)
	case errors.Is(err, ErrSlow):
		c.slow.Add(1)
	case errors.Is(err, ErrOverflow):
		c.overflows.Add(1)
	case errors.Is(err, ErrGarbage):
		c.dropped[garbage].Add(1)
	}
	s.layer.cfg.Logger.Debug("stream ends", "flow", s.flow(), "err", err)
	return true
}

// note is the part of shut under the lock. It reports whether s was open.
func (s *stream) note(err error, flush bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return false
	}
	s.err = err
	if !flush || s.conn == nil {
		s.drop()
	}
	s.change.Broadcast()
	switch {
	case s.conn != nil && flush:
		s.conn.SetReadDeadline(past)
		s.conn.SetWriteDeadline(time.Now().Add(s.layer.cfg.Limits.Write))
	case s.conn != nil:
		s.conn.SetDeadline(past)
	case s.cancel != nil:
		s.cancel()
	}
	return true
}

// drop loses what is queued. The stream is locked.
func (s *stream) drop() {
	s.layer.count.sendErrors.Add(s.queued)
	s.queue, s.queued = nil, 0
}

// end drops what could not be written, and returns why the stream ended.
func (s *stream) end() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop()
	return s.err
}

// reason returns why the stream is to end, nil if it is not.
func (s *stream) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// linger closes the stream in our direction only, and waits a little for the
// peer to do the same. If unread bytes were left, closing would reset the
// connection, and the answer to a fault would be lost with it.
func (s *stream) linger() {
	c, ok := s.conn.(interface{ CloseWrite() error })
	if !ok || c.CloseWrite() != nil {
		return
	}
	s.conn.SetReadDeadline(time.Now().Add(lingerTime))
	io.CopyN(io.Discard, s.conn, lingerBytes)
}

const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 1 << 20
)
