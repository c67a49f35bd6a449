package sipmsg

// fields reads what every message needs, and checks it.
func (p *parser) fields() {
	for _, k := range [...]Kind{Via, From, To, CallID, CSeq} {
		if p.first[k] == 0 {
			p.refuse(400, "no %s", k)
		}
	}
	if p.first[Via] != 0 {
		p.via()
	}
	p.FromTag, _ = p.tag(From)
	p.ToTag, p.toOK = p.tag(To)
	p.callID()
	p.cseq()
	p.MaxForwards = p.limit(MaxForwards, 255) // section 20.22
	p.MaxBreadth = p.limit(MaxBreadth, 1<<31-1)
	p.contentLength()
}

// tag returns the tag of From or To, and whether the field could be read.
func (p *parser) tag(k Kind) (tag string, ok bool) {
	if p.first[k] == 0 {
		return "", false
	}
	a, fault := parseNameAddr(p.Get(k))
	if fault != "" {
		p.refuse(400, "%s: %s", k, fault)
		return "", false
	}
	for rest := a.Params; rest != ""; {
		var name, value string
		name, value, rest = CutParam(rest)
		if !equalFold(name, "tag") {
			continue
		}
		if tag != "" || value == "" || !isPlain(value) {
			p.refuse(400, "tag of %s", k)
			return "", false
		}
		tag = value
	}
	return tag, true
}

func (p *parser) callID() {
	p.CallID = p.Get(CallID)
	if p.first[CallID] != 0 && (p.CallID == "" || hasBlank(p.CallID)) {
		p.refuse(400, "Call-ID")
	}
}

// cseq reads the number and method of the CSeq, with any blanks between them
// (R10).
func (p *parser) cseq() {
	if p.first[CSeq] == 0 {
		return
	}
	v := p.Get(CSeq)
	digits := 0
	for digits < len(v) && isDigit(v[digits]) {
		digits++
	}
	n, ok := number(v[:digits], 1<<31-1) // section 8.1.1.5
	method := trim(v[digits:])
	if !ok || len(method) == len(v)-digits || !isToken(method) {
		p.refuse(400, "CSeq")
		return
	}
	p.CSeq, p.CSeqMethod = uint32(n), method
	if p.IsRequest() && method != p.Method {
		p.refuse(400, "method of CSeq is not the request's")
	}
}

// limit returns the number of a field of kind k; -1 if there is none.
func (p *parser) limit(k Kind, most uint32) int {
	if p.first[k] == 0 {
		return -1
	}
	n, ok := number(p.Get(k), most)
	if !ok {
		p.refuse(400, "%s", k)
		return -1
	}
	return n
}

// contentLength cuts the body to its length (section 18.3).
func (p *parser) contentLength() {
	if p.first[ContentLength] == 0 {
		return
	}
	n, ok := number(p.Get(ContentLength), 1<<31-1)
	switch {
	case !ok:
		p.refuse(400, "Content-Length")
	case n > len(p.Raw)-int(p.body):
		p.refuse(400, "Content-Length beyond the end of the message")
	default:
		p.Raw = p.Raw[:int(p.body)+n]
	}
}
