package sipmsg_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

func TestParse_StartLine(t *testing.T) {
	type result struct {
		Method, URI string
		Status      int
		Reason      string
		Fault       int
	}
	tests := []struct {
		line string
		want result
	}{
		{"INVITE sip:a SIP/2.0", result{Method: "INVITE", URI: "sip:a"}},
		{"INVITE sip:a sip/2.0", result{Method: "INVITE", URI: "sip:a"}},
		{"INVITE tel:+49;x=y SIP/2.0", result{Method: "INVITE", URI: "tel:+49;x=y"}},
		{"INVITE sip:a?b@c SIP/2.0", result{Method: "INVITE", URI: "sip:a?b@c"}},
		{"INVITE http://a/?b SIP/2.0", result{Method: "INVITE", URI: "http://a/?b"}},
		{"SIP/2.0 200 OK", result{Status: 200, Reason: "OK"}},
		{"sip/2.0 200 OK", result{Status: 200, Reason: "OK"}},
		{"SIP/2.0 183 a\tb  c ", result{Status: 183, Reason: "a\tb  c "}},
		{"SIP/2.0 486 ", result{Status: 486}},
		{"SIP/2.0 486", result{Status: 486}}, // without the blank that belongs there
		{"SIP/2.0 699 x", result{Status: 699, Reason: "x"}},

		// R12: other versions.
		{"INVITE sip:a SIP/3.0", result{Method: "INVITE", URI: "sip:a", Fault: 505}},
		{"INVITE sip:a SIP/2.00", result{Method: "INVITE", URI: "sip:a", Fault: 505}},
		{"SIP/2.1 200 OK", result{Status: 200, Reason: "OK", Fault: 505}},

		{"INVITE sip:a HTTP/1.1", result{Method: "INVITE", Fault: 400}},
		{"INVITE sip:a", result{Method: "INVITE", Fault: 400}},
		{"INVITE sip:a ", result{Method: "INVITE", Fault: 400}},
		{"INVITE", result{Fault: 400}},
		{" INVITE sip:a SIP/2.0", result{Fault: 400}},
		{"IN/VITE sip:a SIP/2.0", result{Fault: 400}},
		{"INVITE\tsip:a\tSIP/2.0", result{Fault: 400}},
		{"INVITE  sip:a SIP/2.0", result{Method: "INVITE", URI: " sip:a", Fault: 400}},
		{"INVITE sip:a  SIP/2.0", result{Method: "INVITE", URI: "sip:a ", Fault: 400}},
		{"INVITE sip:a SIP/2.0 ", result{Method: "INVITE", Fault: 400}},
		{"INVITE <sip:a> SIP/2.0", result{Method: "INVITE", URI: "<sip:a>", Fault: 400}},
		{"INVITE sip:\"a\" SIP/2.0", result{Method: "INVITE", URI: "sip:\"a\"", Fault: 400}},
		{"INVITE sip:a b SIP/2.0", result{Method: "INVITE", URI: "sip:a b", Fault: 400}},
		{"INVITE a SIP/2.0", result{Method: "INVITE", URI: "a", Fault: 400}},
		{"INVITE :a SIP/2.0", result{Method: "INVITE", URI: ":a", Fault: 400}},
		{"INVITE  SIP/2.0", result{Method: "INVITE", Fault: 400}},
		{"INVITE sip:a@b?Route=c SIP/2.0", result{Method: "INVITE", URI: "sip:a@b?Route=c", Fault: 400}},
		{"INVITE sip:a?b@c?d SIP/2.0", result{Method: "INVITE", URI: "sip:a?b@c?d", Fault: 400}},
		{"INVITE SIPS:b?Route=c SIP/2.0", result{Method: "INVITE", URI: "SIPS:b?Route=c", Fault: 400}},

		{"SIP/2.0 99 x", result{Status: -1, Fault: 400}},
		{"SIP/2.0 099 x", result{Status: -1, Fault: 400}},
		{"SIP/2.0 700 x", result{Status: -1, Fault: 400}},
		{"SIP/2.0 0200 x", result{Status: -1, Fault: 400}},
		{"SIP/2.0 +20 x", result{Status: -1, Fault: 400}},
		{"SIP/2.0  200 x", result{Status: -1, Fault: 400}},
		{"SIP/2.0 4294967496 x", result{Status: -1, Fault: 400}},
		{"SIP/2.0", result{Status: -1, Fault: 400}},
	}
	for _, tt := range tests {
		raw := tt.line + lines(`
Via: SIP/2.0/UDP 10.0.0.1
From: <sip:1@a.test>;tag=1
To: <sip:2@a.test>
Call-ID: c
CSeq: 1 INVITE

`)
		m, err := sipmsg.Parse(raw)
		got := result{m.Method, m.RequestURI, m.Status, m.Reason, status(t, err)}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.line, diff)
		}
	}
}

