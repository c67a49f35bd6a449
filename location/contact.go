package location

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	maxContacts   = 100  // in one REGISTER
	maxContactLen = 4096 // URI and parameters, each
)

// Contact is one element of a Contact header field (RFC 3261 section 20.10), as
// [ParseContacts] returns it. Its strings are parts of the parsed text.
type Contact struct {
	URI    string // as written, without angle brackets; "*" if Star
	Params string // the header parameters, quotes and all, without the leading semicolon
	Star   bool   // "Contact: *", all bindings
}

// ParseContacts parses the values of the Contact header fields of one message,
// each perhaps a comma list. The display name is dropped. A URI without angle
// brackets has no parameters: those after it belong to the header.
//
// Errors are: a SIP URI that [ParseURI] refuses, a URI of other schemes with
// characters that no URI has, parameters that break the grammar, an element
// that is empty or longer than 4096 bytes, more than 100 elements, a "*" that
// is not alone, text that is not UTF-8, and control characters, so a folded
// header must come unfolded. Empty parameters, as in "<sip:a@b>;", are let
// pass. Values that only the methods of Contact look at are checked by them.
func ParseContacts(values []string) ([]Contact, error) {
	var cs []Contact
	for _, v := range values {
		if err := checkHeaderText(v); err != nil {
			return nil, wrapErr("contact", v, err)
		}
		for rest, more := v, true; more; {
			var c Contact
			var err error
			at := rest
			if c, rest, more, err = cutContact(rest); err != nil {
				return nil, wrapErr("contact", at, err)
			}
			if cs = append(cs, c); len(cs) > maxContacts {
				return nil, fmt.Errorf("location: more than %d contacts", maxContacts)
			}
		}
	}
	if len(cs) > 1 {
		for _, c := range cs {
			if c.Star {
				return nil, errors.New("location: contact * beside other contacts")
			}
		}
	}
	return cs, nil
}

func checkHeaderText(s string) error {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return errors.New("control character")
		}
	}
	if !utf8.ValidString(s) {
		return errors.New("not UTF-8")
	}
	return nil
}

// cutContact parses the first element of the comma list s. More says that a
// comma follows, and rest is what comes after it.
func cutContact(s string) (c Contact, rest string, more bool, err error) {
	if c.URI, rest, err = cutAddr(trimBlank(s)); err != nil {
		return Contact{}, "", false, err
	}
	params := trimBlank(rest)
	c.Star = c.URI == "*"
	if c.Star && strings.HasPrefix(params, ";") {
		return Contact{}, "", false, errors.New("* with parameters")
	}
	if rest, err = skipParams(params); err != nil {
		return Contact{}, "", false, err
	}
	params = params[:len(params)-len(rest)]
	c.Params = trimBlank(strings.TrimPrefix(params, ";"))
	if len(c.Params) > maxContactLen {
		return Contact{}, "", false, errors.New("parameters too long")
	}
	rest, more = strings.CutPrefix(rest, ",")
	return c, rest, more, nil
}

// cutAddr parses a name-addr, an addr-spec or a star (RFC 3261 section 25.1).
func cutAddr(s string) (uri, rest string, err error) {
	if strings.HasPrefix(s, `"`) { // display name in quotes
		n := quotedLen(s)
		if n == 0 {
			return "", "", errors.New("quote without end")
		}
		if s = trimBlank(s[n:]); !strings.HasPrefix(s, "<") {
			return "", "", errors.New("no < after the display name")
		}
	}
	i := strings.IndexAny(s, `<,;"`)
	if i >= 0 && s[i] == '"' {
		return "", "", errors.New("quote inside a display name")
	}
	if i >= 0 && s[i] == '<' {
		uri, rest, ok := strings.Cut(s[i+1:], ">")
		if !ok {
			return "", "", errors.New("< without >")
		}
		return uri, rest, checkContactURI(uri)
	}
	if i < 0 {
		i = len(s)
	}
	uri, rest = trimBlank(s[:i]), s[i:]
	switch {
	case uri == "*":
		return uri, rest, nil
	case strings.IndexByte(uri, '?') >= 0:
		return "", "", errors.New("URI with a question mark needs < and >")
	}
	return uri, rest, checkContactURI(uri)
}

func checkContactURI(uri string) error {
	if uri == "" {
		return errors.New("empty")
	}
	if len(uri) > maxContactLen {
		return errors.New("URI too long")
	}
	_, err := parseURI(uri)
	if !errors.Is(err, ErrScheme) {
		return err
	}
	if scheme, _, ok := strings.Cut(uri, ":"); !ok || !isScheme(scheme) {
		return errors.New("URI without scheme")
	}
	return checkText(uri)
}

// isScheme checks a URI scheme (RFC 3986 section 3.1).
func isScheme(s string) bool {
	if s == "" || !isAlphanum(s[0]) || s[0] <= '9' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if c := s[i]; !isAlphanum(c) && c != '+' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// Param returns the value of a header parameter, without its quotes if it had
// some, and whether there is such a parameter. The name compares without case.
func (c Contact) Param(name string) (value string, ok bool) {
	for rest := c.Params; ; {
		k, v, r, err := cutParam(rest)
		if err != nil {
			return "", false
		}
		if k != "" && strings.EqualFold(k, name) {
			return unquote(v), true
		}
		if r == "" {
			return "", false
		}
		rest = r[1:]
	}
}

// Q returns the q parameter, or [QUnspecified] if there is none or if it is
// malformed: nothing is known of the phone's wish then.
func (c Contact) Q() Q {
	v, _ := c.Param("q")
	return parseQ(v)
}

// parseQ parses a qvalue (RFC 3261 section 25.1). More than three decimals are
// let pass and cut off.
func parseQ(s string) Q {
	whole, frac, _ := strings.Cut(s, ".")
	if whole != "0" && whole != "1" {
		return QUnspecified
	}
	q, unit := Q(whole[0]-'0')*1000, Q(100)
	for i := 0; i < len(frac); i++ {
		if frac[i] < '0' || frac[i] > '9' {
			return QUnspecified
		}
		q += Q(frac[i]-'0') * unit
		unit /= 10
	}
	if q > 1000 {
		return QUnspecified
	}
	return q
}

// Expires returns the expires parameter in seconds and whether there is one.
// A malformed one counts as 3600 (RFC 3261 section 20.10), one that exceeds
// the range of the protocol as its largest, 2³²-1.
func (c Contact) Expires() (seconds uint32, ok bool) {
	v, ok := c.Param("expires")
	if !ok {
		return 0, false
	}
	n, valid := parseUint(v, 1<<32-1)
	if !valid {
		return 3600, true
	}
	return uint32(n), true
}

// Instance returns the +sip.instance parameter (RFC 5626 section 4.1) without
// quotes but with the angle brackets that are part of it, or "".
func (c Contact) Instance() string {
	v, _ := c.Param("+sip.instance")
	return v
}

// RegID returns the reg-id parameter (RFC 5626 section 4.2), or 0 if there is
// none or if it is malformed.
func (c Contact) RegID() int {
	v, _ := c.Param("reg-id")
	n, ok := parseUint(v, 1<<31)
	if !ok || n == 1<<31 {
		return 0
	}
	return int(n)
}

// parseUint parses digits. A number above limit counts as limit.
func parseUint(s string, limit uint64) (n uint64, ok bool) {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = min(n*10+uint64(s[i]-'0'), limit)
	}
	return n, s != ""
}
