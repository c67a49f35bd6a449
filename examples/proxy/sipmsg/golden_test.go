package sipmsg_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// R1: what is not the proxy's passes byte for byte, in requests and responses.
func TestForward_ByteForByte(t *testing.T) {
	tests := []struct{ name, fields, body string }{
		{"nothing", "", ""},
		{"Refer-To with header parameters", "Refer-To: \"C. Callee\" <sip:9@c.test;method=INVITE?Replaces=a%40b%3Bto-tag%3D1>;method=BYE;early-only\r\n", ""},
		{"quoted blanks", "Contact: \"a  b\" <sip:1@a.test>;text=\"hello   world\"\r\n", ""},
		{"parameter twice", "Contact: <sip:1@a.test>;x=1;x=2\r\n", ""},
		{"comma list in one field", "Contact: <sip:1@a.test>,\"x, y\"<sip:2@a.test> ,  <sip:3@a.test>;q=0.5\r\n", ""},
		{"star", "Contact: *\r\nExpires: 0\r\n", ""},
		{"empty display name", "Contact: \"\"<sip:1@a.test>\r\n", ""},
		{"bare address", "Contact: sip:1@a.test;expires=60\r\n", ""},
		{"escaped quote", `Contact: "a \"b\" \\" <sip:1@a.test>` + "\r\n", ""},
		{"unknown fields", "X-Foo: bar\r\nx-FOO:baz\r\nX_y.z!%*+`'~-1:\t a\tb \t\r\n", ""},
		{"empty values", "Supported:\r\nSubject:   \r\nX-Empty :\r\n", ""},
		{"compact names", "k: timer, 100rel\r\nm: <sip:1@a.test>\r\nr: <sip:9@c.test>\r\nX: 1800;refresher=uac\r\n", ""},
		{"name in odd case, blanks at the colon", "uSER-aGENT \t :  phone \r\n", ""},
		{"folded", "Subject: one\r\n two\r\n\t three\r\nAccept:\r\n application/sdp\r\n", ""},
		{"UTF-8 and Latin-1", "Subject: Grüße, 世界 🙂\r\nX-Latin: Gr\xfc\xdfe\r\n", ""},
		{"other schemes", "Contact: <tel:+4930123456;phone-context=a.test>\r\nP-Asserted-Identity: <tel:+4930123456>\r\n", ""},
		{"upper case scheme", "Contact: <SIP:1@A.TEST;LR;Transport=UDP>\r\n", ""},
		{"credentials", "Authorization: Digest username=\"a\", realm=\"x, y\", nonce=\"a==\", uri=\"sip:a\", response=\"0\"\r\n", ""},
		{"Via elsewhere", "Subject: x\r\nVia: SIP/2.0/TCP b.test:5070;branch=z9hG4bKb;x=\"a b\",SIP/2.0/UDP c.test\r\nX: y\r\n", ""},
		{"text body", "Content-Type: text/plain\r\n", "hello\r\n"},
		{"binary body", "Content-Type: application/octet-stream\r\n", "\x00\x01\xff\r\n\r\nVia: SIP/2.0/UDP evil\r\n\n\r\x7f\x00"},
		{"body that looks like a message", "", invite},
	}
	rest := func(maxForwards int, body string) string {
		return fmt.Sprintf("Max-Forwards: %d\r\nFrom: \"A B\" <sip:1@a.test>;tag=f;x=\"y;z\"\r\nTo: sip:2@a.test;tag=t\r\n"+
			"Call-ID: a<b>c@d\r\nCSeq: 007  INVITE\r\nContent-Length:  %d\r\n\r\n%s", maxForwards, len(body), body)
	}
	const below = "Via: SIP/2.0/WSS below.invalid;branch=z9hG4bKb;keep\r\n"
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			request := "INVITE sip:402@a.test;user=phone SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa;rport\r\n" + below +
				tt.fields + "Route: <sip:203.0.113.5;lr>\r\n" + rest(70, tt.body)
			want := "INVITE " + nextURI + " SIP/2.0\r\n" + ownVia +
				"\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa;rport=40312;received=198.51.100.7\r\n" + below +
				ownRoute + "\r\n" + tt.fields + rest(69, tt.body)
			m := mustParse(t, request)
			m.Stamp(phone, false)
			if diff := cmp.Diff(want, forwardString(m)); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}

			response := "SIP/2.0 200 Grüße, 世界\r\n" + ownVia + "\r\n" + below + tt.fields + rest(70, tt.body)
			want = "SIP/2.0 200 Grüße, 世界\r\n" + below + tt.fields + rest(70, tt.body)
			m = mustParse(t, response)
			p := sipmsg.NewPatch(m)
			p.RemoveTopVia()
			if diff := cmp.Diff(want, string(p.Bytes())); diff != "" {
				t.Errorf("response (-want +got):\n%s", diff)
			}
		})
	}
}

