package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// read hands the messages of the stream to the handler until the stream is to
// end. It returns why.
func (s *stream) read() error {
	r := reader{stream: s, buf: make([]byte, keepBuffer)}
	for s.reason() == nil {
		raw, err := r.next()
		if _, fault := errors.AsType[*sipmsg.Error](err); err != nil && !fault {
			return err
		}
		if err := s.layer.deliver(s.flow(), raw, err); err != nil {
			return err
		}
	}
	return ErrClosed
}

// reader cuts a stream into messages.
type reader struct {
	stream     *stream
	buf        []byte
	start, end int  // what is not handled yet, in buf
	heard      bool // a whole message came
	breaks     int  // bytes of CR and LF since the last message or pong

	// Of the message at start.
	began   time.Time // when its first byte came, zero if there is none
	scanned int       // bytes that hold no end of the header
	headed  bool      // the header is complete
	asked   int       // bytes of the buffer when Frame was last asked
	size    int       // once that is known
}

// next returns the next message. If the stream cannot be cut any further, it
// returns the rest and a [*sipmsg.Error].
func (r *reader) next() (string, error) {
	for {
		if err := r.frame(); err != nil {
			return string(r.buf[r.start:r.end]), err
		}
		if r.size > 0 && r.size <= r.end-r.start {
			raw := string(r.buf[r.start : r.start+r.size])
			r.start += r.size
			r.heard, r.breaks = true, 0
			r.began, r.scanned, r.headed, r.asked, r.size = time.Time{}, 0, false, 0, 0
			return raw, nil
		}
		if err := r.fill(); err != nil {
			return "", err
		}
	}
}

// frame finds out the size of the message at start, as soon as it can be known.
func (r *reader) frame() error {
	r.skipBreaks()
	rest := r.buf[r.start:r.end]
	if isForeign(rest) {
		return ErrGarbage
	}
	if r.size > 0 || !r.ask(rest) {
		return nil
	}
	clear(r.buf[r.end:]) // so that Frame sees a message of which the body is yet to come
	_, n, err := sipmsg.Frame(r.buf[r.start:], r.stream.layer.cfg.Limits.Message)
	r.size = n
	return err
}

// ask reports whether Frame can have news: the header is complete or the
// buffer is full, and if that was so before, the buffer has grown. Frame reads
// a header from its beginning, and a client that sends a long message byte by
// byte must not have that done for each of them.
func (r *reader) ask(rest []byte) bool {
	if !r.headed {
		const end = "\n\r\n"
		r.headed = bytes.Contains(rest[max(0, r.scanned-len(end)+1):], []byte(end))
		r.scanned = len(rest)
	}
	room := len(r.buf) - r.start
	if !r.headed && r.end < len(r.buf) || room <= r.asked {
		return false
	}
	r.asked = room
	return true
}

// isForeign reports whether the beginning of a message shows that it is none:
// by its first byte, as with TLS, or by its first line, as with HTTP.
func isForeign(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	return b[0] <= ' ' || b[0] >= 0x7f || bytes.IndexByte(b, '\n') >= 0 && sniff(b) != message
}

// skipBreaks skips the line ends before a message. It answers CRLFCRLF with
// CRLF (RFC 5626 section 3.5.1), also if it comes byte by byte; a burst is
// answered once.
func (r *reader) skipBreaks() {
	for r.start < r.end && (r.buf[r.start] == '\r' || r.buf[r.start] == '\n') {
		r.start++
		r.breaks++
	}
	if r.breaks >= len("\r\n\r\n") {
		r.breaks = 0
		r.stream.layer.count.pongs.Add(1)
		r.stream.enqueue([]byte("\r\n"), 0)
	}
}

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
	case r.start < r.end || r.mute():
		return ErrSlow
	}
	return ErrIdle
}

// deadline returns until when the next bytes must come. Between the bytes of a
// message it does not move, so that sending slowly gains nothing.
func (r *reader) deadline() time.Time {
	limits := &r.stream.layer.cfg.Limits
	now := time.Now()
	partial := r.start < r.end
	if partial && r.began.IsZero() {
		r.began = now
	}
	switch {
	case r.mute():
		return r.stream.born.Add(limits.FirstMessage)
	case partial:
		return r.began.Add(limits.Slow)
	}
	return now.Add(limits.Idle)
}

// mute reports whether the peer has connected but not yet said anything.
func (r *reader) mute() bool { return !r.heard && !r.stream.dialed }

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
	if r.start == 0 { // Frame refuses what does not fit into the largest
		to = make([]byte, min(2*len(r.buf), r.stream.layer.cfg.Limits.Message+1))
	}
	r.start, r.end = 0, copy(to, r.buf[r.start:r.end])
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
