package transport

import "bytes"

// kind is what a datagram, or the beginning of a stream, looks like.
type kind int

const (
	message kind = iota
	keepalive
	stun
	nul
	garbage
	numKinds
)

// sniff tells messages from what else arrives at a SIP port, for next to
// nothing and without allocation: most of it comes from phones that keep
// their NAT open, and from scanners.
func sniff(b []byte) kind {
	rest := bytes.TrimLeft(b, "\r\n") // RFC 3261 section 7.5
	switch {
	case len(rest) == 0:
		return keepalive
	case rest[0] > ' ':
		if line, _, ok := bytes.Cut(rest, []byte("\n")); ok && hasVersion(line) {
			return message
		}
	case isSTUN(b):
		return stun
	case len(bytes.Trim(rest, "\x00")) == 0:
		return nul
	}
	return garbage
}

// hasVersion reports whether there is a SIP-Version, of any case and number,
// in a start line.
func hasVersion(line []byte) bool {
	for {
		i := bytes.IndexByte(line, '/')
		if i < 0 {
			return false
		}
		if i >= 3 && bytes.EqualFold(line[i-3:i], []byte("SIP")) {
			return true
		}
		line = line[i+1:]
	}
}
