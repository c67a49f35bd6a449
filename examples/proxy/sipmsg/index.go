package sipmsg

import "strings"

// index finds the header fields and where the body begins. If the header does
// not end there is no body.
func (p *parser) index(pos int) {
	for {
		end, next, fault := cutLine(p.head, pos)
		if end == pos && fault == "" && next > 0 { // the empty line
			p.body = int32(next)
			return
		}
		folded := false
		for next > 0 && next < len(p.head) && isBlank(p.head[next]) { // section 7.3.1
			more := ""
			end, next, more = cutLine(p.head, next)
			if fault == "" {
				fault = more
			}
			folded = true
		}
		switch {
		case next < 0:
			p.refuseEnd()
			return
		case len(p.headers) == maxHeaders:
			p.refuse(513, "too many header fields")
			return
		case fault != "":
			p.refuse(400, "%s", fault)
		default:
			p.field(pos, end, next, folded)
		}
		pos = next
	}
}

// field adds the header field head[pos:next] to the index. Its text ends
// before the CRLF at end.
func (p *parser) field(pos, end, next int, folded bool) {
	colon := pos
	for tokenChar[p.head[colon]] { // the CR at end is none
		colon++
	}
	name := p.head[pos:colon]
	for isBlank(p.head[colon]) {
		colon++
	}
	if name == "" || p.head[colon] != ':' {
		p.refuse(400, "header field without a name")
		return
	}
	from := colon + 1
	for from < end && isSpace(p.head[from]) {
		from++
	}
	for end > from && isSpace(p.head[end-1]) {
		end--
	}
	h := Header{kindOf(name), folded, Span{uint16(pos), uint16(next)}, Span{uint16(from), uint16(end)}}
	p.headers = append(p.headers, h)
	i, first := len(p.headers)-1, &p.first[h.Kind]
	switch {
	case h.Kind == Other:
	case *first == 0:
		*first = uint8(i + 1)
	case p.fault == nil && h.Kind <= lastSingle && p.Value(i) != p.Get(h.Kind):
		// Which of them counts would depend on who reads the message.
		p.refuse(400, "two different %s", h.Kind)
	}
}

// cutLine finds the end of the line of head at pos, before its CRLF, and where
// the next line begins: -1 if this one does not end. Fault says what must not
// be in a line: control characters, a CR or LF that is not part of a CRLF (R5).
func cutLine(head string, pos int) (end, next int, fault string) {
	end = indexControl(head, pos)
	if end+1 < len(head) && head[end] == '\r' && head[end+1] == '\n' {
		return end, end + 2, ""
	}
	n := strings.IndexByte(head[end:], '\n')
	switch n {
	case -1:
		return len(head), -1, ""
	case 0:
		return end, end + 1, "line end without CR"
	}
	return end + n, end + n + 1, "control character in the header"
}
