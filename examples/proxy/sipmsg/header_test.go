package sipmsg_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// R7: compact and long names are the same, in any case, for what has a Kind,
// for Lookup, and for who gets a sipgo request.
func TestCompactNames(t *testing.T) {
	kinds := map[string]sipmsg.Kind{
		"v": sipmsg.Via, "f": sipmsg.From, "t": sipmsg.To, "i": sipmsg.CallID, "m": sipmsg.Contact,
		"l": sipmsg.ContentLength, "c": sipmsg.ContentType, "k": sipmsg.Supported,
	}
	tests := []struct{ compact, long string }{
		{"a", "Accept-Contact"}, {"b", "Referred-By"}, {"c", "Content-Type"}, {"d", "Request-Disposition"}, {"e", "Content-Encoding"},
		{"j", "Reject-Contact"}, {"k", "Supported"}, {"m", "Contact"}, {"n", "Identity-Info"}, {"o", "Event"}, {"r", "Refer-To"},
		{"s", "Subject"}, {"u", "Allow-Events"}, {"x", "Session-Expires"}, {"y", "Identity"},
	}
	for _, tt := range tests {
		for _, name := range []string{tt.compact, strings.ToUpper(tt.compact), tt.long, strings.ToLower(tt.long), strings.ToUpper(tt.long)} {
			m := mustParse(t, with("Q: other\n"+name+" : some value\nX-Z: other\n"))
			for _, as := range []string{tt.compact, strings.ToUpper(tt.compact), tt.long, strings.ToUpper(tt.long)} {
				if got, ok := m.Lookup(as); !ok || got != "some value" {
					t.Errorf("%s: Lookup(%s) = %q, %v", name, as, got, ok)
				}
			}
			if k, ok := kinds[tt.compact]; ok && (!m.Has(k) || m.Get(k) != "some value" || k.String() != tt.long) {
				t.Errorf("%s: kind %v has %q", name, k, m.Get(k))
			}
			req, err := m.SIPRequest()
			if err != nil {
				t.Fatal(err)
			}
			want := tt.long
			if _, ok := kinds[tt.compact]; !ok && len(name) > 1 {
				want = name // an unknown name stays as it is
			}
			if h := req.GetHeader(want); h == nil || h.Value() != "some value" || h.Name() != want {
				t.Errorf("%s: sipgo has %v, want %s", name, h, want)
			}
		}
	}
}

// R7: what every message needs is found under each name.
func TestCompactNames_Mandatory(t *testing.T) {
	m := mustParse(t, lines(`OPTIONS sip:a.test SIP/2.0
V: SIP/2.0/UDP 10.0.0.1
F: <sip:1@a.test>;tag=f
T: <sip:2@a.test>;tag=t
I: c
CSEQ: 1 OPTIONS
L: 0

`))
	if top(m).Host != "10.0.0.1" || m.FromTag != "f" || m.ToTag != "t" || m.CallID != "c" || m.CSeq != 1 || !m.Has(sipmsg.ContentLength) {
		t.Errorf("%+v", m)
	}
}

func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	for k := sipmsg.Other + 1; k.String() != ""; k++ {
		name := k.String()
		if seen[name] {
			t.Errorf("two kinds are called %s", name)
		}
		seen[name] = true
		switch k {
		case sipmsg.From, sipmsg.To, sipmsg.CallID, sipmsg.CSeq, sipmsg.ContentLength, sipmsg.MaxForwards, sipmsg.MaxBreadth, sipmsg.Via:
			continue // they are in every message, or have rules of their own
		}
		for _, as := range []string{name, strings.ToUpper(name), strings.ToLower(name)} {
			m := mustParse(t, with(as+": v\n"))
			if !m.Has(k) || m.Get(k) != "v" {
				t.Errorf("%s is not of kind %v", as, k)
			}
		}
		for _, as := range []string{name + "x", name[1:], "X" + name[1:], name[:len(name)-1] + "+"} {
			if m := mustParse(t, with(as+": v\n")); m.Has(k) {
				t.Errorf("%s is of kind %v", as, k)
			}
		}
	}
	if len(seen) != 26 {
		t.Errorf("%d kinds", len(seen))
	}
	if got := sipmsg.Kind(255).String(); got != "" {
		t.Errorf("no kind is called %q", got)
	}
}

