package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// stream is one connection. Its goroutine, run, opens it, reads it, and tells of
// its end. A second one writes what is queued.
//
// Whoever wants it to end calls shut, which only notes the reason and moves
// the deadlines. The connection is closed by run alone.
type stream struct {
	layer  *Layer
	number uint64
	net    string
	remote netip.AddrPort
	dialed bool
	born   time.Time     // accepted
	before *stream       // accepted with the same addresses, and maybe not gone yet
	gone   chan struct{} // closed when the handler has been told
	raw    net.Conn      // without TLS; of run

	mu     sync.Mutex
	change sync.Cond            // on mu: queue or err
	addr   netip.AddrPort       // ours
	conn   net.Conn             // nil while it is being opened
	state  *tls.ConnectionState // of conn
	cancel context.CancelFunc   // of the opening
	ready  bool                 // accepted, and all handshakes are over
	err    error                // why it ends; set once
	queue  []byte               // not yet taken by write
	queued uint64               // messages in it
	traced []string             // the same, if there is a Trace
	taken  int                  // bytes that write is busy with
	failed bool                 // writing did
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
	s.raw, s.born = c, time.Now()
	return s, nil
}

func newDialed(l *Layer, network string, local, remote netip.AddrPort) *stream {
	s := newStream(l, network, local, remote)
	s.dialed = true
	return s
}

func newStream(l *Layer, network string, local, remote netip.AddrPort) *stream {
	s := &stream{layer: l, number: l.ids.Add(1), net: network, addr: local, remote: remote, gone: make(chan struct{})}
	s.change.L = &s.mu
	return s
}

func (s *stream) flow() Flow     { return Flow{s, s.remote} }
func (s *stream) target() target { return target{s.net, s.remote} }

func (s *stream) id() uint64      { return s.number }
func (s *stream) network() string { return s.net }
func (s *stream) close()          { s.shut(ErrClosed, true) }

func (s *stream) local() netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

func (s *stream) tls() *tls.ConnectionState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// uses reports whether s can be sent on and leaves from local, or from anywhere
// if that is not valid or of no one host. The port of a dialed stream is the kernel's choice and
// does not count.
func (s *stream) uses(local netip.AddrPort) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || !s.ready && !s.dialed {
		return false
	}
	return !local.IsValid() || local.Addr().IsUnspecified() || s.addr == local || s.dialed && s.addr.Addr() == local.Addr()
}

// run is the life of the stream.
func (s *stream) run(ctx context.Context) error {
	s.succeed()
	if err := s.survive(func() error { return s.open(ctx) }); err != nil {
		if s.dialed {
			s.layer.count.dialErrors.Add(1)
		}
		s.shut(err, false)
		s.tell()
	} else {
		s.converse()
	}
	s.disconnect()
	s.layer.table.remove(s)
	return nil
}

// succeed waits for the end of the stream that had the same addresses, which the
// kernel would not give twice: its peer has connected again. The handler hears
// of that end before it hears of s, and until then s is not found, so that
// nobody takes the one for the other.
func (s *stream) succeed() {
	if s.before != nil {
		s.before.shut(ErrReplaced, false)
		<-s.before.gone
		s.before = nil
	}
}

// survive makes an error of a panic: what a peer does in a handshake, or sends,
// must not end the others.
func (s *stream) survive(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			s.layer.panicked(s.flow(), nil, v)
			err = errPanic
		}
	}()
	return f()
}

var errPanic = errors.New("transport: panic")

// converse reads and writes until the stream is to end.
func (s *stream) converse() {
	var writer sync.WaitGroup
	writer.Go(s.write)
	err := s.survive(s.read)
	s.shut(err, true)
	s.tell()
	writer.Wait()
	if _, fault := errors.AsType[*sipmsg.Error](err); !s.failed && (fault || isWebSocket(s.net)) {
		s.linger()
	}
}

// tell tells the handler of the end.
func (s *stream) tell() {
	s.layer.closed(s.flow(), s.reason())
	close(s.gone)
}

// disconnect closes the connection, and drops what could not be written.
func (s *stream) disconnect() {
	s.mu.Lock()
	s.drop()
	conn := s.conn
	if conn == nil || s.failed { // TLS would wait to take its leave
		conn = s.raw
	}
	s.mu.Unlock()
	if conn != nil {
		conn.Close()
	}
}

// shut makes the stream end with err. The first call counts, and returns true.
// With flush, what is queued is written before, in bounded time; without, it is
// lost.
func (s *stream) shut(err error, flush bool) bool {
	if !s.note(err, flush) {
		return false
	}
	c := &s.layer.count
	switch {
	case errors.Is(err, ErrIdle):
		c.idle.Add(1)
	case errors.Is(err, ErrSlow):
		c.slow.Add(1)
	case errors.Is(err, ErrOverflow):
		c.overflows.Add(1)
	case errors.Is(err, ErrHandshake):
		c.handshakes.Add(1)
	case errors.Is(err, ErrGarbage), errors.Is(err, ErrWebSocket):
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
	switch {
	case !flush || s.conn == nil:
		s.drop()
	case s.ready && isWebSocket(s.net):
		s.queue = append(s.queue, closeFrame(err)...)
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
	s.queue, s.queued, s.traced = nil, 0, nil
}

// reason returns why the stream is to end, nil if it is not.
func (s *stream) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// linger closes the stream in our direction only, and waits a little for the
// peer to do the same. If unread bytes were left, closing would reset the
// connection, and the answer to a fault, or the frame that closes a WebSocket,
// would be lost with it.
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