// R4: which of two values counts would depend on the reader.
func TestParse_Duplicates(t *testing.T) {
	tests := []struct {
		fields string
		want   int
	}{
		{"From: <sip:1@a.test>;tag=2\n", 400},
		{"f: <sip:1@a.test>;tag=2\n", 400},
		{"f: <sip:1@a.test>;tag=1\n", 0},
		{"From: <sip:1@a.test>\n ;tag=1\n", 400}, // the blank makes a difference
		{"To: <sip:3@a.test>\n", 400},
		{"t : <sip:2@a.test> \n", 0},
		{"Call-ID: d\n", 400},
		{"Call-ID: C\n", 400},
		{"i:\n c\n", 0},
		{"CSeq: 2 OPTIONS\n", 400},
		{"CSeq: 1 INVITE\n", 400},
		{"CSEQ: 1 OPTIONS\n", 0},
		{"Content-Length: 5\n", 400},
		{"l: 0\n", 0},
		{"l: 00\n", 400},
		{"Max-Forwards: 1\nMax-Forwards: 2\n", 400},
		{"Max-Forwards: 1\nmax-forwards: 1\n", 0},
		{"Subject: a\nSubject: b\nContact: <sip:a>\nm: <sip:b>\nVia: SIP/2.0/UDP b\n", 0},
	}
	for _, tt := range tests {
		if _, err := sipmsg.Parse(with(tt.fields)); status(t, err) != tt.want {
			t.Errorf("%q: %v, want status %d", tt.fields, err, tt.want)
		}
	}
}

// R5: no control character gets through in a header, wherever it is. A tab is
// a blank.
func TestParse_ControlCharacters(t *testing.T) {
	places := map[string]string{
		"reason":       "SIP/2.0 200 a%sb\r\nVia: SIP/2.0/UDP 10.0.0.1\r\n",
		"URI":          "OPTIONS sip:a%sb SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1\r\n",
		"name":         "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1\r\nX%sY: z\r\n",
		"value":        "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1\r\nX: a%sb\r\n",
		"end":          "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1\r\nX: a%s\r\n",
		"quoted":       "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1\r\nX: \"a\\%sb\"\r\n",
		"continuation": "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1\r\nX: a\r\n b%sc\r\n",
	}
	const rest = "From: <sip:1@a.test>;tag=1\r\nTo: <sip:2@a.test>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n\x00\x01\r\n\r"
	for name, place := range places {
		for c := range 256 {
			want := 0
			switch ascii := c >= ' ' && c < 0x7f; {
			case name == "URI" && c == '\t', name == "name" && !ascii:
				want = 400
			case c < ' ' && c != '\t' || c == 0x7f:
				want = 400
			case ascii && name != "value": // ordinary characters are other tests' business
				continue
			}
			if _, err := sipmsg.Parse(fmt.Sprintf(place, string([]byte{byte(c)})) + rest); status(t, err) != want {
				t.Errorf("%s, %#02x: %v, want status %d", name, c, err, want)
			}
		}
	}
}

// R5: the search for control characters looks at eight bytes at a time; it
// must find them at any distance and beside any other byte, and no others.
func TestParse_ControlCharacterAnywhere(t *testing.T) {
	refused := func(c int) bool { return c < ' ' && c != '\t' || c == 0x7f }
	prefix, rest, _ := strings.Cut(with("X: here\n"), "here")
	for _, a := range []int{0x00, 0x09, 0x1f, 0x20, 0x21, 0x7e, 0x7f, 0x80, 0x9f, 0xa0, 0xfe, 0xff} {
		for b := range 256 {
			for _, pair := range []string{string([]byte{byte(a), byte(b)}), string([]byte{byte(b), byte(a)})} {
				raw := prefix + "0123"[:b%5] + pair + "0123456789" + rest
				if _, err := sipmsg.Parse(raw); (status(t, err) == 400) != (refused(a) || refused(b)) {
					t.Errorf("%q: %v", pair, err)
				}
			}
		}
	}
	for n := range 40 {
		for c := range 256 {
			raw := prefix + strings.Repeat("\t~", n) + string([]byte{byte(c)}) + "012345" + rest
			if _, err := sipmsg.Parse(raw); (status(t, err) == 400) != refused(c) {
				t.Errorf("%#02x at %d: %v", c, n, err)
			}
		}
	}
}

