package natfix

import (
	"iter"
	"mime"
	"strings"
)

// sdpParts finds the session descriptions in a body: all of it, or parts of a
// multipart body (RFC 2046 section 5.1).
func sdpParts(contentType, body string) iter.Seq[span] {
	return func(yield func(span) bool) {
		if isSDP(contentType) {
			yield(span{0, len(body)})
			return
		}
		for part := range bodyParts(contentType, body) {
			if start, ok := sdpStart(body[part.start:part.end]); ok && !yield(span{part.start + start, part.end}) {
				return
			}
		}
	}
}

// bodyParts finds the parts of a multipart body, each with its header and with
// the line ends of the delimiters around it. What no delimiter ends is no part.
func bodyParts(contentType, body string) iter.Seq[span] {
	return func(yield func(span) bool) {
		kind, params, err := mime.ParseMediaType(contentType)
		if err != nil || !strings.HasPrefix(kind, "multipart/") || params["boundary"] == "" {
			return
		}
		start := -1
		for at, line := range lines(body) {
			rest, ok := strings.CutPrefix(line, "--"+params["boundary"])
			rest, last := strings.CutPrefix(rest, "--")
			if !ok || strings.Trim(rest, " \t") != "" {
				continue
			}
			if start >= 0 && !yield(span{start, at}) || last {
				return
			}
			start = at + len(line)
		}
	}
}

// sdpStart returns where the content of a part begins that is a session
// description: after the first empty line that is not the end of the delimiter.
func sdpStart(part string) (start int, ok bool) {
	for at, line := range lines(part) {
		name, value, _ := strings.Cut(line, ":")
		switch {
		case line == "" && at > 0:
			return at + strings.IndexByte(part[at:], '\n') + 1, ok
		case strings.EqualFold(name, "Content-Type"):
			ok = isSDP(value)
		}
	}
	return 0, false
}

// isSDP reports whether a Content-Type, which may have parameters, is that of a
// session description.
func isSDP(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.Trim(kind, " \t"), "application/sdp")
}
