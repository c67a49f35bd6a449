package sipmsg

import "strings"

// NameAddr is an address as From, To, Route and Contact have it. All its
// strings are views into the parsed text.
type NameAddr struct {
	Display string // display name with its quotes, as written; empty if none
	URI     string // without angle brackets
	Params  string // header parameters with their semicolons, not the URI's
}

// With writes a with another URI, in angle brackets.
func (a NameAddr) With(uri string) string {
	display := a.Display
	if display != "" {
		display += " "
	}
	return display + "<" + uri + ">" + a.Params
}

// ParseNameAddr reads one name-addr or addr-spec with parameters (RFC 3261
// section 20.10: without angle brackets all parameters are the header's). It
// refuses what could be read in two ways: more than one element, quotes or
// brackets that are not closed, blanks in the URI, and without brackets a
// comma or a question mark. The error is an [*Error]. What the URI says is not
// its business.
func ParseNameAddr(s string) (NameAddr, error) {
	a, fault := parseNameAddr(trim(s))
	if fault != "" {
		return NameAddr{}, &Error{Status: 400, Fault: fault}
	}
	return a, nil
}

// What is wrong with an address.
const (
	faultQuote   = "quote is not closed"
	faultBracket = "angle bracket is not closed"
	faultAddress = "no address"
)

// parseNameAddr is ParseNameAddr. Fault is empty if there is none.
func parseNameAddr(s string) (a NameAddr, fault string) {
	quoted := 0
	if s != "" && s[0] == '"' { // the display name may contain anything
		if quoted = quotedEnd(s); quoted < 0 {
			return a, faultQuote
		}
	}
	open := strings.IndexByte(s[quoted:], '<')
	if open < 0 {
		return parseAddrSpec(s)
	}
	open += quoted
	after := s[open+1:]
	end := strings.IndexByte(after, '>')
	if end < 0 {
		return a, faultBracket
	}
	a.Display, a.URI = trim(s[:open]), after[:end]
	if quoted > 0 && len(a.Display) > quoted || quoted == 0 && strings.IndexByte(a.Display, '"') >= 0 || !isPlain(a.URI) {
		return a, faultAddress
	}
	a.Params, fault = cutParams(after[end+1:])
	return a, fault
}

// parseAddrSpec reads an address without angle brackets.
func parseAddrSpec(s string) (a NameAddr, fault string) {
	semi := strings.IndexByte(s, ';')
	if semi < 0 {
		semi = len(s)
	}
	a.URI = trimRight(s[:semi])
	if !isPlain(a.URI) || strings.IndexByte(a.URI, ',') >= 0 || strings.IndexByte(a.URI, '?') >= 0 {
		return a, faultAddress
	}
	a.Params, fault = cutParams(s[semi:])
	return a, fault
}

// cutParams returns s without blanks around it and without the semicolons
// after the last parameter, on which some readers choke (P-07). Fault tells if
// it is anything else than parameters.
func cutParams(s string) (params, fault string) {
	s = trim(s)
	switch {
	case s == "":
		return "", ""
	case s[0] != ';':
		return "", faultAddress
	case !quotesClosed(s):
		return "", faultQuote
	case indexOutside(s, ',', true) < len(s), indexOutside(s, '<', true) < len(s):
		return "", faultAddress
	}
	for s != "" && (s[len(s)-1] == ';' || isSpace(s[len(s)-1])) {
		s = s[:len(s)-1]
	}
	return s, ""
}

func quotesClosed(s string) bool {
	for {
		i := strings.IndexByte(s, '"')
		if i < 0 {
			return true
		}
		n := quotedEnd(s[i:])
		if n < 0 {
			return false
		}
		s = s[i+n:]
	}
}