// R1: nothing at all changes without a change.
func TestPatch_Empty(t *testing.T) {
	for _, raw := range []string{register, invite, answer} {
		if got := string(sipmsg.NewPatch(mustParse(t, raw)).Bytes()); got != raw {
			t.Errorf("got\n%s\nwant\n%s", got, raw)
		}
	}
}

// RFC 3261 section 16.6 step 9: what came without a length over UDP must have
// one on a stream.
func TestPatch_AddsContentLength(t *testing.T) {
	raw := strings.Replace(invite, "Content-Length: 310\r\n", "", 1)
	if got := string(sipmsg.NewPatch(mustParse(t, raw)).Bytes()); got != invite {
		t.Errorf("got\n%s\nwant\n%s", got, invite)
	}
}

// R8, R9: each branch has the Max-Forwards of the request less one, and the
// request stays what it was, also while several forward it.
func TestPatch_Forks(t *testing.T) {
	m := mustParse(t, invite)
	m.Stamp(phone, true)
	before := *m
	got := make([]string, 8)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			p := sipmsg.NewPatch(m)
			p.SetMaxForwards(m.MaxForwards - 1)
			p.SetRequestURI(fmt.Sprintf("sip:branch%d.test", i))
			p.Prepend(sipmsg.Via, fmt.Sprintf("Via: SIP/2.0/UDP 203.0.113.5;branch=z9hG4bK%d", i))
			got[i] = string(p.Bytes())
		})
	}
	wg.Wait()
	for i, raw := range got {
		b := mustParse(t, raw)
		if want := fmt.Sprintf("sip:branch%d.test", i); b.RequestURI != want || b.MaxForwards != 69 || b.Via.Branch != fmt.Sprintf("z9hG4bK%d", i) {
			t.Errorf("branch %d: %s, Max-Forwards %d, %s", i, b.RequestURI, b.MaxForwards, b.Via.Branch)
		}
	}
	if m.Raw != before.Raw || m.MaxForwards != 70 || m.RequestURI != before.RequestURI || m.Via != before.Via {
		t.Error("the original has changed")
	}
}

