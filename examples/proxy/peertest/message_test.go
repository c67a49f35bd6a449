package peertest

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// message is a SIP message as it was received.
type message struct {
	first  string // request or status line
	fields []field
	body   string
	from   netip.AddrPort
	answer func(string) // sends to where the message came from
}

type field struct{ name, value string }

// parseMessage takes a message apart. Lines that are none of SIP are kept as
// fields without a name; tests see them when they print the message.
func parseMessage(text string) *message {
	head, body, _ := strings.Cut(text, "\r\n\r\n")
	m := &message{body: body}
	lines := strings.Split(head, "\r\n")
	m.first = lines[0]
	for _, l := range lines[1:] {
		name, value, ok := strings.Cut(l, ":")
		if !ok {
			name, value = "", l
		}
		m.fields = append(m.fields, field{strings.TrimSpace(name), strings.TrimSpace(value)})
	}
	return m
}

func (m *message) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "from %v:\n  %s\n", m.from, m.first)
	for _, f := range m.fields {
		fmt.Fprintf(&b, "  %s: %s\n", f.name, f.value)
	}
	return b.String()
}

// status is 0 for a request.
func (m *message) status() int {
	version, rest, _ := strings.Cut(m.first, " ")
	if version != "SIP/2.0" {
		return 0
	}
	code, _, _ := strings.Cut(rest, " ")
	n, _ := strconv.Atoi(code)
	return n
}

// method is that of the request, or of the one that is answered.
func (m *message) method() string {
	_, method, _ := strings.Cut(m.get("CSeq"), " ")
	return method
}

// kind is how tests name a message: "INVITE", "180 INVITE".
func (m *message) kind() string {
	if s := m.status(); s != 0 {
		return fmt.Sprint(s, " ", m.method())
	}
	return m.method()
}

// is reports whether the message is of a kind, which may be a status alone.
func (m *message) is(kind string) bool {
	return m.kind() == kind || m.status() != 0 && fmt.Sprint(m.status()) == kind
}

// uri is the Request-URI.
func (m *message) uri() string { return strings.Split(m.first, " ")[1] }

// get returns the first field with this name, "" if there is none.
func (m *message) get(name string) string {
	if all := m.all(name); len(all) > 0 {
		return all[0]
	}
	return ""
}

func (m *message) all(name string) []string {
	var values []string
	for _, f := range m.fields {
		if strings.EqualFold(f.name, name) {
			values = append(values, f.value)
		}
	}
	return values
}

// contact is the URI of the first Contact.
func (m *message) contact() string { return uriOf(m.get("Contact")) }

// uriOf returns the URI of a field such as To.
func uriOf(value string) string {
	_, rest, ok := strings.Cut(value, "<")
	if !ok {
		uri, _, _ := strings.Cut(value, ";")
		return uri
	}
	uri, _, _ := strings.Cut(rest, ">")
	return uri
}

// param returns a parameter after the URI of a field.
func param(value, name string) string {
	_, params, _ := strings.Cut(value, ">")
	for p := range strings.SplitSeq(params, ";") {
		if n, v, _ := strings.Cut(p, "="); strings.EqualFold(strings.TrimSpace(n), name) {
			return v
		}
	}
	return ""
}

// user returns the user of a URI.
func user(uri string) string {
	_, rest, _ := strings.Cut(uri, ":")
	user, _, ok := strings.Cut(rest, "@")
	if !ok {
		return ""
	}
	return user
}

// reply returns a response to a request. Extra are header fields; the tag is
// added where there is none.
func (m *message) reply(status int, tag string, body string, extra ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %d %s\r\n", status, reasons[status])
	for _, name := range []string{"Via", "Record-Route", "From", "To", "Call-ID", "CSeq"} {
		for _, value := range m.all(name) {
			if name == "To" && status > 100 && param(value, "tag") == "" {
				value += ";tag=" + tag
			}
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	return b.String() + rest(body, extra)
}

// rest is what all messages end with.
func rest(body string, extra []string) string {
	var b strings.Builder
	for _, f := range extra {
		fmt.Fprintf(&b, "%s\r\n", f)
	}
	if body != "" {
		fmt.Fprint(&b, "Content-Type: application/sdp\r\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return b.String()
}

var reasons = map[int]string{
	100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 202: "Accepted",
	401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 407: "Proxy Authentication Required",
	480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 486: "Busy Here",
	487: "Request Terminated", 489: "Bad Event", 503: "Service Unavailable", 603: "Decline",
}
