package sipmsg

import (
	"math/bits"
	"strings"
)

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isBlank reports whether c is a blank inside of a line.
func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// isSpace reports whether c may stand between tokens of a header value that
// has not been unfolded. Other control characters do not get that far.
func isSpace(c byte) bool { return c <= ' ' }

// skipSpace returns the index of the first byte of s from pos on that is no
// space.
func skipSpace(s string, pos int) int {
	for pos < len(s) && isSpace(s[pos]) {
		pos++
	}
	return pos
}

func trimLeft(s string) string { return s[skipSpace(s, 0):] }

func trimRight(s string) string {
	for s != "" && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func trim(s string) string { return trimLeft(trimRight(s)) }

// hasBlank reports whether there are blanks within s.
func hasBlank(s string) bool {
	return strings.IndexByte(s, ' ') >= 0 || strings.IndexByte(s, '\t') >= 0
}

// number reads a decimal number up to limit, without sign.
func number[T string | []byte](s T, limit uint32) (n int, ok bool) {
	sum := uint64(0)
	for i := 0; i < len(s); i++ {
		if sum = 10*sum + uint64(s[i]-'0'); !isDigit(s[i]) || sum > uint64(limit) {
			return 0, false
		}
	}
	return int(sum), len(s) > 0
}

// charTable tells whether a byte belongs to a class of characters.
type charTable [256]bool

func newCharTable(has func(c byte) bool) (t charTable) {
	for c := range t {
		t[c] = has(byte(c))
	}
	return t
}

func isAlphanum(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' }

var (
	// RFC 3261 section 25.1.
	tokenChar = newCharTable(func(c byte) bool { return isAlphanum(c) || strings.IndexByte("-.!%*_+`'~", c) >= 0 })
	// Of a name or an IPv4 address. There are hosts with underscores.
	hostChar  = newCharTable(func(c byte) bool { return isAlphanum(c) || strings.IndexByte("-._", c) >= 0 })
	plainChar = newCharTable(func(c byte) bool { return c > ' ' && strings.IndexByte("\"<>\x7f", c) < 0 })
)

// only reports whether s consists of characters of t. It is false for "".
func (t *charTable) only(s string) bool {
	for i := 0; i < len(s); i++ {
		if !t[s[i]] {
			return false
		}
	}
	return s != ""
}

// isToken reports whether s is a token (RFC 3261 section 25.1).
func isToken(s string) bool { return tokenChar.only(s) }

// isPlain reports whether s is free of blanks, quotes and angle brackets, so
// that nobody can disagree on where it ends. It is false for "".
func isPlain(s string) bool { return plainChar.only(s) }

// equalFold compares without case. Only ASCII letters have one in SIP.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if x, y := a[i], b[i]; x != y && (x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z') {
			return false
		}
	}
	return true
}

// indexControl returns the index of the first control character other than a
// tab in s, from pos on; len(s) if there is none. It looks at eight bytes at a
// time, each less its top bit, so that sums stay in their bytes: 0x60 more
// sets the top bit from 0x20 on, and 1 more that of 0x7f.
func indexControl(s string, pos int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for pos+8 <= len(s) {
		b := s[pos : pos+8]
		x := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		low := x &^ tops
		found := (^(low + 0x60*ones) | (low + ones)) & (tops &^ x)
		if found == 0 {
			pos += 8
			continue
		}
		pos += bits.TrailingZeros64(found) / 8
		if s[pos] != '\t' {
			return pos
		}
		pos++
	}
	for pos < len(s) && !isControl(s[pos]) {
		pos++
	}
	return pos
}

// hasControl reports whether there is a control character other than a tab in s.
func hasControl(s string) bool { return indexControl(s, 0) < len(s) }

// isControl reports whether c must not be in a line.
func isControl(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

// quotedEnd returns the length of the quoted string that s begins with, -1 if
// it is not closed.
func quotedEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// indexOutside returns the index of the first sep in s that is outside of
// quoted strings and angle brackets, or len(s). In Vias and parameters, angle
// brackets mean nothing; set plain for them.
func indexOutside(s string, sep byte, plain bool) int {
	i := strings.IndexByte(s, sep)
	if i < 0 {
		return len(s)
	}
	if strings.IndexByte(s[:i], '"') < 0 && (plain || strings.IndexByte(s[:i], '<') < 0) {
		return i
	}
	for i = 0; i < len(s) && s[i] != sep; i++ {
		skip := 0
		switch {
		case s[i] == '"':
			skip = quotedEnd(s[i:])
		case s[i] == '<' && !plain:
			skip = strings.IndexByte(s[i:], '>')
		}
		if skip < 0 {
			return len(s)
		}
		i += max(skip-1, 0)
	}
	return i
}

// CutElement splits the first element off a comma list, blanks trimmed.
func CutElement(list string) (element, rest string) {
	i := indexOutside(list, ',', false)
	element = trim(list[:i])
	if i < len(list) {
		rest = list[i+1:]
	}
	return element, rest
}

// CutParam splits the first parameter off a list such as ";lr;x=1" or
// "lr;x=1". A quoted value keeps its quotes. The name is empty at the end.
func CutParam(params string) (name, value, rest string) {
	for params != "" && (params[0] == ';' || isSpace(params[0])) {
		params = params[1:]
	}
	i := indexOutside(params, ';', true)
	name, value, _ = strings.Cut(params[:i], "=")
	return trim(name), trim(value), params[i:]
}

// Param returns the value of the first parameter with this name, compared
// without case (R6), and whether there is one.
func Param(params, name string) (string, bool) {
	for params != "" {
		n, v, rest := CutParam(params)
		if equalFold(n, name) {
			return v, true
		}
		params = rest
	}
	return "", false
}
