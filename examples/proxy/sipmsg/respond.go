package sipmsg

import "strconv"

// noBody ends a message without a body.
const noBody = "Content-Length: 0\r\n\r\n"

// Respond writes a response of our own to the request m (RFC 3261 section
// 8.2.6): Vias as [Message.Stamp] left them, From, To with toTag unless it has
// a tag or the response is a 100, Call-ID and CSeq as they are, then extra,
// complete header fields without line ends. The body is empty. If m has faults
// ([Message.Answerable]), the response has what could be read of it. Control
// characters in the arguments become blanks.
func (m *Message) Respond(status int, reason, toTag string, extra ...string) []byte {
	b := make([]byte, 0, m.responseSize(reason, toTag, extra))
	b = append(b, version+" "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(append(append(b, ' '), clean(reason)...), crlf...)
	for i := range m.headers {
		h := &m.headers[i]
		if !m.answers(h.Kind, i) {
			continue
		}
		switch h.Kind {
		case Via:
			b = m.appendStamped(b, h.Line)
		case To:
			b = append(b, m.Raw[h.Line.Start:h.value.End]...)
			if m.toOK && m.ToTag == "" && status > 100 && toTag != "" {
				b = append(append(b, ";tag="...), clean(toTag)...)
			}
			b = append(b, crlf...)
		case Timestamp:
			if status == 100 { // section 8.2.6.1
				b = append(b, m.text(h.Line)...)
			}
		default:
			b = append(b, m.text(h.Line)...)
		}
	}
	return append(appendFields(b, extra), noBody...)
}

// answers reports whether header field i, of kind k, goes into a response: all
// Vias, and one of each of the others.
func (m *Message) answers(k Kind, i int) bool {
	switch k {
	case Via:
		return true
	case From, To, CallID, CSeq, Timestamp:
		return int(m.first[k]) == i+1
	}
	return false
}

// responseSize returns how many bytes a response has at most.
func (m *Message) responseSize(reason, toTag string, extra []string) int {
	n := len("SIP/2.0 100 \r\n;tag=") + len(reason) + len(toTag) + len(noBody) + 8
	for i := range m.headers {
		if h := &m.headers[i]; m.answers(h.Kind, i) {
			n += h.Line.Len()
		}
	}
	for i := range m.stamp[:m.stamps] {
		n += len(m.stamp[i].text)
	}
	for _, line := range extra {
		n += len(line) + len(crlf)
	}
	return n
}
