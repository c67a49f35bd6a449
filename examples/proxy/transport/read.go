package transport

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// framing cuts a stream into messages: [plain] as RFC 3261 section 18.3 has it,
// [webSocket] as RFC 7118 does.
type framing interface {
	// next waits for the next message. If the stream cannot be cut any further,
	// it returns the rest and a [*sipmsg.Error].
	next() (string, error)
}

// read hands the messages of the stream to the handler until the stream is to
// end. It returns why.
func (s *stream) read() error {
	f := s.framing()
	for s.reason() == nil {
		raw, err := f.next()
		if _, fault := errors.AsType[*sipmsg.Error](err); err != nil && !fault {
			return err
		}
		if err := s.layer.deliver(s.flow(), raw, err); err != nil {
			return err
		}
	}
	return ErrClosed
}

func (s *stream) framing() framing {
	limits := &s.layer.cfg.Limits
	r := reader{stream: s, buf: make([]byte, keepBuffer), largest: limits.Message + 1}
	if !s.dialed {
		r.first = s.born.Add(limits.FirstMessage)
	}
	if isWebSocket(s.net) {
		return newWebSocket(r)
	}
	return &plain{reader: r}
}

// reader buffers what comes on a stream, within the limits of time and memory.
type reader struct {
	stream     *stream
	buf        []byte
	largest    int // size of buf
	start, end int // what is not handled yet, in buf

	first time.Time // until when the peer must complete what it connected for; zero if it has
	began time.Time // when the first byte of the present message came; zero if there is none
}

// rest returns what is not handled yet. It is valid until fill.
func (r *reader) rest() []byte { return r.buf[r.start:r.end] }

// begin notes that a message has begun, if that is new.
func (r *reader) begin() {
	if r.began.IsZero() {
		r.began = time.Now()
	}
}

// done notes the end of a message.
func (r *reader) done() { r.first, r.began = time.Time{}, time.Time{} }

// fill waits for more bytes.
func (r *reader) fill() error {
	r.makeRoom()
	if err := r.stream.setReadDeadline(r.deadline()); err != nil {
		return err
	}
	n, err := r.stream.conn.Read(r.buf[r.end:])
	r.end += n
	switch {
	case n > 0 || err == nil:
		return nil // an error will show again
	case err == io.EOF:
		return err
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("transport: %w", err)
	case !r.first.IsZero() || !r.began.IsZero():
		return ErrSlow
	}
	return ErrIdle
}

// deadline returns until when the next bytes must come. Between the bytes of a
// message it does not move, so that sending slowly gains nothing.
func (r *reader) deadline() time.Time {
	limits := &r.stream.layer.cfg.Limits
	if r.start < r.end {
		r.begin()
	}
	switch {
	case !r.first.IsZero():
		return r.first
	case !r.began.IsZero():
		return r.began.Add(limits.Slow)
	}
	return time.Now().Add(limits.Idle)
}

// makeRoom makes sure that buf has room after end. It grows until it holds the
// largest message, and shrinks when it is empty.
func (r *reader) makeRoom() {
	if r.start == r.end {
		r.start, r.end = 0, 0
		if len(r.buf) > 4*keepBuffer {
			r.buf = make([]byte, keepBuffer)
		}
	}
	if r.end < len(r.buf) {
		return
	}
	to := r.buf
	if r.start == 0 { // the framing refuses what does not fit into the largest
		to = make([]byte, min(2*len(r.buf), r.largest))
	}
	r.start, r.end = 0, copy(to, r.rest())
	r.buf = to
}

// setReadDeadline fails if the stream is to end: shut has set the deadline.
func (s *stream) setReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	return s.conn.SetReadDeadline(t)
}
