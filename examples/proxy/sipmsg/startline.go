package sipmsg

import "strings"

// version is the one that we speak. It is compared without case (RFC 3261
// section 7.1).
const version = "SIP/2.0"

// startLine reads the first line. It returns where the header fields begin, 0
// if nothing can be read.
func (p *parser) startLine() int {
	end, next, fault := cutLine(p.head, 0)
	switch line := p.head[:end]; {
	case next < 0:
		p.refuseEnd()
		return 0
	case fault != "":
		p.refuse(400, "%s", fault)
	case isVersion(line):
		p.statusLine(line)
	default:
		p.requestLine(line)
	}
	return next
}

// isVersion reports whether s begins as a SIP-Version does, of any number.
func isVersion(s string) bool { return len(s) > 4 && equalFold(s[:4], "SIP/") }

func (p *parser) statusLine(line string) {
	sip, rest, _ := strings.Cut(line, " ")
	code, reason, _ := strings.Cut(rest, " ") // some leave out the blank before an empty reason
	status, ok := number(code, 699)
	if !ok || len(code) != 3 || status < 100 {
		p.Status = -1 // a response, but none that can be used
		p.refuse(400, "status code")
		return
	}
	p.Status, p.Reason = status, reason
	if !equalFold(sip, version) {
		p.refuse(505, "version of the response")
	}
}

func (p *parser) requestLine(line string) {
	method, rest, ok := strings.Cut(line, " ")
	if !ok || !isToken(method) {
		p.refuse(400, "request line")
		return
	}
	p.Method = method
	end := strings.LastIndexByte(rest, ' ')
	if end < 0 || !isVersion(rest[end+1:]) {
		p.refuse(400, "request line")
		return
	}
	start := len(method) + 1
	p.RequestURI = rest[:end]
	p.uri = Span{uint16(start), uint16(start + end)}
	switch {
	case !equalFold(rest[end+1:], version):
		p.refuse(505, "version of the request")
	case !isRequestURI(p.RequestURI):
		p.refuse(400, "Request-URI")
	}
}

// isRequestURI reports whether s may be a Request-URI: a URI of any scheme
// without blanks and delimiters around it.
func isRequestURI(s string) bool {
	scheme, _, ok := strings.Cut(s, ":")
	return ok && isToken(scheme) && isPlain(s) && len(cutURIHeaders(s)) == len(s)
}

// cutURIHeaders returns the URI s without header fields to be added, if it is
// one of ours. They are for links, not for a Request-URI (RFC 3261 section
// 19.1.1).
func cutURIHeaders(s string) string {
	if scheme, _, _ := strings.Cut(s, ":"); !equalFold(scheme, "sip") && !equalFold(scheme, "sips") {
		return s
	}
	host := strings.IndexByte(s, '@') + 1 // before it, a question mark belongs to the user
	if i := strings.IndexByte(s[host:], '?'); i >= 0 {
		return s[:host+i]
	}
	return s
}
