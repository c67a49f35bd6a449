package sipmsg

import "bytes"

// Frame finds the first message in buf, the beginning of a stream's unread
// bytes. Line ends before a message are keepalives (RFC 5626 section 3.5.1):
// skip is how many bytes they take. If the message is complete, n is its
// length, counted after skip; 0 means that more bytes are needed.
//
// An [*Error] means that the stream cannot be read on: no or two different
// Content-Length fields (RFC 3261 section 18.3), or a message over max bytes
// in all, or a header over 64 KiB.
func Frame(buf []byte, max int) (skip, n int, err error) {
	for skip < len(buf) && (buf[skip] == '\r' || buf[skip] == '\n') {
		skip++
	}
	buf = buf[skip:]
	limit := min(max, maxHeader)
	f := framer{buf: buf[:min(len(buf), limit)], length: -1}
	head := f.header()
	switch {
	case head == 0 && len(buf) >= limit:
		return skip, 0, &Error{Status: 513, Fault: "header too large"}
	case head == 0:
		return skip, 0, nil
	case f.bad:
		return skip, 0, &Error{Status: 400, Fault: "Content-Length"}
	case f.length < 0:
		return skip, 0, &Error{Status: 400, Fault: "no Content-Length on a stream"}
	case f.length > max-head:
		return skip, 0, &Error{Status: 513, Fault: "message too large"}
	case f.length > len(buf)-head:
		return skip, 0, nil
	}
	return skip, head + f.length, nil
}

// framer looks for the end of a header and for its Content-Length.
type framer struct {
	buf    []byte
	length int  // -1 as long as none was seen
	bad    bool // no number, or not the same as before
}

// header returns the length of the header with the empty line, 0 if that is
// not there yet.
func (f *framer) header() int {
	value := 0 // where that of the Content-Length begins which pos is in; 0 if in another field
	for pos := 0; ; {
		n := bytes.IndexByte(f.buf[pos:], '\n')
		if n < 0 {
			return 0
		}
		line := f.buf[pos : pos+n+1]
		if value > 0 && !isBlank(line[0]) { // a folded line belongs to it
			f.add(f.buf[value:pos])
			value = 0
		}
		if string(line) == crlf {
			return pos + len(line)
		}
		if colon := lengthColon(line); colon > 0 {
			value = pos + colon + 1
		}
		pos += len(line)
	}
}

// add notes the value of a Content-Length.
func (f *framer) add(value []byte) {
	n, ok := number(bytes.TrimSpace(value), 1<<31-1)
	f.bad = f.bad || !ok || f.length >= 0 && f.length != n
	f.length = n
}

// lengthColon returns the index of the colon if line begins a Content-Length,
// else 0.
func lengthColon(line []byte) int {
	if c := line[0] | 0x20; c != 'c' && c != 'l' {
		return 0
	}
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		return 0
	}
	name := bytes.TrimRight(line[:colon], " \t")
	if len(name) == 1 && name[0]|0x20 == 'l' || bytes.EqualFold(name, []byte("Content-Length")) {
		return colon
	}
	return 0
}