func TestMessage_Fields(t *testing.T) {
	m := mustParse(t, with("Contact: <sip:a>\nX-Empty:\nSupported: a, B\nM: <sip:b>\n , <sip:c>\nContact:\nk: c\n ,d \nX-Z: y\nX-z: z\n"))
	if diff := cmp.Diff([]string{"<sip:a>", "<sip:b> , <sip:c>", ""}, m.Values(sipmsg.Contact)); diff != "" {
		t.Errorf("Values (-want +got):\n%s", diff)
	}
	if m.Get(sipmsg.Contact) != "<sip:a>" || m.Get(sipmsg.Route) != "" || m.Has(sipmsg.Route) || m.Has(sipmsg.Other) || m.Values(sipmsg.Other) != nil {
		t.Error("Get or Has")
	}
	for name, want := range map[string]string{"x-empty": "", "x-z": "y", "Via": "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa", "contact": "<sip:a>"} {
		if got, ok := m.Lookup(name); !ok || got != want {
			t.Errorf("Lookup(%s) = %q, %v, want %q", name, got, ok, want)
		}
	}
	for _, name := range []string{"X", "X-", "X-ZZ", "Route", "", ":"} {
		if got, ok := m.Lookup(name); ok {
			t.Errorf("Lookup(%q) = %q", name, got)
		}
	}
	for token, want := range map[string]bool{"a": true, "A": true, "b": true, "C": true, "d": true, "e": false, "": false, "a, B": false} {
		if got := m.HasToken(sipmsg.Supported, token); got != want {
			t.Errorf("HasToken(%q) = %v", token, got)
		}
	}
	var found []string
	for i, h := range m.All(sipmsg.Contact) {
		found = append(found, m.Name(i)+"|"+m.Raw[h.Line.Start:h.Line.End])
		if len(found) == 2 {
			break
		}
	}
	if want := []string{"Contact|Contact: <sip:a>\r\n", "M|M: <sip:b>\r\n , <sip:c>\r\n"}; !slices.Equal(found, want) {
		t.Errorf("All: %q, want %q", found, want)
	}
}

// R6: parameter names are compared without case, and nothing that only looks
// like a parameter is one.
func TestParam(t *testing.T) {
	tests := []struct {
		params, name, want string
		ok                 bool
	}{
		{";lr", "lr", "", true},
		{";LR", "lr", "", true},
		{"lr", "LR", "", true},
		{";Transport=TCP", "transport", "TCP", true},
		{" ; x = 1 ; Y = 2 ", "y", "2", true},
		{";x=1;x=2", "x", "1", true},
		{`;x="a;y=1";y=2`, "y", "2", true},
		{`;x="a\";y=1";y=2`, "y", "2", true},
		{`;x="a"`, "x", `"a"`, true},
		{";x=<;y=2", "y", "2", true},
		{";x=a=b", "x", "a=b", true},
		{";;;y", "y", "", true},
		{";xy=1", "x", "", false},
		{";x=y", "y", "", false},
		{";lr\u017f", "lrs", "", false}, // folds to s, but not in SIP
		{";x~", "x^", "", false},        // no letters, so not the same in another case
		{";x`", "x@", "", false},
		{"", "x", "", false},
		{";", "x", "", false},
	}
	for _, tt := range tests {
		if got, ok := sipmsg.Param(tt.params, tt.name); got != tt.want || ok != tt.ok {
			t.Errorf("Param(%q, %q) = %q, %v, want %q, %v", tt.params, tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

func TestSIPRequest(t *testing.T) {
	req, err := mustParse(t, invite).SIPRequest()
	if err != nil {
		t.Fatal(err)
	}
	if req.Method != "INVITE" || req.Recipient.User != "402" || string(req.Body()) != sdp || len(req.Headers()) != 14 {
		t.Errorf("%s", req)
	}
	if _, err := mustParse(t, answer).SIPRequest(); err == nil {
		t.Error("a response is a request")
	}
	if _, err := mustParse(t, strings.Replace(with(""), "sip:a.test", "sip:a.test:port", 1)).SIPRequest(); err == nil {
		t.Error("a port that is no number")
	}
}
