package location_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/location"
)

// R11: REGISTERs with several Contacts.
func TestParseContacts(t *testing.T) {
	tests := []struct {
		name string
		in   []string
		want []location.Contact
	}{
		{"none", nil, nil},
		{"name-addr", []string{"<sip:a@h;x=1>;q=0.5"}, []location.Contact{{URI: "sip:a@h;x=1", Params: "q=0.5"}}},
		{"addr-spec", []string{"sip:a@h;x=1"}, []location.Contact{{URI: "sip:a@h", Params: "x=1"}}}, // RFC 4475 cparam01
		{"URI parameter", []string{"<sip:+19725552222@gw1.example.net;unknownparam>"}, []location.Contact{{URI: "sip:+19725552222@gw1.example.net;unknownparam"}}},
		{"list", []string{" sip:a@h , <sip:b@h>,sip:c@h;q=1 "}, []location.Contact{{URI: "sip:a@h"}, {URI: "sip:b@h"}, {URI: "sip:c@h", Params: "q=1"}}},
		{"several fields", []string{"<sip:a@h>", "<sip:b@h>"}, []location.Contact{{URI: "sip:a@h"}, {URI: "sip:b@h"}}},
		{"star", []string{" * "}, []location.Contact{{URI: "*", Star: true}}},
		{"display name", []string{`Alice  Smith <sip:a@h>, Bob<sip:b@h>`}, []location.Contact{{URI: "sip:a@h"}, {URI: "sip:b@h"}}}, // RFC 4475 lwsdisp
		{"quoted name", []string{`"a, <sip:x@y>;\" \\" <sip:a@h>;p="x,y;\"z" , "" <sip:b@h>`}, []location.Contact{{URI: "sip:a@h", Params: `p="x,y;\"z"`}, {URI: "sip:b@h"}}},
		{"escapes kept", []string{`"Quoted string \"\"" <sip:jdrosen@example.com> ; newparam = newvalue ; secondparam ; q = 0.33`}, // RFC 4475 wsinv
			[]location.Contact{{URI: "sip:jdrosen@example.com", Params: "newparam = newvalue ; secondparam ; q = 0.33"}}},
		{"comma in URI", []string{"<sip:a,b@h>, <sip:c@h?x=y>"}, []location.Contact{{URI: "sip:a,b@h"}, {URI: "sip:c@h?x=y"}}},
		{"empty parameters", []string{`"Joe" <sip:joe@example.org>;;;;`, "<sip:a@h>;"}, []location.Contact{{URI: "sip:joe@example.org", Params: ";;;"}, {URI: "sip:a@h"}}}, // RFC 4475 badinv01
		{"other scheme", []string{"<tel:+1555;ext=1>, name:John_Smith"}, []location.Contact{{URI: "tel:+1555;ext=1"}, {URI: "name:John_Smith"}}},
		{"IPv6", []string{`"T. desk phone" <sip:ted@[::ffff:192.0.2.2]>`}, []location.Contact{{URI: "sip:ted@[::ffff:192.0.2.2]"}}},
		{"tabs", []string{"\t<sip:a@h>\t;\tq\t=\t1\t,\tsip:b@h\t"}, []location.Contact{{URI: "sip:a@h", Params: "q\t=\t1"}, {URI: "sip:b@h"}}},
		{"URI as sent", []string{"<SIP:B%6Fb@H.:5060;Line=X>"}, []location.Contact{{URI: "SIP:B%6Fb@H.:5060;Line=X"}}}, // P-49
	}
	for _, tt := range tests {
		got, err := location.ParseContacts(tt.in)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if d := cmp.Diff(got, tt.want); d != "" {
			t.Errorf("%s:\n%s", tt.name, d)
		}
	}
}

