package transport

import (
	"bytes"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// The keepalives of RFC 5626 section 3.5.1.
const (
	ping = "\r\n\r\n"
	pong = "\r\n"
)

// plain is the framing of SIP over TCP and TLS.
type plain struct {
	reader
	breaks int // bytes of CR and LF since the last message or pong

	// Of the message at start.
	scanned int  // bytes that hold no end of the header
	headed  bool // the header is complete
	asked   int  // bytes of the buffer when Frame was last asked
	size    int  // once that is known
}

func (p *plain) next() (string, error) {
	for {
		if err := p.frame(); err != nil {
			return string(p.rest()), err
		}
		if p.size > 0 && p.size <= p.end-p.start {
			raw := string(p.buf[p.start : p.start+p.size])
			p.start += p.size
			p.breaks, p.scanned, p.headed, p.asked, p.size = 0, 0, false, 0, 0
			p.done()
			return raw, nil
		}
		if err := p.fill(); err != nil {
			return "", err
		}
	}
}

// frame finds out the size of the message at start, as soon as it can be known.
func (p *plain) frame() error {
	p.skipBreaks()
	rest := p.rest()
	if isForeign(rest) {
		return ErrGarbage
	}
	if p.size > 0 || !p.ask(rest) {
		return nil
	}
	clear(p.buf[p.end:]) // so that Frame sees a message of which the body is yet to come
	_, n, err := sipmsg.Frame(p.buf[p.start:], p.stream.layer.cfg.Limits.Message)
	p.size = n
	return err
}

// ask reports whether Frame can have news: the header is complete or the
// buffer is full, and if that was so before, the buffer has grown. Frame reads
// a header from its beginning, and a client that sends a long message byte by
// byte must not have that done for each of them.
func (p *plain) ask(rest []byte) bool {
	if !p.headed {
		const end = "\n\r\n"
		p.headed = bytes.Contains(rest[max(0, p.scanned-len(end)+1):], []byte(end))
		p.scanned = len(rest)
	}
	room := len(p.buf) - p.start
	if !p.headed && p.end < len(p.buf) || room <= p.asked {
		return false
	}
	p.asked = room
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

// skipBreaks skips the line ends before a message. It answers a ping, also if
// it comes byte by byte; a burst is answered once.
func (p *plain) skipBreaks() {
	for p.start < p.end && (p.buf[p.start] == '\r' || p.buf[p.start] == '\n') {
		p.start++
		p.breaks++
	}
	if p.breaks >= len(ping) {
		p.breaks = 0
		p.stream.layer.count.pongs.Add(1)
		p.stream.enqueue([]byte(pong), nil)
	}
}
