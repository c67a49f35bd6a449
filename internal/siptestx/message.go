// Package siptestx plays the phones and PBXs in tests of the proxy: peers on a
// [simnet.Network] that send SIP messages written out as text, and show what
// they get. It reads messages in a way of its own, so that a fault of the
// proxy's parser does not hide here as well.
package siptestx

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Message is one SIP message that a [Peer] got.
type Message struct {
	Text string
	From netip.AddrPort
	At   time.Time
}

// Start returns the start line.
func (m Message) Start() string {
	line, _, _ := strings.Cut(m.Text, "\r\n")
	return line
}

// Method returns the method of a request, "" for a response.
func (m Message) Method() string {
	method, _, _ := strings.Cut(m.Start(), " ")
	if strings.HasPrefix(method, "SIP/") {
		return ""
	}
	return method
}

// URI returns the Request-URI.
func (m Message) URI() string { return strings.Split(m.Start(), " ")[1] }

// Status returns the status of a response, 0 for a request.
func (m Message) Status() int {
	if m.Method() != "" {
		return 0
	}
	n, _ := strconv.Atoi(strings.Split(m.Start(), " ")[1])
	return n
}

// Head returns the start line and the header, with the last line end.
func (m Message) Head() string {
	head, _, _ := strings.Cut(m.Text, "\r\n\r\n")
	return head + "\r\n"
}

// Body returns what follows the header.
func (m Message) Body() string {
	_, body, _ := strings.Cut(m.Text, "\r\n\r\n")
	return body
}

// All returns the values of all header fields with this name, which is compared
// as written, without case.
func (m Message) All(name string) []string {
	var values []string
	for line := range strings.SplitSeq(m.Head(), "\r\n") {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(n, name) {
			values = append(values, strings.TrimSpace(v))
		}
	}
	return values
}

// Get returns the value of the first header field with this name, "" if there
// is none.
func (m Message) Get(name string) string {
	if values := m.All(name); len(values) > 0 {
		return values[0]
	}
	return ""
}

// Branch returns the branch of the topmost Via.
func (m Message) Branch() string { return parameter(m.Get("Via"), "branch") }

// ToTag returns the tag of To, "" if there is none.
func (m Message) ToTag() string { return parameter(m.Get("To"), "tag") }

func parameter(value, name string) string {
	_, after, ok := strings.Cut(value, ";"+name+"=")
	if !ok {
		return ""
	}
	if i := strings.IndexAny(after, ";, "); i >= 0 {
		after = after[:i]
	}
	return after
}

// Reply writes the response of a user agent to the request m: its Vias, From,
// To with a tag if that is not empty, Call-ID, CSeq and Record-Routes, and then
// further header fields; one that begins with a line end is the body.
func (m Message) Reply(status int, tag string, fields ...string) string {
	lines := []string{"SIP/2.0 " + strconv.Itoa(status) + " " + phrases[status]}
	for line := range strings.SplitSeq(m.Head(), "\r\n") {
		name, _, _ := strings.Cut(line, ":")
		switch strings.ToLower(name) {
		case "to":
			if tag != "" && m.ToTag() == "" {
				line += ";tag=" + tag
			}
			lines = append(lines, line)
		case "via", "from", "call-id", "cseq", "record-route":
			lines = append(lines, line)
		}
	}
	return finish(lines, fields)
}

var phrases = map[int]string{100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 302: "Moved Temporarily",
	401: "Unauthorized", 404: "Not Found", 407: "Proxy Authentication Required", 408: "Request Timeout", 423: "Interval Too Brief",
	480: "Temporarily Unavailable", 486: "Busy Here", 487: "Request Terminated", 494: "Security Agreement Required",
	500: "Server Internal Error", 503: "Service Unavailable", 603: "Decline"}

// finish adds the fields, the Content-Length and the body.
func finish(lines, fields []string) string {
	body := ""
	for _, f := range fields {
		if text, ok := strings.CutPrefix(f, "\n"); ok {
			body = text
		} else {
			lines = append(lines, f)
		}
	}
	lines = append(lines, "Content-Length: "+strconv.Itoa(len(body)))
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

// Without returns the text of m without the header fields of these names.
func (m Message) Without(names ...string) string {
	var b strings.Builder
lines:
	for line := range strings.SplitAfterSeq(m.Head(), "\r\n") {
		name, _, _ := strings.Cut(line, ":")
		for _, n := range names {
			if strings.EqualFold(name, n) {
				continue lines
			}
		}
		b.WriteString(line)
	}
	return b.String() + "\r\n" + m.Body()
}