func TestParseContacts_Errors(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", "empty"},
		{" ", "empty"},
		{"<sip:a@h>,", "empty"},
		{",<sip:a@h>", "empty"},
		{"<>", "empty"},
		{"*, <sip:a@h>", "beside"},
		{"<sip:a@h>, *", "beside"},
		{"*, *", "beside"},
		{"*;expires=0", "* with parameters"},
		{"<*>", "without scheme"},
		{"<sip:a@h", "< without >"},
		{`"Bob <sip:a@h>`, "quote without end"}, // RFC 4475 quotbal
		{`"Bob" sip:a@h`, "no <"},
		{`Bob "x" <sip:a@h>`, "quote inside"},
		{"<sip:a@h> x", "text after the URI"},
		{"<sip:a@h><sip:b@h>", "text after the URI"},
		{"sip:a@h?Route=%3Csip:sip.example.com%3E", "question mark"}, // RFC 4475 regbadct
		{"sip:a@h b", "blank"},
		{"< sip:a@h>", "without scheme"},
		{"<sip: a@h>", "blank"},
		{"<a@h>", "without scheme"},
		{"<1x:y>", "without scheme"},
		{"<tel:a b>", "blank"},
		{"<sip:a@h:99999>", "port"},
		{"<sip:@h>", "no user"},
		{"<sip:a@h>;=x", "without name"},
		{"<sip:a@h>;x=\"y", "quote without end"},
		{"<sip:a@h>;x=\"y\"z", "malformed parameter"},
		{"<sip:a@h>;x=y z", "malformed parameter"},
		{"<sip:a@h>;x y", "malformed parameter"},
		{"<sip:a@h>;x=<y>", "malformed parameter"},
		{"<sip:a@h>;x[]", "malformed parameter"},
		{"<sip:a@h>\r\nX: y", "control character"},
		{"<sip:a@h>\x00", "control character"},
		{"<sip:a\x7f@h>", "control character"},
		{"<sip:\xff@h>", "UTF-8"},
		{"<sip:" + strings.Repeat("a", 5000) + "@h>", "too long"},
		{"<sip:a@h>;x=" + strings.Repeat("a", 5000), "too long"},
		{strings.Repeat("sip:a@h,", 100) + "sip:a@h", "more than 100"},
	}
	for _, tt := range tests {
		got, err := location.ParseContacts([]string{tt.in})
		if err == nil || got != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60q: got %v, %v; want an error with %q", tt.in, got, err, tt.want)
		}
	}
	if _, err := location.ParseContacts([]string{"*", "<sip:a@h>"}); err == nil {
		t.Error("star in one field and a URI in the next: no error")
	}
}

