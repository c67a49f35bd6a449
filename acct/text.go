package acct

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// maxText bounds each text of a call, so that nobody can fill the memory with
// header fields. No header field that means anything is that long.
const maxText = 512

// identifier returns what stands for a Call-ID or a tag. Two different ones
// stay different, whatever their length.
func identifier(s string) string {
	if len(s) <= maxText {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return cut(s, maxText-1-hex.EncodedLen(len(sum))) + "#" + hex.EncodeToString(sum[:])
}

// cut returns at most n bytes of s, and no half character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// own replaces texts by copies in one piece of memory: what they are views into
// may be a whole message.
func own(texts ...*string) {
	size := 0
	for _, t := range texts {
		size += len(*t)
	}
	var sb strings.Builder
	sb.Grow(size)
	for _, t := range texts {
		sb.WriteString(*t)
	}
	all := sb.String()
	for _, t := range texts {
		*t, all = all[:len(*t)], all[len(*t):]
	}
}
