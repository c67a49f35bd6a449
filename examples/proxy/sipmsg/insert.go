package sipmsg

import "strings"

// Everything that gets into a message passes one of these functions, so that
// it cannot end the field or the line that it is in (R5).

// clean returns s with a blank in place of each control character.
func clean(s string) string {
	if !hasControl(s) {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if isControl(c) {
			b[i] = ' '
		}
	}
	return string(b)
}

// cleanField returns a complete header field without line end, clean. It is
// empty if nothing is left, which would otherwise end the header.
func cleanField(line string) string { return trim(clean(line)) }

// cleanURI returns a Request-URI without header fields, in which all is escaped
// that would end it.
func cleanURI(uri string) string {
	uri = cutURIHeaders(uri)
	if isPlain(uri) {
		return uri
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(uri) {
		if plainChar[c] {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// appendFields appends complete header fields that have no line ends.
func appendFields(b []byte, lines []string) []byte {
	for _, line := range lines {
		if line = cleanField(line); line != "" {
			b = append(append(b, line...), crlf...)
		}
	}
	return b
}

const crlf = "\r\n"
