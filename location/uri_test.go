package location_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/location"
)

func TestParseURI(t *testing.T) {
	tests := []struct {
		in   string
		want location.URI
	}{
		{"sip:h", location.URI{Scheme: "sip", Host: "h"}},
		{"SIP:Alice:pw@H.Example.:5070;Transport=TCP;lr?a=b&c=%20", location.URI{
			Scheme: "SIP", User: "Alice", Secret: "pw", Host: "H.Example.", Port: 5070, Params: "Transport=TCP;lr", Headers: "a=b&c=%20",
		}},
		{"sips:201@[2001:DB8::1]:5061", location.URI{Scheme: "sips", User: "201", Host: "2001:DB8::1", Port: 5061}},
		{"sip:[2001:db8::10:5070]", location.URI{Scheme: "sip", Host: "2001:db8::10:5070"}}, // RFC 5118 section 4.4
		{"sip:a@[::ffff:192.0.2.2]", location.URI{Scheme: "sip", User: "a", Host: "::ffff:192.0.2.2"}},
		{"sip:+1;phone-context=x?y/z@h", location.URI{Scheme: "sip", User: "+1;phone-context=x?y/z", Host: "h"}},
		{"sip:%00@h", location.URI{Scheme: "sip", User: "%00", Host: "h"}}, // RFC 4475 escnull
		{"sip:#31#\\Ж@h", location.URI{Scheme: "sip", User: "#31#\\Ж", Host: "h"}},
		{"sip:h?a=b?c", location.URI{Scheme: "sip", Host: "h", Headers: "a=b?c"}},
		{"sip:h;maddr=[::1];x", location.URI{Scheme: "sip", Host: "h", Params: "maddr=[::1];x"}},
		{"sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com", location.URI{ // RFC 4475 intmeth
			Scheme: "sip", User: "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*", Secret: "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)", Host: "example.com",
		}},
	}
	for _, tt := range tests {
		got, err := location.ParseURI(tt.in)
		if err != nil {
			t.Errorf("%q: %v", tt.in, err)
			continue
		}
		if d := cmp.Diff(got, tt.want); d != "" {
			t.Errorf("%q:\n%s", tt.in, d)
		}
		if got.String() != tt.in {
			t.Errorf("%q: String gives %q", tt.in, got)
		}
	}
}

func TestParseURI_Errors(t *testing.T) {
	for _, in := range []string{
		"sip:", "sip:@h", "sip:a@", "sip:a@b@h", "sip:a:b:c@h", "sip::pw@h", "sip:h:", "sip:h:0", "sip:h:65536", "sip:h:50 60", "sip:h:+1",
		"sip:[::1", "sip:::1", "sip:[::1]1", "sip:[::1%25lo]", "sip:[1.2.3.4]", "sip:[2001:db8:::192.0.2.1]", "sip:h%61", "sip:h_é", "sip:a b@h",
		"sip:a@h;x=\"y\"", "sip:<a>@h", "sip:a@h\x00", "sip:a@h;%2", "sip:a%G0@h", "sip:user@example.com ; transport=tcp", "sip:256.0.0.1",
		"sip:h;" + strings.Repeat("a;", 64), "sip:h?" + strings.Repeat("a&", 64),
	} {
		if u, err := location.ParseURI(in); err == nil || errors.Is(err, location.ErrScheme) || u != (location.URI{}) {
			t.Errorf("%q: got %+v, %v", in, u, err)
		}
	}
	for _, in := range []string{"", "h", "tel:+1", "a@h", "sipx:h", ":h", "http://h", "nobodyKnowsThisScheme:totallyopaquecontent"} {
		if _, err := location.ParseURI(in); !errors.Is(err, location.ErrScheme) {
			t.Errorf("%q: got %v, want ErrScheme", in, err)
		}
	}
}