// R8: a patch is used again for another message, without traces of the first.
func TestPatch_InitAgain(t *testing.T) {
	p := sipmsg.NewPatch(mustParse(t, invite))
	forward(p, mustParse(t, register))
	if got, want := string(forward(p, mustParse(t, invite))), forwardString(mustParse(t, invite)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// R9: Max-Forwards is counted, added and bounded.
func TestMaxForwards(t *testing.T) {
	tests := []struct {
		field     string
		status    int
		want      int
		forwarded string
	}{
		{"", 0, -1, "Max-Forwards: 70\r\n"},
		{"Max-Forwards: 70\n", 0, 70, "Max-Forwards: 69\r\n"},
		{"MAX-FORWARDS :0068\n", 0, 68, "MAX-FORWARDS :67\r\n"},
		{"Max-Forwards: 255\n", 0, 255, "Max-Forwards: 254\r\n"},
		{"Max-Forwards: 1\n", 0, 1, "Max-Forwards: 0\r\n"},
		{"Max-Forwards: 0\n", 0, 0, "Max-Forwards: 0\r\n"},
		{"Max-Forwards:\n 5\n", 0, 5, "Max-Forwards:\r\n 4\r\n"},
		{"Max-Forwards: 5\nX: y\nMax-Forwards: 5\n", 0, 5, "Max-Forwards: 4\r\nX: y\r\nMax-Forwards: 4\r\n"},
		{"Max-Forwards: 256\n", 400, -1, ""},
		{"Max-Forwards: 4294967297\n", 400, -1, ""},
		{"Max-Forwards: 99999999999999999999999999\n", 400, -1, ""},
		{"Max-Forwards: -1\n", 400, -1, ""},
		{"Max-Forwards: +1\n", 400, -1, ""},
		{"Max-Forwards: 0x10\n", 400, -1, ""},
		{"Max-Forwards: 1 2\n", 400, -1, ""},
		{"Max-Forwards: 7;x\n", 400, -1, ""},
		{"Max-Forwards:\n", 400, -1, ""},
		{"Max-Forwards: many\n", 400, -1, ""},
	}
	for _, tt := range tests {
		m, err := sipmsg.Parse(with(tt.field))
		if got := status(t, err); got != tt.status || m.MaxForwards != tt.want {
			t.Errorf("%q: %d %d, want %d %d", tt.field, got, m.MaxForwards, tt.status, tt.want)
		} else if err == nil && !strings.Contains(forwardString(m), tt.forwarded) {
			t.Errorf("%q: no %q in\n%s", tt.field, tt.forwarded, forwardString(m))
		}
	}
}

// RFC 5393 section 5.3.1: Max-Breadth is a number of any size, and one only.
func TestMaxBreadth(t *testing.T) {
	tests := []struct {
		field     string
		status    int
		want      int
		forwarded string
	}{
		{"", 0, -1, "Max-Breadth: 7\r\n"},
		{"max-breadth :  60\n", 0, 60, "max-breadth :  7\r\n"},
		{"Max-Breadth: 0\n", 0, 0, "Max-Breadth: 7\r\n"},
		{"Max-Breadth: 70000\n", 0, 70_000, "Max-Breadth: 7\r\n"},
		{"Max-Breadth: 5\nMax-Breadth: 6\n", 400, -1, ""},
		{"Max-Breadth: -1\n", 400, -1, ""},
		{"Max-Breadth: 4294967297\n", 400, -1, ""},
		{"Max-Breadth: wide\n", 400, -1, ""},
		{"Max-Breadth:\n", 400, -1, ""},
	}
	for _, tt := range tests {
		m, err := sipmsg.Parse(with(tt.field))
		if got := status(t, err); got != tt.status || err == nil && m.MaxBreadth != tt.want {
			t.Errorf("%q: %d %d, want %d %d", tt.field, got, m.MaxBreadth, tt.status, tt.want)
		}
		if err != nil {
			continue
		}
		p := sipmsg.NewPatch(m)
		p.SetMaxBreadth(7)
		if got := string(p.Bytes()); !strings.Contains(got, tt.forwarded) {
			t.Errorf("%q: no %q in\n%s", tt.field, tt.forwarded, got)
		}
	}
}

// R2: line ends before the start line, also in a datagram, and folded fields.
func TestParse_FoldedAndLeadingLineEnds(t *testing.T) {
	m := mustParse(t, "\r\n\r\n"+lines(`OPTIONS sip:a.test SIP/2.0
v:
  SIP/2.0/UDP
	10.0.0.1:5061;branch=z9hG4bKa
   ;rport
From: "A
 B" <sip:1@a.test>
 ;tag
	= f
t:
 
 	<sip:2@a.test>
CALL-ID:
 c
CSeq: 1
 	 OPTIONS
Max-Forwards:
	70
l:
 4

body and more`))
	got := map[string]any{
		"URI": m.RequestURI, "host": m.Via.Host, "port": m.Via.Port, "transport": m.Via.Transport, "branch": m.Via.Branch,
		"rport": m.Via.RPort, "From": m.Get(sipmsg.From), "from tag": m.FromTag, "To": m.Get(sipmsg.To), "Call-ID": m.CallID,
		"CSeq": m.CSeq, "method": m.CSeqMethod, "Max-Forwards": m.MaxForwards, "body": m.Body(),
	}
	want := map[string]any{
		"URI": "sip:a.test", "host": "10.0.0.1", "port": uint16(5061), "transport": "UDP", "branch": "z9hG4bKa",
		"rport": true, "From": `"A B" <sip:1@a.test> ;tag = f`, "from tag": "f", "To": "<sip:2@a.test>", "Call-ID": "c",
		"CSeq": uint32(1), "method": "OPTIONS", "Max-Forwards": 70, "body": "body",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	m.Stamp(phone, false)
	if out := forwardString(m); !strings.Contains(out, ";branch=z9hG4bKa\r\n   ;rport=40312;received=198.51.100.7\r\nRecord-Route") {
		t.Errorf("folded Via not stamped:\n%s", out)
	}
}
