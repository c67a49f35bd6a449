package sipmsg_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

func TestRespond(t *testing.T) {
	request := lines(`INVITE sip:a.test SIP/2.0
Max-Forwards: 70
v: SIP/2.0/UDP 10.0.0.1:5062;rport;branch=z9hG4bKa,SIP/2.0/TCP b.test;branch=z9hG4bKb
timestamp: 54.3
Record-Route: <sip:b.test;lr>
FROM : "A" <sip:1@a.test>
 ;tag=1
Subject: x
Via: SIP/2.0/TCP c.test;branch=z9hG4bKc
Call-ID:c@d
t: <sip:2@a.test>  
CSeq:   1   INVITE
From: "A" <sip:1@a.test> ;tag=1
Content-Type: text/plain
Content-Length: 5

hello`)
	const vias = "v: SIP/2.0/UDP 10.0.0.1:5062;rport=40312;branch=z9hG4bKa;received=198.51.100.7,SIP/2.0/TCP b.test;branch=z9hG4bKb\r\n"
	const from = "FROM : \"A\" <sip:1@a.test>\r\n ;tag=1\r\nVia: SIP/2.0/TCP c.test;branch=z9hG4bKc\r\nCall-ID:c@d\r\nt: <sip:2@a.test>"
	tests := []struct {
		name   string
		status int
		reason string
		tag    string
		extra  []string
		want   string
	}{
		{"100 with Timestamp and without tag", 100, "Trying", "abc", nil,
			"SIP/2.0 100 Trying\r\n" + vias + "timestamp: 54.3\r\n" + from + "\r\nCSeq:   1   INVITE\r\nContent-Length: 0\r\n\r\n"},
		{"final", 404, "Nicht gefunden ☹", "abc", nil,
			"SIP/2.0 404 Nicht gefunden ☹\r\n" + vias + from + ";tag=abc\r\nCSeq:   1   INVITE\r\nContent-Length: 0\r\n\r\n"},
		{"more fields", 503, "", "abc", []string{"Retry-After: 10", "", "X: y"},
			"SIP/2.0 503 \r\n" + vias + from + ";tag=abc\r\nCSeq:   1   INVITE\r\nRetry-After: 10\r\nX: y\r\nContent-Length: 0\r\n\r\n"},
		{"no tag", 200, "OK", "", nil,
			"SIP/2.0 200 OK\r\n" + vias + from + "\r\nCSeq:   1   INVITE\r\nContent-Length: 0\r\n\r\n"},
	}
	m := mustParse(t, request)
	m.Stamp(phone, false)
	for _, tt := range tests {
		b := m.Respond(tt.status, tt.reason, tt.tag, tt.extra...)
		if diff := cmp.Diff(tt.want, string(b)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if cap(b)-len(b) > 128 {
			t.Errorf("%s: %d bytes in vain", tt.name, cap(b)-len(b))
		}
		mustParse(t, string(b))
	}
}

// The tag goes where it is the field's, not the URI's, and only if there is
// none and it is known that there is none.
func TestRespond_Tag(t *testing.T) {
	tests := []struct{ to, want string }{
		{"<sip:2@a.test>", "<sip:2@a.test>;tag=new"},
		{"sip:2@a.test", "sip:2@a.test;tag=new"},
		{"sip:2@a.test;x=y", "sip:2@a.test;x=y;tag=new"},
		{"<sip:2@a.test;tag=u>", "<sip:2@a.test;tag=u>;tag=new"},
		{"\"tag=q\"\n <sip:2@a.test>\n ;x\n ", "\"tag=q\"\n <sip:2@a.test>\n ;x;tag=new"},
		{"<sip:2@a.test>;TAG=old", "<sip:2@a.test>;TAG=old"},
		// faulty: nobody can tell
		{"\"2 <sip:2@a.test>", "\"2 <sip:2@a.test>"},
		{"<sip:2@a.test>;tag=", "<sip:2@a.test>;tag="},
		{"<sip:2@a.test>;tag=a;tag=b", "<sip:2@a.test>;tag=a;tag=b"},
		{"", ""},
	}
	for _, tt := range tests {
		m, _ := sipmsg.Parse(change(t, "<sip:2@a.test>", tt.to))
		got := string(m.Respond(400, "Bad Request", "new"))
		if want := lines("\nTo: " + tt.want + "\n"); !strings.Contains(got, want) {
			t.Errorf("%q: no %q in\n%s", tt.to, want, got)
		}
	}
}

// R12: the answer has what could be read.
func TestRespond_ToFaulty(t *testing.T) {
	tests := []struct {
		raw  string
		want []string
	}{
		{lines("INVITE sip:a SIP/7.0\nVia: SIP/7.0/UDP a\nFrom: <sip:1@a>;tag=1\nTo: <sip:2@a>\nCall-ID: c\nCSeq: 1 INVITE\n\n"),
			[]string{"SIP/2.0 505 x", "Via: SIP/7.0/UDP a", "From: <sip:1@a>;tag=1", "To: <sip:2@a>;tag=new", "Call-ID: c", "CSeq: 1 INVITE", "Content-Length: 0"}},
		{lines("INVITE sip:a SIP/2.0\nVia: SIP/2.0/UDP a\nCSeq: 1 INVITE\n\n"),
			[]string{"SIP/2.0 400 x", "Via: SIP/2.0/UDP a", "CSeq: 1 INVITE", "Content-Length: 0"}},
		{lines("INVITE sip:a SIP/2.0\nVia: SIP/2.0/UDP a\nCall-ID: c\nCSeq: 2 INVITE\nCSeq: 3 INVITE\nCall-ID: d\nTo: sip:1\nTo: sip:2\n\n"),
			[]string{"SIP/2.0 400 x", "Via: SIP/2.0/UDP a", "Call-ID: c", "CSeq: 2 INVITE", "To: sip:1;tag=new", "Content-Length: 0"}},
		{lines("INVITE sip:a SIP/2.0\nX: \x01\nVia: SIP/2.0/UDP a\nFrom: \x02\n more\nTo: <sip:2@a>\nCall-ID: c\nCSeq: 1 INVITE\nX"),
			[]string{"SIP/2.0 400 x", "Via: SIP/2.0/UDP a", "To: <sip:2@a>;tag=new", "Call-ID: c", "CSeq: 1 INVITE", "Content-Length: 0"}},
	}
	for _, tt := range tests {
		m, err := sipmsg.Parse(tt.raw)
		if !m.Answerable() {
			t.Errorf("%q: not answerable", tt.raw)
		}
		got := headerLines(t, string(m.Respond(status(t, err), "x", "new")))
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.raw, diff)
		}
	}
}

