package sipmsg

import (
	"net/netip"
	"strings"
)

// TopVia is the topmost Via of a message (RFC 3261 section 20.42), or what
// [ParseVia] makes of another one.
type TopVia struct {
	Transport string // as written, such as "UDP"
	Host      string // of sent-by, without brackets
	Branch    string // empty if none
	Port      uint16 // of sent-by, 0 if none
	RPort     bool   // there is an rport parameter (RFC 3581)

	last     bool // the only element of its header field
	element  Span // the element in Raw
	rport    Span // ";rport=…" in Raw, empty if none
	received Span // ";received=…" in Raw, empty if none
}

// SentBy returns host and port of the Via, with the default of its transport
// if it has no port (RFC 3261 section 18.2.2, RFC 7118 section 5.5).
func (v *TopVia) SentBy() (host string, port uint16) {
	switch {
	case v.Port != 0:
		return v.Host, v.Port
	case equalFold(v.Transport, "TLS"):
		return v.Host, 5061
	case equalFold(v.Transport, "WS"):
		return v.Host, 80
	case equalFold(v.Transport, "WSS"):
		return v.Host, 443
	}
	return v.Host, 5060
}

// via reads the topmost Via. It works on Raw, not on the unfolded value,
// because what it finds is edited in place. Those below are nobody's business
// but their owners'; yet the rest of the list that the top one is in must be a
// list without it, too.
func (p *parser) via() {
	h := &p.headers[p.first[Via]-1]
	list := p.text(h.value)
	end := indexOutside(list, ',', true)
	s := trimRight(list[:end])
	v := &p.Via
	v.last = end == len(list)
	v.element = Span{h.value.Start, h.value.Start + uint16(len(s))}
	if !v.read(s) || !isViaList(list[end:]) {
		p.refuse(400, "Via")
	}
}

// ParseVia reads one Via, an element of a list, as [Parse] does the topmost one.
// It reports false if that cannot be read.
func ParseVia(element string) (v TopVia, ok bool) {
	ok = v.read(element)
	return v, ok
}

// read reads the element s, without blanks around it.
func (v *TopVia) read(s string) bool {
	semi := strings.IndexByte(s, ';')
	if semi < 0 {
		semi = len(s)
	}
	return v.readSentBy(s[:semi]) && v.readParams(s, semi)
}

// isViaList reports whether s, a list with a comma before each element, has no
// empty ones.
func isViaList(s string) bool {
	for s != "" {
		s = s[1:]
		end := indexOutside(s, ',', true)
		if trim(s[:end]) == "" {
			return false
		}
		s = s[end:]
	}
	return true
}

// readSentBy reads "SIP/2.0/UDP host:port", blanks allowed around each slash
// and colon.
func (v *TopVia) readSentBy(s string) bool {
	name, rest, _ := strings.Cut(s, "/")
	version, rest, _ := strings.Cut(rest, "/")
	rest = trimLeft(rest)
	end := 0
	for end < len(rest) && !isSpace(rest[end]) {
		end++
	}
	v.Transport = rest[:end]
	host, port, ok := cutHostPort(trimLeft(rest[end:]))
	if !ok {
		return false
	}
	v.Host = host
	if port != "" {
		n, ok := portNumber(port)
		if !ok {
			return false
		}
		v.Port = n
	}
	return equalFold(trim(name), "SIP") && trim(version) == "2.0" && isToken(v.Transport)
}

// portNumber reads a port, which is not 0.
func portNumber(s string) (uint16, bool) {
	n, ok := number(s, 1<<16-1)
	return uint16(n), ok && n > 0
}

// cutHostPort takes a sent-by apart. An IPv6 address must be in brackets, and
// loses them (R52). A colon without a port is overlooked (P-82).
func cutHostPort(s string) (host, port string, ok bool) {
	if !strings.HasPrefix(s, "[") {
		host, port, _ = strings.Cut(s, ":")
		host = trimRight(host)
		return host, trim(port), hostChar.only(host)
	}
	host, port, ok = strings.Cut(s[1:], "]")
	addr, err := netip.ParseAddr(host)
	port = trimLeft(port)
	if !ok || err != nil || !addr.Is6() || addr.Zone() != "" || port != "" && port[0] != ':' {
		return "", "", false
	}
	return host, trim(strings.TrimPrefix(port, ":")), true
}

// readParams reads the parameters of the element s, of which the first
// semicolon is at pos.
func (v *TopVia) readParams(s string, pos int) bool {
	for pos < len(s) {
		start := pos
		from := skipSpace(s, pos+1)
		for pos = from; pos < len(s) && tokenChar[s[pos]]; {
			pos++
		}
		name, value := s[from:pos], ""
		pos = skipSpace(s, pos)
		if pos < len(s) && s[pos] == '=' {
			from = pos + 1
			pos = from + indexOutside(s[from:], ';', true)
			value = trim(s[from:pos])
		}
		if name == "" || pos < len(s) && s[pos] != ';' || strings.IndexByte(value, '"') >= 0 && !isQuoted(value) {
			return false
		}
		at := Span{v.element.Start + uint16(start), v.element.Start + uint16(pos)}
		if !v.readParam(name, value, at) {
			return false
		}
	}
	return true
}

func isQuoted(s string) bool { return s[0] == '"' && quotedEnd(s) == len(s) }

// readParam notes the parameters that we use. None of them may occur twice:
// the next reader might believe in the other one.
func (v *TopVia) readParam(name, value string, at Span) bool {
	switch {
	case equalFold(name, "branch"):
		if v.Branch != "" || !isBranch(value) {
			return false
		}
		v.Branch = value
	case equalFold(name, "rport"):
		if v.RPort {
			return false
		}
		v.RPort, v.rport = true, at
	case equalFold(name, "received"):
		if v.received.Len() > 0 {
			return false
		}
		v.received = at
	}
	return true
}

// isBranch reports whether s can tell transactions apart: the magic cookie
// alone cannot (RFC 3261 section 8.1.1.7, RFC 4475 section 3.2.1).
func isBranch(s string) bool { return isPlain(s) && !equalFold(s, "z9hG4bK") }
