package location

import (
	"errors"
	"strings"
)

// skipParams checks the header parameters that s starts with, each after a
// semicolon, and returns what follows them: nothing or a comma.
func skipParams(s string) (rest string, err error) {
	for s != "" && s[0] != ',' {
		if s[0] != ';' {
			return "", errors.New("text after the URI")
		}
		if _, _, s, err = cutParam(s[1:]); err != nil {
			return "", err
		}
	}
	return s, nil
}

// cutParam parses one header parameter (RFC 3261 section 25.1, generic-param)
// up to the semicolon or comma after it, with which rest starts. A quoted value
// keeps its quotes. Blanks may stand around both parts.
func cutParam(s string) (name, value, rest string, err error) {
	s = trimBlank(s)
	n := 0
	for n < len(s) && isToken(s[n]) {
		n++
	}
	name, s = s[:n], trimBlank(s[n:])
	if strings.HasPrefix(s, "=") {
		if name == "" {
			return "", "", "", errors.New("parameter without name")
		}
		if value, s, err = cutValue(trimBlank(s[1:])); err != nil {
			return "", "", "", err
		}
		s = trimBlank(s)
	}
	if s != "" && s[0] != ';' && s[0] != ',' {
		return "", "", "", errors.New("malformed parameter")
	}
	return name, value, s, nil
}

// cutValue splits a value, quoted or not, off s.
func cutValue(s string) (value, rest string, err error) {
	n := 0
	if strings.HasPrefix(s, `"`) {
		if n = quotedLen(s); n == 0 {
			return "", "", errors.New("quote without end")
		}
	} else if n = strings.IndexAny(s, ";, \t\"<>"); n < 0 {
		n = len(s)
	}
	return s[:n], s[n:], nil
}

// quotedLen returns the length of the quoted string that s starts with, or 0
// if it has no end.
func quotedLen(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}

// unquote removes the quotes around s and the backslashes in it, if there are
// quotes.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

func trimBlank(s string) string { return strings.Trim(s, " \t") }

// isToken reports whether c may be in a token (RFC 3261 section 25.1).
func isToken(c byte) bool {
	return isAlphanum(c) || strings.IndexByte("-.!%*_+`'~", c) >= 0
}