// R5: a fault that quotes the message cannot put anything into the answer, nor
// can who answers.
func TestRespond_CannotInject(t *testing.T) {
	m := mustParse(t, with(""))
	want := headerLines(t, string(m.Respond(404, "x", "x", "X: y")))
	for _, text := range hostile {
		got := headerLines(t, string(m.Respond(404, text, "x"+text, "X: "+text)))
		if len(got) != len(want) || !strings.HasPrefix(got[0], "SIP/2.0 404 ") {
			t.Errorf("%q: %q", text, got)
		}
		got = headerLines(t, string(m.Respond(404, "x", "x", text, text)))
		more := 2
		if strings.TrimSpace(strings.Map(printable, text)) == "" {
			more = 0
		}
		if len(got) != len(want)-1+more {
			t.Errorf("%q as a field: %q", text, got)
		}
	}
}

// R25: the ACK for a non-2xx and the CANCEL of an INVITE.
func TestDerive(t *testing.T) {
	sent := lines(`INVITE sip:402@198.51.100.9 SIP/2.0
Via: SIP/2.0/UDP 203.0.113.5;branch=z9hG4bKours
Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa
Max-Forwards: 5
Route: <sip:p1;lr>,
 <sip:p2;lr>
Contact: <sip:1@10.0.0.1>
From: "A" <sip:1@a.test>;tag=1
To: <sip:2@a.test>
Route: <sip:p3;lr>
i: c
CSeq: 0009 INVITE
Require: timer
Proxy-Require: x
From: "A" <sip:1@a.test>;tag=1
Content-Length: 5

hello`)
	const head = " sip:402@198.51.100.9 SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.5;branch=z9hG4bKours\r\nMax-Forwards: 70\r\n" +
		"Route: <sip:p1;lr>,\r\n <sip:p2;lr>\r\nFrom: \"A\" <sip:1@a.test>;tag=1\r\nRoute: <sip:p3;lr>\r\ni: c\r\n"
	m := mustParse(t, sent)
	tests := []struct{ got, want string }{
		{string(m.Derive("ACK", "<sip:2@a.test>;tag=2")),
			"ACK" + head + "To: <sip:2@a.test>;tag=2\r\nCSeq: 9 ACK\r\nContent-Length: 0\r\n\r\n"},
		{string(m.Derive("CANCEL", "", "Reason: SIP;cause=200", "")),
			"CANCEL" + head + "To: <sip:2@a.test>\r\nCSeq: 9 CANCEL\r\nReason: SIP;cause=200\r\nContent-Length: 0\r\n\r\n"},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		mustParse(t, tt.got)
	}
	for _, text := range hostile {
		got := headerLines(t, string(m.Derive("ACK", "x"+text, "X: "+text)))
		if len(got) != 11 {
			t.Errorf("%q: %q", text, got)
		}
	}
	// Ours is the first of a list.
	list := strings.Replace(sent, "z9hG4bKours\r\nVia: ", "z9hG4bKours , ", 1)
	if got := string(mustParse(t, list).Derive("ACK", "<sip:2@a.test>;tag=2")); got != tests[0].want {
		t.Errorf("list: %s", got)
	}
}