// R5: bare LF and CR as line ends, around fields that one reader would see and
// another would not.
func TestParse_BareLineEnds(t *testing.T) {
	tests := []string{
		"X: a\nInjected: b\r\n",
		"X: a\rInjected: b\r\n",
		"X: a\n\r\n",
		"X: a\r\r\n",
		"X: a\n\nINVITE sip:b SIP/2.0\r\n",
		"X: a\r\n\n",
		"X: a\r\n\r",
	}
	for _, fields := range tests {
		raw := strings.Replace(with(""), "From:", fields+"From:", 1)
		m, err := sipmsg.Parse(raw)
		if status(t, err) != 400 {
			t.Errorf("%q: %v, want status 400", fields, err)
		}
		if !m.Answerable() {
			t.Errorf("%q: not answerable", fields)
		}
		if b := string(m.Respond(400, "Bad Request", "t")); strings.Contains(b, "X:") || strings.Contains(b, "Injected") {
			t.Errorf("%q: answer\n%s", fields, b)
		}
	}
	for _, raw := range []string{"", "\r\n\r\n", "\n", "x", "\r\nOPTIONS sip:a SIP/2.0", strings.ReplaceAll(with(""), "\r", "")} {
		if m, err := sipmsg.Parse(raw); status(t, err) != 400 || m.Answerable() {
			t.Errorf("%q: %v, want status 400 and no answer", raw, err)
		}
	}
}

func TestParse_FieldNames(t *testing.T) {
	tests := []struct {
		field string
		want  int
	}{
		{"X : y\n", 0},
		{"X\t \t:y\n", 0},
		{"X:\n", 0},
		{"!%*_+`'~.-09azAZ: y\n", 0},
		{"X\n", 400},
		{": y\n", 400},
		{" : y\n", 400},
		{"X Y: z\n", 400},
		{"X(Y): z\n", 400},
		{"X\n : y\n", 400}, // the colon must be on the line of the name
		{"Ä: y\n", 400},
		{" X: y\n", 400}, // nothing to be folded into
	}
	for _, tt := range tests {
		m, err := sipmsg.Parse(with(tt.field))
		if status(t, err) != tt.want {
			t.Errorf("%q: %v, want status %d", tt.field, err, tt.want)
		}
		if !m.Answerable() || m.CallID != "c" {
			t.Errorf("%q: the fields below are not read", tt.field)
		}
	}
}

// R10: any blanks in a CSeq, and its method is the request's.
func TestParse_CSeq(t *testing.T) {
	tests := []struct {
		value  string
		status int
		number uint32
	}{
		{"1 OPTIONS", 0, 1},
		{"1   OPTIONS", 0, 1},
		{" 1 \t  OPTIONS\t", 0, 1},
		{"1\n OPTIONS", 0, 1},
		{"\n 0001\n\t\n OPTIONS", 0, 1},
		{"0 OPTIONS", 0, 0},
		{"2147483647 OPTIONS", 0, 1<<31 - 1},
		{"2147483648 OPTIONS", 400, 0},
		{"4294967297 OPTIONS", 400, 0},
		{"36893488147419103233 OPTIONS", 400, 0},
		{"-1 OPTIONS", 400, 0},
		{"1OPTIONS", 400, 0},
		{"OPTIONS", 400, 0},
		{"1", 400, 0},
		{"1 ", 400, 0},
		{"", 400, 0},
		{"1 OPTIONS x", 400, 0},
		{"1 OPT/IONS", 400, 0},
		{"1 INVITE", 400, 1},
		{"1 options", 400, 1},
	}
	for _, tt := range tests {
		m, err := sipmsg.Parse(change(t, "1 OPTIONS", tt.value))
		if status(t, err) != tt.status || m.CSeq != tt.number {
			t.Errorf("%q: %d, %v, want %d, status %d", tt.value, m.CSeq, err, tt.number, tt.status)
		}
	}
	if m := mustParse(t, strings.Replace(answer, "1 INVITE", "77 \t BYE", 1)); m.CSeq != 77 || m.CSeqMethod != "BYE" {
		t.Errorf("response: %d %q", m.CSeq, m.CSeqMethod)
	}
}

