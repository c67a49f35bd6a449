package simnet

import (
	"io"
	"net"
	"syscall"
	"time"
)

// Conn is one end of a TCP stream. One Read returns bytes of one segment of
// the peer only, so that the bounds of its writes, or of the size set by
// [Host.SetSegmentSize], show: programs must not rely on either.
type Conn struct {
	host *Host
	id   connID

	established chan struct{} // closed when the stream is up
	failed      chan struct{} // closed by fail
	readable    chan struct{} // holds a token when there is news for Read
	writable    chan struct{} // holds a token when there is news for Write
	writing     chan struct{} // holds a token while a Write runs
	read        deadline
	write       deadline

	// Guarded by host.net.mu.
	err      error // why the stream is over, other than by Fin
	closing  bool  // Close or CloseWrite was called
	sent     uint64
	inFlight int // bytes sent and not yet read by the peer
	received uint64
	early    map[uint64]*wire // received before their turn
	unread   []chunk
	ended    bool // the peer sent its Fin
}

var _ net.Conn = (*Conn)(nil)

// chunk is the rest of a segment that was received.
type chunk struct {
	data []byte
	from *Conn // to be told when it is read
}

// newConn adds a stream to h. The network is locked.
func newConn(h *Host, id connID) *Conn {
	c := &Conn{
		host:        h,
		id:          id,
		established: make(chan struct{}),
		failed:      make(chan struct{}),
		readable:    make(chan struct{}, 1),
		writable:    make(chan struct{}, 1),
		writing:     make(chan struct{}, 1),
		read:        newDeadline(),
		write:       newDeadline(),
		early:       make(map[uint64]*wire),
	}
	h.conns[id] = c
	return c
}

// Read reads bytes of the peer's next segment. At the end of the stream it
// returns [io.EOF], after a reset ECONNRESET once all that came before it is
// read.
func (c *Conn) Read(b []byte) (int, error) {
	for len(b) > 0 {
		if err := c.read.err(); err != nil {
			return 0, c.opError("read", err)
		}
		n, err := c.take(b)
		switch {
		case err == io.EOF:
			return 0, err
		case err != nil:
			return 0, c.opError("read", err)
		case n > 0:
			return n, nil
		}
		select {
		case <-c.readable:
		case <-c.failed:
		case <-c.read.wait():
		}
	}
	return 0, nil
}

// take is Read without waiting: it may return 0, nil.
func (c *Conn) take(b []byte) (int, error) {
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	switch {
	case c.err == net.ErrClosed:
		return 0, c.err
	case len(c.unread) > 0:
		first := &c.unread[0]
		n := copy(b, first.data)
		first.data = first.data[n:]
		first.from.inFlight -= n
		signal(first.from.writable)
		if len(first.data) == 0 {
			c.unread = c.unread[1:]
		}
		signal(c.readable) // for another Read at the same time
		return n, nil
	case c.ended:
		signal(c.readable)
		return 0, io.EOF
	}
	return 0, c.err
}

// Write sends b and waits only while the peer's receive buffer is full. It
// does not tell whether b arrives.
func (c *Conn) Write(b []byte) (int, error) {
	if err := c.lockWrite(); err != nil {
		return 0, c.opError("write", err)
	}
	defer func() { <-c.writing }()
	written := 0
	for written < len(b) {
		if err := c.write.err(); err != nil {
			return written, c.opError("write", err)
		}
		n, err := c.push(b[written:])
		written += n
		if err != nil {
			return written, c.opError("write", err)
		}
		if n > 0 {
			continue
		}
		select {
		case <-c.writable:
		case <-c.failed:
		case <-c.write.wait():
		}
	}
	return written, nil
}

// lockWrite takes the token of writing, so that concurrent Writes do not mix.
// A mutex would keep synctest from seeing that the second one is blocked.
func (c *Conn) lockWrite() error {
	for {
		select {
		case c.writing <- struct{}{}:
			return nil
		case <-c.write.wait():
			if err := c.write.err(); err != nil {
				return err
			}
		}
	}
}

// push sends one segment's worth of b, or nothing if the peer has no room.
func (c *Conn) push(b []byte) (int, error) {
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	if c.closing {
		return 0, syscall.EPIPE
	}
	size := min(len(b), c.host.segment, n.cfg.StreamBuffer-c.inFlight)
	if size <= 0 {
		return 0, nil
	}
	c.inFlight += size
	c.transmit(Data, append([]byte(nil), b[:size]...))
	return size, nil
}

// CloseWrite ends the stream to the peer, which can go on sending.
func (c *Conn) CloseWrite() error {
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	if c.err != nil {
		return c.opError("close", c.err)
	}
	c.finish()
	return nil
}

// finish sends the Fin, once.
func (c *Conn) finish() {
	if !c.closing {
		c.closing = true
		c.transmit(Fin, nil)
	}
}

// Close ends the stream in both directions, and reads and writes that wait.
// What was written still arrives, unless something is unread: then the peer
// sees a reset, as with Linux. Closing twice gives [net.ErrClosed].
func (c *Conn) Close() error { return c.close(false) }

// Reset closes the stream so that the peer sees a reset.
func (c *Conn) Reset() error { return c.close(true) }

func (c *Conn) close(reset bool) error {
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	switch {
	case c.err == net.ErrClosed:
		return c.opError("close", c.err)
	case c.err != nil: // nobody to tell
	case reset || len(c.unread) > 0:
		c.transmit(Rst, nil)
	default:
		c.finish()
	}
	c.fail(net.ErrClosed)
	return nil
}

// fail ends the stream at this end. A later ErrClosed replaces the error, no
// other does. The network is locked.
func (c *Conn) fail(err error) {
	if c.err != nil {
		if err == net.ErrClosed {
			c.err = err
		}
		return
	}
	c.err = err
	close(c.failed)
	delete(c.host.conns, c.id)
	c.read.set(time.Time{})
	c.write.set(time.Time{})
}

// LocalAddr returns the address of this end, a [*net.TCPAddr].
func (c *Conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.id.local) }

// RemoteAddr returns the address of the peer, as seen from here, a
// [*net.TCPAddr].
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.id.remote) }

// SetDeadline sets both deadlines. Calls past one fail with
// [os.ErrDeadlineExceeded]; the zero Time takes it away.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline sets the deadline of reads, also of one that waits now.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.read, t) }

// SetWriteDeadline sets the deadline of writes, also of one that waits now.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.write, t) }

func (c *Conn) setDeadline(d *deadline, t time.Time) error {
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	if c.err == net.ErrClosed {
		return c.opError("set", c.err)
	}
	d.set(t)
	return nil
}

func (c *Conn) opError(op string, err error) error {
	return opError(op, "tcp", c.LocalAddr(), c.RemoteAddr(), err)
}