func TestContact_Param(t *testing.T) {
	c := location.Contact{Params: ` a ;B = "x;\"y\\" ;c=;; d=1;d=2`}
	for name, want := range map[string]string{"A": "", "b": `x;"y\`, "c": "", "d": "1"} {
		if got, ok := c.Param(name); got != want || !ok {
			t.Errorf("%s: got %q, %v; want %q", name, got, ok, want)
		}
	}
	for _, name := range []string{"", "x", "y", "e"} {
		if got, ok := c.Param(name); ok {
			t.Errorf("%s: got %q", name, got)
		}
	}
	if _, ok := (location.Contact{}).Param("a"); ok {
		t.Error("a Contact without parameters has one")
	}
}

func TestContact_Q(t *testing.T) {
	for in, want := range map[string]location.Q{
		"": location.QUnspecified, "q": location.QUnspecified, "q=": location.QUnspecified,
		"q=0": 0, "q=1": 1000, "Q=0.5": 500, "q=0.25": 250, "q=0.007": 7, "q=1.000": 1000, "q=0.": 0, "q=0.9999": 999, "q=1.0000": 1000,
		"q=1.001": location.QUnspecified, "q=2": location.QUnspecified, "q=-1": location.QUnspecified, "q=.5": location.QUnspecified,
		"q=0.5x": location.QUnspecified, "q=0.0.1": location.QUnspecified, "q=00": location.QUnspecified,
		"q=0.-1": location.QUnspecified, "q=1.0001": 1000,
	} {
		if got := (location.Contact{Params: in}).Q(); got != want {
			t.Errorf("%q: got %d, want %d", in, got, want)
		}
	}
}

func TestContact_Expires(t *testing.T) {
	for in, want := range map[string]uint32{
		"expires=0": 0, "Expires=60": 60, `expires="60"`: 60, "expires=4294967295": 1<<32 - 1, "expires=99999999999999999999999": 1<<32 - 1, // RFC 4475 scalarlg
		"expires": 3600, "expires=": 3600, "expires=-1": 3600, "expires=soon": 3600, "expires=1.5": 3600,
	} {
		if got, ok := (location.Contact{Params: in}).Expires(); got != want || !ok {
			t.Errorf("%q: got %d, %v; want %d", in, got, ok, want)
		}
	}
	if got, ok := (location.Contact{Params: "q=1"}).Expires(); ok {
		t.Errorf("got %d without the parameter", got)
	}
}

// R11: blanks around the signs.
func TestContact_Outbound(t *testing.T) {
	cs, err := location.ParseContacts([]string{`<sip:a@h> ; +SIP.instance = "<urn:uuid:0-1>" ; reg-id = 2 ; expires = 30 , <sip:b@h>;reg-id=x`})
	if err != nil {
		t.Fatal(err)
	}
	if c := cs[0]; c.Instance() != "<urn:uuid:0-1>" || c.RegID() != 2 {
		t.Errorf("got %q, %d", c.Instance(), c.RegID())
	}
	if s, ok := cs[0].Expires(); s != 30 || !ok {
		t.Errorf("got %d, %v", s, ok)
	}
	if c := cs[1]; c.Instance() != "" || c.RegID() != 0 {
		t.Errorf("got %q, %d", c.Instance(), c.RegID())
	}
	for in, want := range map[string]int{"reg-id=2147483647": 1<<31 - 1, "reg-id=2147483648": 0, "reg-id=-1": 0, "reg-id": 0, "reg-id=99999999999999999999": 0} {
		if got := (location.Contact{Params: in}).RegID(); got != want {
			t.Errorf("%q: got %d, want %d", in, got, want)
		}
	}
}

func FuzzContacts(f *testing.F) {
	for _, s := range []string{
		`"a, \"b" <sip:a@h;x=1>;q=0.5;+sip.instance="<urn:uuid:1>";reg-id=1;expires=3600, sip:b@h`, "*", "<tel:1>;;x = \"\\\"\"", "<sip:a@[::1]>,<sips:b@h>;x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		cs, err := location.ParseContacts([]string{s})
		if err != nil {
			return
		}
		var values []string
		for _, c := range cs {
			c.Q()
			c.Expires()
			c.Instance()
			c.RegID()
			v := "*"
			if !c.Star {
				v = "<" + c.URI + ">"
			}
			if c.Params != "" {
				v += ";" + c.Params
			}
			values = append(values, v)
		}
		for _, in := range [][]string{values, {strings.Join(values, ", ")}} {
			again, err := location.ParseContacts(in)
			if err != nil {
				t.Fatalf("%q: then %q: %v", s, in, err)
			}
			if !slices.Equal(again, cs) {
				t.Errorf("%q: then %q: got %v, want %v", s, in, again, cs)
			}
		}
	})
}

func BenchmarkParseContacts(b *testing.B) {
	values := []string{`<sip:201@10.0.0.1:5060;transport=tcp;line=3e9>;q=0.5;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000a95a0e128>";reg-id=1;expires=3600`}
	b.ReportAllocs()
	for b.Loop() {
		cs, err := location.ParseContacts(values)
		if err != nil || cs[0].RegID() != 1 || cs[0].Instance() == "" {
			b.Fatal(cs, err)
		}
	}
}
