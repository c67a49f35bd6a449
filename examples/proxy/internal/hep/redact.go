package hep

import (
	"bytes"
	"regexp"
)

// credentials are the header fields in which somebody proves who he is. What a
// server proves, with the last two, is as good for guessing a password.
var credentials = [][]byte{
	[]byte("Authorization"), []byte("Proxy-Authorization"),
	[]byte("Authentication-Info"), []byte("Proxy-Authentication-Info"),
}

// redact overwrites the proofs in the credentials of a message, and returns its
// Call-ID. All else stays, and the length too. It asks less of the message than a
// parser, as what is malformed can hold credentials as well.
func redact(text []byte) (callID []byte) {
	for len(text) > 0 {
		line := text[:fieldEnd(text)]
		text = text[len(line):]
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		name = bytes.TrimRight(name, " \t")
		if callID == nil && (bytes.EqualFold(name, []byte("Call-ID")) || bytes.EqualFold(name, []byte("i"))) {
			callID = bytes.TrimSpace(value)
		}
		for _, c := range credentials {
			if bytes.EqualFold(name, c) {
				overwrite(value)
			}
		}
	}
	return callID
}

// fieldEnd returns where the line at the beginning of text ends, with those that
// are folded into it.
func fieldEnd(text []byte) int {
	for at := 0; ; {
		n := bytes.IndexAny(text[at:], "\r\n")
		if n < 0 {
			return len(text)
		}
		at += n + 1
		if text[at-1] == '\r' && at < len(text) && text[at] == '\n' {
			at++
		}
		if at == len(text) || text[at] != ' ' && text[at] != '\t' {
			return at
		}
	}
}

var (
	// harmless is a parameter that proves nothing, and tells why a registration fails.
	harmless = regexp.MustCompile(`(?i)^\s*(?:Digest\s+)?(?:username|realm|nonce|uri|algorithm|opaque|qop|nc|cnonce|nextnonce)` +
		`\s*=\s*(?:"[^"\\]*"|[^\s",;="\\]+)\s*(?:,|$)`)
	// proof is what stands before a proof.
	proof = regexp.MustCompile(`(?i)^\s*(?:(?:Digest|Basic|Bearer)\s+)?(?:(?:response|rspauth)\s*=)?`)
)

// overwrite leaves of the value of a credentials field what is known to be harmless.
func overwrite(value []byte) {
	for len(value) > 0 {
		if m := harmless.FindIndex(value); m != nil {
			value = value[m[1]:]
			continue
		}
		end := bytes.IndexByte(value, ',')
		if end < 0 {
			end = len(value)
		}
		for i := len(proof.Find(value[:end])); i < end; i++ {
			switch value[i] {
			case ' ', '\t', '\r', '\n', '"':
			default:
				value[i] = '*'
			}
		}
		value = value[min(end+1, len(value)):]
	}
}