// R6: parameter names compare without case.
func TestURI_Param(t *testing.T) {
	u, err := location.ParseURI("sip:h;Transport=TCP;lr;empty=;x=a=b;x=2")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"transport": "TCP", "LR": "", "Empty": "", "x": "a=b"} {
		if got, ok := u.Param(name); got != want || !ok {
			t.Errorf("%s: got %q, %v; want %q", name, got, ok, want)
		}
	}
	for _, name := range []string{"", "l", "lr2", "trans", "transport=TCP"} {
		if got, ok := u.Param(name); ok {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// P-82: a host without port must not end in a colon.
func TestURI_HostPort(t *testing.T) {
	for in, want := range map[string]string{"sip:h": "h", "sip:h:5060": "h:5060", "sip:[::1]": "[::1]", "sip:a@[::1]:1": "[::1]:1"} {
		u, err := location.ParseURI(in)
		if got := u.HostPort(); got != want || err != nil {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestURI_AOR(t *testing.T) {
	u, err := location.ParseURI("sip:B%6fb:pw@H:5060;x")
	if err != nil {
		t.Fatal(err)
	}
	if a, err := u.AOR(); a != mustAOR(t, "Bob", "h") || err != nil {
		t.Errorf("got %q, %v", a, err)
	}
	if a, err := (location.URI{Scheme: "sip", Host: "h"}).AOR(); err == nil {
		t.Errorf("without user: got %q", a)
	}
}

func TestEqualURI(t *testing.T) {
	tests := []struct {
		want bool
		a, b string
	}{
		// RFC 3261 section 19.1.4, the examples in their order.
		{true, "sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"},
		{true, "sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"},
		{true, "sip:carol@chicago.com", "sip:carol@chicago.com;security=on"},
		{true, "sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"},
		{true, "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com", "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com"},
		{true, "sip:alice@atlanta.com?subject=project%20x&priority=urgent", "sip:alice@atlanta.com?priority=urgent&subject=project%20x"},
		{false, "SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"},
		{false, "sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"},
		{false, "sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"},
		{false, "sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"},
		{false, "sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"},
		{false, "sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"},
		{false, "sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"},

		{false, "sip:a@h", "sips:a@h"},
		{true, "sip:a@h", "SIP:a@H."},
		{true, "sip:a@h:5060", "sip:a@h:05060"},
		{false, "sip:a@h", "sip:h"},
		{false, "sip:a:pw@h", "sip:a:PW@h"},
		{false, "sip:a:pw@h", "sip:a@h"},
		{true, "sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0::1]"},
		{false, "sip:a@[::ffff:192.0.2.1]", "sip:a@192.0.2.1"},
		{true, "sip:%E4%B8%AD@h", "sip:%e4%b8%ad@h"},
		{true, "sip:%E4%B8%AD@h", "sip:中@h"},
		{false, "sip:a%3Bb@h", "sip:a;b@h"}, // an escaped reserved character is not that character
		{true, "sip:a%3Bb@h", "sip:a%3bb@h"},
		{false, "sip:%2561@h", "sip:a@h"},
		{false, "sip:%00@h", "sip:%00%00@h"}, // RFC 4475 escnull
		{true, "sip:h;x=%41", "sip:h;X=a"},
		{true, "sip:h;%78=1", "sip:h;x=1"},
		{false, "sip:h;x=1", "sip:h;x"},
		{false, "sip:h;user=phone", "sip:h"},
		{false, "sip:h;ttl=1", "sip:h"},
		{false, "sip:h;method=INVITE", "sip:h"},
		{false, "sip:h;MADDR=192.0.2.1", "sip:h"},
		{false, "sip:h;%74ransport=udp", "sip:h"},
		{false, "sip:h;transport", "sip:h"},
		{true, "sip:h;lr;;", "sip:h;lr"},
		{false, "sip:h;a=1;a=2", "sip:h;a=2;a=1"},
		{true, "sip:h?a=1&a=2", "sip:h?a=2&A=1"},
		{false, "sip:h?a=1&a=1", "sip:h?a=1"},
		{false, "sip:h?a=x", "sip:h?a=X"},
		{true, "tel:+1555", "tel:+1555"},
		{false, "tel:+1555", "TEL:+1555"},
		{false, "sip:a@h x", "sip:a@H x"},
		{true, "sip:a@h x", "sip:a@h x"},
		{false, "sip:a@h", "tel:1"},
		{true, "", ""},
		{true, "*", "*"},
	}
	for _, tt := range tests {
		if got := location.EqualURI(tt.a, tt.b); got != tt.want {
			t.Errorf("%q, %q: got %v", tt.a, tt.b, got)
		}
		if got := location.EqualURI(tt.b, tt.a); got != tt.want {
			t.Errorf("%q, %q: got %v", tt.b, tt.a, got)
		}
	}
}

// hostile returns two URIs that differ in their last header at most, with as many
// parameters and headers as are allowed, whose texts are long and alike.
func hostile(lastA, lastB string) (a, b string) {
	uri := func(name, last string, order func(i int) int) string {
		var parts []string
		for i := range 63 {
			parts = append(parts, fmt.Sprintf("%saaaaaaaaa%d=xxxxxxxxxx%d", name, order(i), order(i)))
		}
		list := strings.Join(parts, ";")
		return "sip:a@h;" + list + "?" + strings.ReplaceAll(list, ";", "&") + "&" + last
	}
	return uri("a", lastA, func(i int) int { return i }), uri("%41", lastB, func(i int) int { return 62 - i })
}

func TestEqualURI_ManyParts(t *testing.T) {
	for last, want := range map[string]bool{"x=1": true, "X=%31": true, "x=2": false, "y=1": false, "x": false} {
		a, b := hostile("x=1", last)
		if got := location.EqualURI(a, b); got != want {
			t.Errorf("%s: got %v", last, got)
		}
		if got := location.EqualURI(b, a); got != want {
			t.Errorf("%s: got %v the other way round", last, got)
		}
	}
	_, err := location.ParseURI("sip:h;" + strings.Repeat("a;", 64))
	if err == nil || !strings.Contains(err.Error(), "more than 64 parameters or headers") {
		t.Errorf("65 parameters: %v", err)
	}
}

func FuzzURI(f *testing.F) {
	f.Add("sip:B%6fb:pw@[::1]:5060;transport=tcp;lr?a=b&c", "sip:Bob:pw@[0::1]:5060;lr;transport=TCP?c&a=b")
	f.Add("sip:a@h;x=1;x=2", "sip:a@h;x=1")
	f.Add("tel:+1", "sips:user;par=u%40example.net@example.com")
	f.Fuzz(func(t *testing.T, a, b string) {
		if !location.EqualURI(a, a) || !location.EqualURI(b, b) {
			t.Errorf("%q or %q does not equal itself", a, b)
		}
		if location.EqualURI(a, b) != location.EqualURI(b, a) {
			t.Errorf("%q, %q: not symmetric", a, b)
		}
		u, err := location.ParseURI(a)
		if err != nil {
			return
		}
		if v, err := location.ParseURI(u.String()); v != u || err != nil {
			t.Errorf("%q: %q comes back as %+v, %v", a, u, v, err)
		}
		folded := u
		folded.Scheme, folded.Host = strings.ToUpper(u.Scheme), strings.ToUpper(u.Host)
		if !location.EqualURI(u.String(), folded.String()) {
			t.Errorf("%q does not equal %q", u, folded)
		}
		u.Params = strings.Trim("never-seen;"+u.Params, ";")
		if v, err := location.ParseURI(u.String()); err == nil && !location.EqualURI(a, v.String()) {
			t.Errorf("%q does not equal %q", a, v)
		}
	})
}

func BenchmarkEqualURI(b *testing.B) {
	oneWay, otherWay := hostile("x=1", "x=2")
	for i, uris := range [][2]string{
		{"sip:201@10.0.0.1:5060;transport=tcp;line=3e9", "sip:201@10.0.0.1:5060;transport=tcp;line=3e9"},
		{"sip:201@10.0.0.1:5060;transport=tcp;line=3e9", "sip:201@10.0.0.1:5060;line=3e9;transport=TCP"},
		{"sip:201@10.0.0.1:5060;transport=tcp;line=3e9", "sip:201@10.0.0.2:5060;transport=tcp;line=3e9"},
		{oneWay, otherWay},
	} {
		b.Run(fmt.Sprint([]string{"identical", "equal", "other-host", "hostile"}[i]), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				location.EqualURI(uris[0], uris[1])
			}
		})
	}
}