// R12: what is missing is answered if a Via says where to.
func TestParse_Missing(t *testing.T) {
	for _, field := range []string{"From: <sip:1@a.test>;tag=1\n", "To: <sip:2@a.test>\n", "Call-ID: c\n", "CSeq: 1 OPTIONS\n", "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa\n"} {
		raw := change(t, field, "")
		name, _, _ := strings.Cut(field, ":")
		m, err := sipmsg.Parse(raw)
		if status(t, err) != 400 {
			t.Errorf("no %s: %v, want status 400", name, err)
		}
		if got, want := m.Answerable(), name != "Via"; got != want {
			t.Errorf("no %s: Answerable %v, want %v", name, got, want)
		}
		response := strings.Replace(answer, lines(field), "", 1)
		if i := strings.Index(answer, name+": "); i >= 0 {
			end := strings.Index(answer[i:], "\r\n") + 2
			response = answer[:i] + answer[i+end:]
		}
		if name == "Via" { // there are two
			response = strings.Replace(response, "Via: SIP/2.0/UDP 192.168.178.45:5060", "X-Via: x", 1)
		}
		if m, err := sipmsg.Parse(response); err == nil || m.Answerable() {
			t.Errorf("response without %s: %v, answerable %v", name, err, m.Answerable())
		}
	}
	for _, tt := range []struct{ old, text string }{
		{"Call-ID: c\n", "Call-ID:\n"},
		{"Call-ID: c\n", "Call-ID: \n \n"},
		{"Call-ID: c\n", "Call-ID: c d\n"},
		{"Call-ID: c\n", "Call-ID: c\n d\n"},
		{"From: <sip:1@a.test>;tag=1\n", "From:\n"},
		{"To: <sip:2@a.test>\n", "To: \n"},
		{"Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa\n", "Via: \n"},
	} {
		if m, err := sipmsg.Parse(change(t, tt.old, tt.text)); status(t, err) != 400 || !m.Answerable() {
			t.Errorf("%q: %v, want status 400 and an answer", tt.text, err)
		}
	}
}

// An ACK is never answered, whatever is wrong with it.
func TestAnswerable_ACK(t *testing.T) {
	raw := strings.ReplaceAll(with("Max-Forwards: x\n"), "OPTIONS", "ACK")
	if m, err := sipmsg.Parse(raw); err == nil || m.Answerable() {
		t.Errorf("%v, answerable %v", err, m.Answerable())
	}
}

// R12: the body is as long as Content-Length says, and never longer than what
// came.
func TestParse_ContentLength(t *testing.T) {
	tests := []struct {
		field, body string
		status      int
		want        string
	}{
		{"Content-Length: 5\n", "hello", 0, "hello"},
		{"Content-Length: 4\n", "hello", 0, "hell"},
		{"Content-Length: 0\n", "hello", 0, ""},
		{"Content-Length: 005\n", "hello", 0, "hello"},
		{"l\t:\n 5 \n", "hello", 0, "hello"},
		{"", "hello", 0, "hello"},
		{"", "", 0, ""},
		{"Content-Length: 6\n", "hello", 400, "hello"},
		{"Content-Length: 2147483647\n", "hello", 400, "hello"},
		{"Content-Length: 18446744073709551617\n", "hello", 400, "hello"},
		{"Content-Length: -1\n", "hello", 400, "hello"},
		{"Content-Length: +5\n", "hello", 400, "hello"},
		{"Content-Length: 5 5\n", "hello", 400, "hello"},
		{"Content-Length: 5, 5\n", "hello", 400, "hello"},
		{"Content-Length: 0x5\n", "hello", 400, "hello"},
		{"Content-Length: five\n", "hello", 400, "hello"},
		{"Content-Length:\n", "hello", 400, "hello"},
	}
	for _, tt := range tests {
		raw := change(t, "Content-Length: 0\n", tt.field) + tt.body
		m, err := sipmsg.Parse(raw)
		if status(t, err) != tt.status || m.Body() != tt.want {
			t.Errorf("%q: %q, %v, want %q, status %d", tt.field, m.Body(), err, tt.want, tt.status)
		}
		response := "SIP/2.0 200 OK\r\n" + raw[strings.Index(raw, "\r\n")+2:]
		m, err = sipmsg.Parse(response)
		if status(t, err) != tt.status || m.Answerable() {
			t.Errorf("response, %q: %v, want status %d and no answer", tt.field, err, tt.status)
		}
	}
}

