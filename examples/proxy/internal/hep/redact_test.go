package hep_test

import (
	"strings"
	"testing"

	"github.com/sipward/sipward/examples/proxy/internal/hep"
)

// secret is what must not be seen.
const secret = "981e24c2a3b7f0d5981e24c2a3b7f0d5"

// register is a REGISTER with some more header fields.
func register(fields ...string) string {
	return "REGISTER sip:a.test SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.7:5062;branch=z9hG4bK1\r\nCall-ID: 1@phone\r\n" +
		"From: <sip:401@a.test>;tag=1\r\nTo: <sip:401@a.test>\r\n" + strings.Join(append(fields, ""), "\r\n") + "CSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n"
}

// TestRedact: of credentials remains what tells why they are not accepted, and
// nothing by which a password can be guessed; all else is untouched. P-78.
func TestRedact(t *testing.T) {
	stars := strings.Repeat("*", len(secret))
	tests := []struct{ in, want string }{
		{`Authorization: Digest username="401", realm="asterisk", nonce="17/03", uri="sip:a.test", response="{}", algorithm=MD5, qop=auth, nc=00000001, cnonce="8a", opaque=""`,
			`Authorization: Digest username="401", realm="asterisk", nonce="17/03", uri="sip:a.test", response="{}", algorithm=MD5, qop=auth, nc=00000001, cnonce="8a", opaque=""`},
		{`Authorization: Digest response="{}"`, `Authorization: Digest response="{}"`},
		{`PROXY-authorization : digest RESPONSE = {},username=401`, `PROXY-authorization : digest RESPONSE = {},username=401`},
		{"Authorization: Digest\r\n username=\"401\",\r\n\tresponse=\r\n \"{}\"", "Authorization: Digest\r\n username=\"401\",\r\n\tresponse=\r\n \"{}\""},
		{`Authentication-Info: nextnonce="17/04", rspauth="{}", nc=00000001`, `Authentication-Info: nextnonce="17/04", rspauth="{}", nc=00000001`},
		{`Proxy-Authentication-Info: rspauth="{}"`, `Proxy-Authentication-Info: rspauth="{}"`},
		{`Authorization: Basic {}=`, `Authorization: Basic {}*`},
		{`Authorization: Bearer {}.{}`, `Authorization: Bearer {}*{}`},
		{`Authorization: {}==`, `Authorization: {}**`},
		{`Authorization: Other token="{}", realm="a"`, `Authorization: ***** ******"{}", realm="a"`},

		// What a parser would stumble over.
		{`Authorization: Digest username="401, response="{}", realm="a"`, `Authorization: Digest *********"***, response="{}", realm="a"`},
		{`Authorization: Digest username="4\"01", response="{},{}"`, `Authorization: Digest *********"**"**", response="{},{}"`},
		{`Authorization: Digest uri="sip:a.test" response="{}"`, `Authorization: Digest ****"**********" *********"{}"`},
		{"X: y\nAuthorization: Digest response={}\nZ: y", "X: y\nAuthorization: Digest response={}\nZ: y"},
		{"X: y\rAuthorization: Digest response={}", "X: y\rAuthorization: Digest response={}"},
		{"Authorization: Digest response={},", "Authorization: Digest response={},"},

		// What is none of the kind.
		{`WWW-Authenticate: Digest realm="asterisk",nonce="17/03",opaque="16d6",algorithm=MD5,qop="auth"`, `WWW-Authenticate: Digest realm="asterisk",nonce="17/03",opaque="16d6",algorithm=MD5,qop="auth"`},
		{`X-Authorization: response="1"`, `X-Authorization: response="1"`},
		{`Subject: Authorization: response="1"`, `Subject: Authorization: response="1"`},
	}
	for _, tt := range tests {
		in, want := register(strings.ReplaceAll(tt.in, "{}", secret)), register(strings.ReplaceAll(tt.want, "{}", stars))
		got := []byte(in)
		if callID := string(hep.Redact(got)); callID != "1@phone" {
			t.Errorf("%s: Call-ID %q", tt.in, callID)
		}
		if string(got) != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

// FuzzRedact: whatever is around it, a proof is not seen, and the length stays.
func FuzzRedact(f *testing.F) {
	f.Add("Digest username=\"401\", ", ", realm=\"a\"")
	f.Add("Digest username=\"401, ", "\"")
	f.Add("Digest\r\n ", "\r\nX: y")
	f.Fuzz(func(t *testing.T, before, after string) {
		if strings.ContainsAny(before, "\r\n") {
			before = "" // what comes then may be another field
		}
		text := []byte("REGISTER sip:a SIP/2.0\r\nAuthorization: " + before + ",response=\"" + secret + "\"," + after)
		n := len(text)
		hep.Redact(text)
		if len(text) != n {
			t.Errorf("%d bytes of %d", len(text), n)
		}
		if strings.Contains(string(text[:n-len(after)]), secret) {
			t.Errorf("the proof is seen in\n%s", text)
		}
	})
}
