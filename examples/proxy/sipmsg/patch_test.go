package sipmsg_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// small is a request for patches, with three Routes in two fields.
var small = lines(`INVITE sip:a.test SIP/2.0
Via: SIP/2.0/UDP 10.0.0.1
Route: <sip:p1;lr>, <sip:p2;lr>
Max-Forwards: 70
Route: <sip:p3;lr>
Supported:
From: <sip:1@a.test>;tag=1
To: <sip:2@a.test>
Call-ID: c
CSeq: 1 INVITE
Content-Length: 0

`)

// index returns the index of the first field with this name.
func index(t *testing.T, m *sipmsg.Message, k sipmsg.Kind) int {
	t.Helper()
	for i := range m.All(k) {
		return i
	}
	t.Fatalf("no %v", k)
	return 0
}

// dropRoutes returns an edit that drops the elements with these hosts.
func dropRoutes(hosts ...string) func(string) string {
	return func(e string) string {
		for _, h := range hosts {
			if strings.Contains(e, h) {
				return ""
			}
		}
		return e
	}
}

// What becomes of changes that meet, in whatever order they are made.
func TestPatch_Changes(t *testing.T) {
	replace := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(small) }
	route := func(i int, m *sipmsg.Message) int {
		for n := range m.All(sipmsg.Route) {
			if i--; i < 0 {
				return n
			}
		}
		return -1
	}
	const line1, line2 = "Route: <sip:p1;lr>, <sip:p2;lr>\r\n", "Route: <sip:p3;lr>\r\n"
	tests := []struct {
		name  string
		patch func(p *sipmsg.Patch, m *sipmsg.Message)
		want  string
	}{
		{"insert before the first of its kind", func(p *sipmsg.Patch, m *sipmsg.Message) {
			p.Prepend(sipmsg.Route, "Route: <sip:n>")
		}, replace(line1, "Route: <sip:n>\r\n"+line1)},
		{"insert what there is none of", func(p *sipmsg.Patch, m *sipmsg.Message) {
			p.Prepend(sipmsg.RecordRoute, "Record-Route: <sip:n>")
			p.Prepend(sipmsg.Path, "Path: <sip:m>")
		}, replace(line1, "Record-Route: <sip:n>\r\nPath: <sip:m>\r\n"+line1)},
		{"several at one place", func(p *sipmsg.Patch, m *sipmsg.Message) {
			p.Prepend(sipmsg.Via, "Via: 1")
			p.Prepend(sipmsg.Via, "Via: 2")
			p.Prepend(sipmsg.Via, "Via: 3")
		}, replace("Via:", "Via: 1\r\nVia: 2\r\nVia: 3\r\nVia:")},
		// P-29: no Route of ours is left, also if the target has some.
		{"remove all of a field, then insert there", func(p *sipmsg.Patch, m *sipmsg.Message) {
			p.ReplaceElements(sipmsg.Route, dropRoutes("p1", "p2"))
			p.Prepend(sipmsg.Route, "Route: <sip:n>")
		}, replace(line1, "Route: <sip:n>\r\n")},
		{"insert, then remove there", func(p *sipmsg.Patch, m *sipmsg.Message) {
			p.Prepend(sipmsg.Route, "Route: <sip:n>")
			p.ReplaceElements(sipmsg.Route, dropRoutes("p1", "p2", "p3"))
		}, replace(line1, "Route: <sip:n>\r\n", line2, "")},
		{"remove the first of a list", func(p *sipmsg.Patch, m *sipmsg.Message) {
			p.ReplaceElements(sipmsg.Route, dropRoutes("p1"))
		}, replace("<sip:p1;lr>, ", "")},
		{"remove the last of a list", func(p *sipmsg.Patch, m *sipmsg.Message) {
			p.ReplaceElements(sipmsg.Route, dropRoutes("p2"))
		}, replace(", <sip:p2;lr>", "")},
		{"replace elements twice", func(p *sipmsg.Patch, m *sipmsg.Message) {
			p.ReplaceElements(sipmsg.Route, dropRoutes("p1", "p3"))
			p.ReplaceElements(sipmsg.Route, dropRoutes("p2", "p3"))
		}, replace(", <sip:p2;lr>", "", line2, "")},
		{"split an element", func(p *sipmsg.Patch, m *sipmsg.Message) {
			p.ReplaceElements(sipmsg.Route, func(e string) string { return e + ",<sip:q>" })
		}, replace("<sip:p1;lr>, <sip:p2;lr>", "<sip:p1;lr>,<sip:q>, <sip:p2;lr>,<sip:q>", "<sip:p3;lr>", "<sip:p3;lr>,<sip:q>")},
		{"set a value twice", func(p *sipmsg.Patch, m *sipmsg.Message) {
			p.SetMaxForwards(5)
			p.SetMaxForwards(6)
		}, replace("70", "6")},
		{"set an empty value twice", func(p *sipmsg.Patch, m *sipmsg.Message) {
			p.SetValue(index(t, m, sipmsg.Supported), "a")
			p.SetValue(index(t, m, sipmsg.Supported), "b")
		}, replace("Supported:", "Supported:b")},
		{"set, then remove", func(p *sipmsg.Patch, m *sipmsg.Message) {
			p.SetMaxForwards(5)
			p.Remove(index(t, m, sipmsg.MaxForwards))
		}, replace("Max-Forwards: 70\r\n", "")},
		{"remove, then set", func(p *sipmsg.Patch, m *sipmsg.Message) {
			p.Remove(index(t, m, sipmsg.MaxForwards))
			p.SetMaxForwards(5)
		}, replace("Max-Forwards: 70\r\n", "")},
		{"remove twice", func(p *sipmsg.Patch, m *sipmsg.Message) {
			p.Remove(route(1, m))
			p.Remove(route(1, m))
			p.Remove(route(0, m))
		}, replace(line1, "", line2, "")},
		{"URI twice", func(p *sipmsg.Patch, m *sipmsg.Message) {
			p.SetRequestURI("sip:b")
			p.SetRequestURI("sip:c")
			p.SetRequestURI("")
		}, replace("sip:a.test SIP", "sip:c SIP")},
		{"the same URI", func(p *sipmsg.Patch, m *sipmsg.Message) {
			p.SetRequestURI("sip:a.test")
		}, small},
		{"a span within a value that is set", func(p *sipmsg.Patch, m *sipmsg.Message) {
			at := strings.Index(m.Raw, "p2")
			p.Replace(sipmsg.Span{Start: uint16(at), End: uint16(at + 2)}, "q")
			p.SetValue(route(0, m), "<sip:r>")
		}, replace("<sip:p1;lr>, <sip:p2;lr>", "<sip:r>")},
		{"a span at the beginning of a value that is set", func(p *sipmsg.Patch, m *sipmsg.Message) {
			at := uint16(strings.Index(m.Raw, "<sip:p1"))
			p.Replace(sipmsg.Span{Start: at, End: at + 4}, "q")
			p.SetValue(route(0, m), "<sip:r>")
		}, replace("<sip:p1;lr>, <sip:p2;lr>", "<sip:r>")},
		{"an empty span where a field is inserted", func(p *sipmsg.Patch, m *sipmsg.Message) {
			at := uint16(strings.Index(m.Raw, "Via"))
			p.Prepend(sipmsg.Via, "Via: 1")
			p.Replace(sipmsg.Span{Start: at, End: at}, "X-")
		}, replace("Via", "Via: 1\r\nX-Via")},
		{"spans side by side", func(p *sipmsg.Patch, m *sipmsg.Message) {
			at := uint16(strings.Index(m.Raw, "p2"))
			p.Replace(sipmsg.Span{Start: at + 1, End: at + 2}, "y")
			p.Replace(sipmsg.Span{Start: at, End: at + 1}, "x")
		}, replace("p2", "xy")},
		{"a whole line", func(p *sipmsg.Patch, m *sipmsg.Message) {
			for _, h := range m.All(sipmsg.Supported) {
				p.Replace(h.Line, "Allow: BYE")
			}
		}, replace("Supported:", "Allow: BYE")},
		{"the only Via", func(p *sipmsg.Patch, m *sipmsg.Message) { p.RemoveTopVia() },
			replace("Via: SIP/2.0/UDP 10.0.0.1\r\n", "")},
	}
	for _, tt := range tests {
		m := mustParse(t, small)
		p := sipmsg.NewPatch(m)
		tt.patch(p, m)
		if diff := cmp.Diff(tt.want, string(p.Bytes())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if diff := cmp.Diff(tt.want, string(p.Bytes())); diff != "" {
			t.Errorf("%s, written again (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestPatch_Values(t *testing.T) {
	m := mustParse(t, with("Contact: <sip:a>, <sip:b>\nm: <sip:c>\nContact:\n <sip:d>\n"))
	p := sipmsg.NewPatch(m)
	values := func() []string { return p.Values(sipmsg.Contact) }
	if want := []string{"<sip:a>, <sip:b>", "<sip:c>", "<sip:d>"}; !slices.Equal(values(), want) {
		t.Errorf("at first %q, want %q", values(), want)
	}
	p.Prepend(sipmsg.Contact, "Contact: <sip:e>")
	p.ReplaceElements(sipmsg.Contact, func(e string) string {
		switch e {
		case "<sip:a>":
			return "<sip:x\r\n>"
		case "<sip:c>":
			return ""
		}
		return e
	})
	if want := []string{"<sip:x  >, <sip:b>", "<sip:d>"}; !slices.Equal(values(), want) {
		t.Errorf("then %q, want %q", values(), want)
	}
	if got := p.Values(sipmsg.Route); got != nil {
		t.Errorf("Routes %q", got)
	}
}

// RFC 3261 sections 16.6 step 2 and 19.1.1: header fields of a URI are not for
// a Request-URI, where they would make a request that cannot be read. Otherwise
// it is as given (P-49).
func TestPatch_SetRequestURI(t *testing.T) {
	for uri, want := range map[string]string{
		"sip:401@1.2.3.4?subject=x":         "sip:401@1.2.3.4",
		"sip:401@1.2.3.4;line=a?Route=x&b=": "sip:401@1.2.3.4;line=a",
		"SIPS:b?c":                          "SIPS:b",
		"sip:a?b@c":                         "sip:a?b@c",
		"sip:a?b@c?d=e?f":                   "sip:a?b@c",
		"sip:a@b?c=d e":                     "sip:a@b",
		"sip:a@b;c=\"d\"":                   "sip:a@b;c=%22d%22",
		"tel:+49;x=?a":                      "tel:+49;x=?a",
		"http://a/?b":                       "http://a/?b",
		"sip:401@1.2.3.4;Line=%20X;ob":      "sip:401@1.2.3.4;Line=%20X;ob",
	} {
		p := sipmsg.NewPatch(mustParse(t, small))
		p.SetRequestURI(uri)
		if got := mustParse(t, string(p.Bytes())).RequestURI; got != want {
			t.Errorf("%s becomes %s, want %s", uri, got, want)
		}
	}
}

// hostile are texts that would end a value, a field, a header or a message.
var hostile = []string{
	"a\r\nInjected: b", "a\nInjected: b", "a\rInjected: b", "a\r\n\r\nbody", "\r\nInjected: b", "a\r\n", "\r\n", "\r\n\r\n", "\n", "\x00\x7f",
	"a\r\n Injected: b", "a SIP/2.0\r\nInjected: b\r\nX: ", " ", "",
}

// R5: whatever is put in, the message stays one, with the fields that it had
// and one more for each that was added.
func TestPatch_CannotInject(t *testing.T) {
	for _, text := range hostile {
		m := mustParse(t, small)
		want := names(t, m)
		p := sipmsg.NewPatch(m)
		p.Prepend(sipmsg.RecordRoute, text)
		p.Prepend(sipmsg.RecordRoute, "Record-Route: "+text)
		p.SetRequestURI("sip:" + text)
		p.ReplaceElements(sipmsg.Route, func(string) string { return "<sip:x>" + text })
		p.SetValue(index(t, m, sipmsg.Supported), text)
		for _, h := range m.All(sipmsg.MaxForwards) {
			p.Replace(h.Line, "Max-Forwards: 3;"+text)
		}
		raw := string(p.Bytes())
		got := headerLines(t, raw)
		line := got[0]
		if !strings.HasPrefix(line, "INVITE sip:") || !strings.HasSuffix(line, " SIP/2.0") || strings.Count(line, " ") != 2 {
			t.Errorf("%q: start line %q", text, line)
		}
		want = slices.Insert(want, 1, "Record-Route")
		var fields []string
		for _, l := range got[1:] {
			name, _, _ := strings.Cut(l, ":")
			fields = append(fields, strings.Fields(name)[0])
		}
		if strings.TrimSpace(strings.Map(printable, text)) != "" {
			first, _, _ := strings.Cut(strings.TrimSpace(strings.Map(printable, text)), ":")
			want = slices.Insert(want, 1, strings.Fields(first)[0])
		}
		if !slices.Equal(fields, want) {
			t.Errorf("%q: fields %q, want %q", text, fields, want)
		}
	}
}

// printable replaces what may not be in a line by a blank.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}

// names returns the names of all fields of m.
func names(t *testing.T, m *sipmsg.Message) []string {
	t.Helper()
	var all []string
	for _, line := range headerLines(t, m.Raw)[1:] {
		name, _, _ := strings.Cut(line, ":")
		all = append(all, strings.TrimSpace(name))
	}
	return all
}

// headerLines returns the lines of a header, folded ones joined. It has its
// own mind about what a line is: all that any reader could take for an end is
// one. The body must be empty.
func headerLines(t testing.TB, raw string) []string {
	t.Helper()
	header, ok := strings.CutSuffix(raw, "\r\n\r\n")
	if !ok {
		t.Errorf("no empty line at the end of %q", raw)
	}
	header = strings.ReplaceAll(header, "\r\n ", " ")
	header = strings.ReplaceAll(header, "\r\n\t", " ")
	all := strings.Split(header, "\r\n")
	for _, line := range all {
		if line == "" || strings.ContainsAny(line, "\r\n\x00\x7f") {
			t.Errorf("line %q in %q", line, raw)
		}
	}
	return all
}

// A patch of what Parse refused is not allowed, but no reason to crash.
func TestPatch_OfFaultyMessage(t *testing.T) {
	for _, raw := range []string{"", "x", "OPTIONS sip:a SIP/2.0\r\n", "OPTIONS sip:a SIP/2.0\r\n\r\n", change(t, "Via", "X"), with("X: \x00\n")} {
		m, err := sipmsg.Parse(raw)
		if err == nil {
			t.Fatalf("%q is accepted", raw)
		}
		m.Stamp(phone, true)
		forwardString(m)
		p := sipmsg.NewPatch(m)
		p.RemoveTopVia()
		p.Bytes()
		m.Derive("ACK", "")
		m.Respond(400, "Bad Request", "t")
	}
}

// TestPatch_SetBody: a new body is there as it is, with its length, whatever
// the old one was and however often it is replaced.
func TestPatch_SetBody(t *testing.T) {
	for _, lengths := range []string{"", "Content-Length: 5\r\n", "l:5\r\n", "Content-Length: 5\r\nContent-Length: 5\r\n"} {
		for _, old := range []string{"v=0\r\n"[:5], "a\r\nb\n"[:5]} {
			for _, body := range []string{"", "x", "v=0\r\no=-\r\n", "\x00\r\n\r\n"} {
				m := mustParse(t, "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a>;tag=f\r\nTo: <sip:a>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n"+lengths+"Subject: l\r\n\r\n"+old)
				p := sipmsg.NewPatch(m)
				p.SetBody("another\r\n")
				p.SetBody(body)
				p.Prepend(sipmsg.Via, "Via: SIP/2.0/UDP p;branch=z9hG4bKy")
				again := mustParse(t, string(p.Bytes()))
				if again.Body() != body || again.Get(sipmsg.ContentLength) != strconv.Itoa(len(body)) {
					t.Errorf("with %q: body %q, want %q\n%s", lengths, again.Body(), body, again.Raw)
				}
				if want := len(m.Raw) - len(old) + len(body); lengths == "l:5\r\n" && body != "v=0\r\no=-\r\n" && len(again.Raw) != want+len("Via: SIP/2.0/UDP p;branch=z9hG4bKy\r\n") {
					t.Errorf("more was changed than the body:\n%s", again.Raw)
				}
			}
		}
	}
}

// On a stream a message may be longer than a [sipmsg.Span] can tell. Of the old
// body nothing is left, which would be read as another message.
func TestPatch_SetBodyOfLongMessage(t *testing.T) {
	head := strings.TrimSuffix(small, "Content-Length: 0\r\n\r\n")
	for _, size := range []int{1<<16 - 1, 1 << 16, 1<<16 + 1, 1<<17 + len(head)} {
		n := size - len(head+"Content-Length: 65000\r\n\r\n")
		m := mustParse(t, head+"Content-Length: "+strconv.Itoa(n)+"\r\n\r\n"+strings.Repeat("x", n))
		p := sipmsg.NewPatch(m)
		p.SetBody("v=0\r\n")
		if got, want := string(p.Bytes()), head+"Content-Length: 5\r\n\r\nv=0\r\n"; got != want {
			t.Errorf("of %d bytes are left %d, want %d", len(m.Raw), len(got), len(want))
		}
	}
}
