package location

import (
	"errors"
	"fmt"
	"strings"
)

// UnescapeUser undoes the percent escapes in the user part of a SIP URI, for
// callers whose URIs were taken apart by somebody else. It returns s itself if
// there are none.
func UnescapeUser(s string) (string, error) {
	u, err := unescape(s)
	if err != nil {
		return "", wrapErr("user", s, err)
	}
	return u, nil
}

func unescape(s string) (string, error) {
	i := strings.IndexByte(s, '%')
	if i < 0 {
		return s, nil
	}
	var sb strings.Builder
	sb.Grow(len(s))
	for ; i >= 0; i = strings.IndexByte(s, '%') {
		c, ok := hexByte(s[i:])
		if !ok {
			return "", errEscape
		}
		sb.WriteString(s[:i])
		sb.WriteByte(c)
		s = s[i+3:]
	}
	sb.WriteString(s)
	return sb.String(), nil
}

var errEscape = errors.New("percent sign without two hexadecimal digits")

// hexByte returns the character that s, which starts with a percent sign,
// starts with.
func hexByte(s string) (c byte, ok bool) {
	if len(s) < 3 {
		return 0, false
	}
	hi, ok1 := hexDigit(s[1])
	lo, ok2 := hexDigit(s[2])
	return hi<<4 | lo, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// appendEscaped appends s with an escape for whatever may not stand for itself
// in the user part of a URI (RFC 3261 section 25.1, user).
func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		if c := s[i]; isAlphanum(c) || strings.IndexByte("-_.!~*'()&=+$,;?/", c) >= 0 {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return b
}

// appendHost appends host, in brackets if it is an IPv6 address.
func appendHost(b []byte, host string) []byte {
	if strings.IndexByte(host, ':') < 0 {
		return append(b, host...)
	}
	b = append(b, '[')
	b = append(b, host...)
	return append(b, ']')
}

func isAlphanum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// equalEscaped reports whether a and b mean the same text. A character equals
// its escape unless it is a reserved one (RFC 3261 section 19.1.4). With fold
// set, ASCII letters equal in either case.
func equalEscaped(a, b string, fold bool) bool {
	if a == b {
		return true
	}
	for a != "" && b != "" {
		var ca, cb uint16
		ca, a = cutChar(a, fold)
		cb, b = cutChar(b, fold)
		if ca != cb {
			return false
		}
	}
	return a == b // both empty
}

// cutChar splits the first character off s, its escape undone. The escape of
// a reserved character yields a value above all bytes and so differs from the
// character itself.
func cutChar(s string, fold bool) (c uint16, rest string) {
	b, n := s[0], 1
	if b == '%' {
		if x, ok := hexByte(s); ok {
			b, n = x, 3
			if strings.IndexByte(";/?:@&=+$,%", x) >= 0 {
				return 0x100 | uint16(b), s[n:]
			}
		}
	}
	if fold && b >= 'A' && b <= 'Z' {
		b += 'a' - 'A'
	}
	return uint16(b), s[n:]
}

// wrapErr says in which text, called what, err was found. Texts come from
// strangers and may be long, so only their start is quoted.
func wrapErr(what, text string, err error) error {
	const most = 64
	if len(text) > most {
		return fmt.Errorf("location: %s %q...: %w", what, text[:most], err)
	}
	return fmt.Errorf("location: %s %q: %w", what, text, err)
}
