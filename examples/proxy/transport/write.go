package transport

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/gobwas/ws"
)

// send queues one message for write.
func (s *stream) send(b []byte, _ netip.AddrPort) error {
	framed := b
	if isWebSocket(s.net) {
		framed = messageFrame(b)
	}
	return s.enqueue(framed, b)
}

// ping queues a keepalive.
func (s *stream) ping(netip.AddrPort) error {
	b := []byte(ping)
	if isWebSocket(s.net) {
		b = frame(ws.OpPing, nil)
	}
	return s.enqueue(b, nil)
}

// enqueue queues bytes, which hold a message or, if that is nil, none. Everything
// queued is written at once, so that a burst of messages costs few system calls.
func (s *stream) enqueue(b, message []byte) error {
	var n uint64
	if message != nil {
		n = 1
	}
	s.mu.Lock()
	open := s.err == nil
	fits := len(s.queue)+s.taken+len(b) <= s.layer.cfg.Limits.Queue
	if open && fits {
		s.queue = append(s.queue, b...)
		s.queued += n
		if n > 0 && s.layer.cfg.Trace != nil {
			s.traced = append(s.traced, string(message))
		}
		s.change.Signal()
	}
	s.mu.Unlock()
	switch {
	case open && fits:
		return nil
	case open:
		s.shut(ErrOverflow, false)
	}
	s.layer.count.sendErrors.Add(n)
	if open {
		return ErrOverflow
	}
	return ErrClosed
}

// write writes what is queued until the stream ends.
func (s *stream) write() {
	var b []byte
	for {
		var n uint64
		var traced []string
		if b, n, traced = s.take(b); len(b) == 0 {
			return
		}
		for _, message := range traced {
			s.layer.cfg.Trace(s.flow(), true, message)
		}
		if _, err := s.conn.Write(b); err != nil {
			s.layer.count.sendErrors.Add(n)
			s.broken(err)
			return
		}
		s.layer.count.sent.Add(n)
	}
}

// take waits for messages, and returns them, their number, and those that Trace is
// to be told of. It returns nothing once the stream ends and all is written. Old is
// what it returned before; if it is small, its memory becomes the next queue.
func (s *stream) take(old []byte) (b []byte, n uint64, traced []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = 0
	if cap(old) > keepBuffer {
		old = nil
	}
	if len(s.queue) == 0 && s.err == nil && s.state != nil {
		s.conn.SetWriteDeadline(time.Time{}) // reading TLS may write: it answers a change of keys
	}
	for len(s.queue) == 0 {
		if s.err != nil {
			return nil, 0, nil
		}
		s.change.Wait()
	}
	b, n, traced = s.queue, s.queued, s.traced
	s.queue, s.queued, s.traced, s.taken = old[:0], 0, nil, len(b)
	if s.err == nil { // else shut set it
		s.conn.SetWriteDeadline(time.Now().Add(s.layer.cfg.Limits.Write))
	}
	return b, n, traced
}

// keepBuffer is how large a buffer a silent stream may keep.
const keepBuffer = 4 << 10

// broken ends the stream because it cannot be written.
func (s *stream) broken(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("transport: peer takes nothing: %w", err)
	} else {
		err = fmt.Errorf("transport: %w", err)
	}
	s.mu.Lock()
	s.failed = true
	s.mu.Unlock()
	if s.shut(err, false) {
		s.layer.count.writeErrors.Add(1)
	}
}
