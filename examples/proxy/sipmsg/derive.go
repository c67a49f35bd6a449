package sipmsg

import "strconv"

// Derive writes the ACK for a non-2xx answer to m, an INVITE that we sent, or
// the CANCEL for it (RFC 3261 sections 17.1.1.3 and 9.1): the Request-URI, the
// topmost Via, the Routes, From and Call-ID of m, and its CSeq number with the
// new method. To is the value of the answer's To for an ACK, "" for m's own.
// Extra are complete header fields without line ends. Control characters in
// the arguments become blanks.
func (m *Message) Derive(method, to string, extra ...string) []byte {
	if to == "" {
		to = m.Get(To)
	}
	method = clean(method)
	b := make([]byte, 0, 640)
	b = append(b, method...)
	b = append(append(append(b, ' '), m.RequestURI...), " "+version+"\r\nVia: "...)
	b = append(append(b, m.text(m.Via.element)...), "\r\nMax-Forwards: 70\r\n"...)
	for i := range m.headers {
		switch h := &m.headers[i]; h.Kind {
		case Route:
			b = append(b, m.text(h.Line)...)
		case From, CallID:
			if int(m.first[h.Kind]) == i+1 {
				b = append(b, m.text(h.Line)...)
			}
		}
	}
	b = append(append(append(b, "To: "...), clean(to)...), "\r\nCSeq: "...)
	b = strconv.AppendUint(b, uint64(m.CSeq), 10)
	b = append(append(append(b, ' '), method...), crlf...)
	return append(appendFields(b, extra), noBody...)
}