// A fault before the end of the header leaves nothing half done: what was read
// before it can be used, whatever lengths it tells.
func TestParse_FaultAfterContentLength(t *testing.T) {
	for _, rest := range []string{"", "X", "X: y", "X: \x00\r\n", strings.Repeat("X: y\r\n", 300), strings.Repeat("X: y\r\n", 20000)} {
		raw := strings.TrimSuffix(change(t, "Content-Length: 0\n", "Content-Length: 1\n"), "\r\n") + rest
		m, err := sipmsg.Parse(raw)
		if err == nil || !m.Answerable() || m.Body() != "" && rest != "" {
			t.Errorf("%.20q: %v, body %.20q", rest, err, m.Body())
		}
		if got := mustParse(t, string(m.Respond(400, "Bad Request", "t"))); got.CallID != "c" || got.CSeq != 1 {
			t.Errorf("%.20q: answer\n%s", rest, got.Raw)
		}
	}
}

// A header has room for what it needs, and for no more.
func TestParse_Limits(t *testing.T) {
	tests := []struct {
		name   string
		fields string
		want   int
	}{
		{"255 fields", strings.Repeat("X: y\n", 249), 0},
		{"256 fields", strings.Repeat("X: y\n", 250), 513},
		{"65535 bytes", "X: " + strings.Repeat("y", 65535-len(with(""))-len("X: \r\n")) + "\n", 0},
		{"65536 bytes", "X: " + strings.Repeat("y", 65536-len(with(""))-len("X: \r\n")) + "\n", 513},
		{"100000 bytes", "X: " + strings.Repeat("y", 100000) + "\n", 513},
	}
	for _, tt := range tests {
		for _, body := range []string{"", "body"} {
			m, err := sipmsg.Parse(strings.Replace(with(tt.fields), "Content-Length: 0", fmt.Sprintf("Content-Length: %d", len(body)), 1) + body)
			if status(t, err) != tt.want {
				t.Errorf("%s: %v, want status %d", tt.name, err, tt.want)
			}
			if err == nil && (m.CallID != "c" || m.Body() != body) {
				t.Errorf("%s: Call-ID %q, body %q", tt.name, m.CallID, m.Body())
			}
		}
	}
	long := "OPTIONS sip:" + strings.Repeat("a", 70000) + strings.TrimPrefix(with(""), "OPTIONS sip:a.test")
	if m, err := sipmsg.Parse(long); status(t, err) != 513 || m.Answerable() {
		t.Errorf("long URI: %v, want status 513", err)
	}
}

// From and To are one address each, with one tag at most.
func TestParse_Tags(t *testing.T) {
	tests := []struct {
		value, tag string
		status     int
	}{
		{"<sip:1@a.test>", "", 0},
		{"<sip:1@a.test>;tag=x", "x", 0},
		{"sip:1@a.test;tag=x", "x", 0},
		{"sip:1@a.test ;  TAG =  x", "x", 0},
		{"<sip:1@a.test;tag=u>", "", 0}, // the URI's
		{`"tag=a;tag=b <sip:x>" <sip:1@a.test>;x=";tag=y";Tag=x;z`, "x", 0},
		{"<sip:1@a.test>;tag=a/b=c;", "a/b=c", 0},
		{"<sip:1@a.test>;tag", "", 400},
		{"<sip:1@a.test>;tag=", "", 400},
		{"<sip:1@a.test>;tag=x;tag=y", "", 400},
		{"<sip:1@a.test>;tag=x;TAG=x", "", 400},
		{"<sip:1@a.test>;tag=x y", "", 400},
		{`<sip:1@a.test>;tag="x"`, "", 400},
		{"<sip:1@a.test>;tag=x,<sip:2@a.test>", "", 400},
		{"<sip:1@a.test>, <sip:2@a.test>;tag=x", "", 400},
		{"sip:1@a.test,sip:2@a.test;tag=x", "", 400},
		{"<sip:1@a.test;tag=x", "", 400},
		{`"A <sip:1@a.test>;tag=x`, "", 400},
	}
	for _, tt := range tests {
		m, err := sipmsg.Parse(change(t, "<sip:1@a.test>;tag=1", tt.value))
		if status(t, err) != tt.status || m.FromTag != tt.tag {
			t.Errorf("From %q: tag %q, %v, want %q, status %d", tt.value, m.FromTag, err, tt.tag, tt.status)
		}
		m, err = sipmsg.Parse(change(t, "<sip:2@a.test>", tt.value))
		if status(t, err) != tt.status || m.ToTag != tt.tag {
			t.Errorf("To %q: tag %q, %v, want %q, status %d", tt.value, m.ToTag, err, tt.tag, tt.status)
		}
	}
}
