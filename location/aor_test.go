package location_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/location"
)

func mustAOR(tb testing.TB, user, domain string) location.AOR {
	tb.Helper()
	a, err := location.MakeAOR(user, domain)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func TestParseAOR(t *testing.T) {
	tests := []struct{ in, user, domain, text string }{
		{"sip:alice@a.example", "alice", "a.example", "alice@a.example"},
		{"alice@a.example", "alice", "a.example", "alice@a.example"},
		{"SIPS:Alice@A.Example.:5061;transport=tcp?x=y", "Alice", "a.example", "Alice@a.example"},
		{"sip:alice:secret@a.example", "alice", "a.example", "alice@a.example"},
		{"sip:201@192.0.2.1:5060", "201", "192.0.2.1", "201@192.0.2.1"},
		{"sip:201@[2001:DB8::0:1]:5060", "201", "2001:db8::1", "201@[2001:db8::1]"},
		{"sip:b%6Fb@h", "bob", "h", "bob@h"},
		{"sip:100%25@h", "100%", "h", "100%25@h"},
		{"sip:a%40b@h", "a@b", "h", "a%40b@h"},
		{"sip:%D0%96@h", "Ж", "h", "%D0%96@h"},
		{"sip:Ж@h", "Ж", "h", "%D0%96@h"},
		{"sip:#31#@h", "#31#", "h", "%2331%23@h"},
		{"sip:+1555;phone-context=a.example@h;user=phone", "+1555;phone-context=a.example", "h", "+1555;phone-context=a.example@h"},
		{"sip:user;par=u%40example.net@example.com", "user;par=u@example.net", "example.com", "user;par=u%40example.net@example.com"},  // RFC 4475 semiuri
		{"sip:sips%3Auser%40example.com@example.net", "sips:user@example.com", "example.net", "sips%3Auser%40example.com@example.net"}, // RFC 4475 escruri
		{"sip@h", "sip", "h", "sip@h"},
		{"201@tenant_a.pbx", "201", "tenant_a.pbx", "201@tenant_a.pbx"},
	}
	for _, tt := range tests {
		a, err := location.ParseAOR(tt.in)
		if err != nil {
			t.Errorf("%q: %v", tt.in, err)
			continue
		}
		if a.User() != tt.user || a.Domain() != tt.domain || a.String() != tt.text || !a.IsValid() {
			t.Errorf("%q: got user %q, domain %q, text %q", tt.in, a.User(), a.Domain(), a)
		}
		if b, err := location.ParseAOR(a.String()); b != a || err != nil {
			t.Errorf("%q: its text %q gives %q, %v", tt.in, a, b, err)
		}
		if b, err := location.MakeAOR(tt.user, tt.domain); b != a || err != nil {
			t.Errorf("%q: MakeAOR gives %q, %v", tt.in, b, err)
		}
	}
}

func TestParseAOR_Errors(t *testing.T) {
	for _, in := range []string{
		"", "alice", "@h", "sip:h", "sip:@h", "alice@", "sip:alice@", "a@b@c", "tel:+1555", "tel:1@h", "http://u@h", "<sip:a@h>",
		"sip:a@h:0", "sip:a@h:65536", "sip:a@h:", "sip:a@h:x", "sip:a@[::1", "sip:a@::1", "sip:a@[fe80::1%25eth0]", "sip:a@[192.0.2.1]",
		"sip:a@h h", "sip:a b@h", "sip:a%@h", "sip:a%4@h", "sip:a%zz@h", "sip:%00@h", "sip:a%0d%0ab@h", "sip:a\r\n@h", "sip:a%7F@h",
		"sip:%FF@h", "sip:\xff@h", "sip:%C2%85@h", "sip:a@999.1.1.1", "sip:a@1", "sip:a@h..x", "sip:a@.", "sip:a@-h.\u00e9",
		"sip:a@" + strings.Repeat("a", 64), "sip:a@" + strings.Repeat("a.", 127) + "a",
	} {
		if a, err := location.ParseAOR(in); err == nil || a.IsValid() {
			t.Errorf("%q: got %q, %v", in, a, err)
		}
	}
}

func TestMakeAOR_Errors(t *testing.T) {
	for _, tt := range []struct{ user, domain string }{
		{"", "h"}, {"a", ""}, {"a\x00", "h"}, {"a\n", "h"}, {"a\x7f", "h"}, {"\u0085", "h"}, {"\xff", "h"}, {"a", "h h"}, {"a", "*"},
	} {
		if a, err := location.MakeAOR(tt.user, tt.domain); err == nil || a.IsValid() {
			t.Errorf("%q: got %q, %v", tt, a, err)
		}
	}
}

// A percent sign that is part of a user is not taken for an escape.
func TestMakeAOR_TakesUserAsIs(t *testing.T) {
	a := mustAOR(t, "b%6Fb", "h")
	if a == mustAOR(t, "bob", "h") || a.User() != "b%6Fb" || a.String() != "b%256Fb@h" {
		t.Errorf("got %q", a)
	}
}

func TestAOR_Zero(t *testing.T) {
	var zero location.AOR
	if zero.IsValid() || zero.String() != "" || zero == mustAOR(t, "a", "h") {
		t.Errorf("got %v %q", zero.IsValid(), zero)
	}
}

func TestAOR_Compare(t *testing.T) {
	sorted := []location.AOR{{}, mustAOR(t, "b", "a.example"), mustAOR(t, "A", "b.example"), mustAOR(t, "a", "b.example")}
	for i, a := range sorted {
		for j, b := range sorted {
			if got, want := a.Compare(b), compareInt(i, j); got != want {
				t.Errorf("%q, %q: got %d, want %d", a, b, got, want)
			}
		}
	}
}

func compareInt(i, j int) int {
	switch {
	case i < j:
		return -1
	case i > j:
		return 1
	}
	return 0
}

func TestAOR_Text(t *testing.T) {
	type doc struct {
		A, Zero location.AOR
		Map     map[location.AOR]int
	}
	in := doc{A: mustAOR(t, "a b", "::1"), Map: map[location.AOR]int{mustAOR(t, "201", "a.example"): 1}}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"A":"a%20b@[::1]","Zero":"","Map":{"201@a.example":1}}`; string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
	out := doc{Zero: in.A}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(out, in, cmp.Comparer(func(a, b location.AOR) bool { return a == b })); d != "" {
		t.Error(d)
	}
	if err := out.A.UnmarshalText([]byte("nobody")); err == nil || out.A != in.A {
		t.Errorf("got %q, %v", out.A, err)
	}
}

// P-76: phones send ports, dots and capitals; the tenant is the same.
func TestCanonicalDomain(t *testing.T) {
	tests := []struct{ in, want string }{
		{"tenant", "tenant"},
		{"tenant:5060", "tenant"},
		{"TENANT.", "tenant"},
		{"TenAnt.:5060", "tenant"},
		{"a-1.tenant_x.example", "a-1.tenant_x.example"},
		{"192.0.2.1", "192.0.2.1"},
		{"192.0.2.1:5060", "192.0.2.1"},
		{"1.2.3.example", "1.2.3.example"},
		{"[2001:DB8::0:1]", "2001:db8::1"},
		{"[2001:DB8::0:1]:5061", "2001:db8::1"},
		{"2001:db8:0::1", "2001:db8::1"},
		{"::1", "::1"},
		{"[::ffff:192.0.2.1]", "::ffff:192.0.2.1"}, // RFC 5118 section 4.9
		{strings.Repeat("a", 63) + ".b", strings.Repeat("a", 63) + ".b"},
	}
	for _, tt := range tests {
		got, err := location.CanonicalDomain(tt.in)
		if got != tt.want || err != nil {
			t.Errorf("%q: got %q, %v; want %q", tt.in, got, err, tt.want)
		}
		if again, err := location.CanonicalDomain(got); again != got || err != nil {
			t.Errorf("%q: the result gives %q, %v", tt.in, again, err)
		}
	}
	for _, in := range []string{
		"", ".", ":5060", "h:", "h:0", "h:65536", "h:-1", "h:5060x", "h.:.", "a..b", ".a", "a b", "a/b", "a@b", "h\x00", "é.example",
		"1", "1.2.3", "1.2.3.256", "01.2.3.4", "[::1", "[]", "[::1]x", "[::1]5060", "::1%eth0", ":::", "[2001:db8:::192.0.2.1]", // RFC 5118 section 4.10
	} {
		if got, err := location.CanonicalDomain(in); err == nil {
			t.Errorf("%q: got %q and no error", in, got)
		}
	}
}

func TestUnescapeUser(t *testing.T) {
	for in, want := range map[string]string{"": "", "bob": "bob", "b%6fb%25": "bob%", "%00": "\x00"} {
		if got, err := location.UnescapeUser(in); got != want || err != nil {
			t.Errorf("%q: got %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"%", "a%2", "%%%", "%g0", "%0g"} {
		if got, err := location.UnescapeUser(in); err == nil {
			t.Errorf("%q: got %q and no error", in, got)
		}
	}
}

// An error must not carry a whole message of a stranger into the log.
func TestErrors_AreShort(t *testing.T) {
	_, err := location.ParseAOR("sip:" + strings.Repeat("\xff", 10000) + "@h")
	if err == nil || len(err.Error()) > 400 {
		t.Errorf("got %d bytes", len(err.Error()))
	}
}

func TestParse_Allocs(t *testing.T) {
	tests := []struct {
		name string
		want float64
		f    func() error
	}{
		{"ParseAOR", 0, func() error {
			_, err := location.ParseAOR("sip:201@tenant-a.pbx.example.org:5060;user=phone")
			return err
		}},
		{"ParseAOR IPv6", 0, func() error { _, err := location.ParseAOR("sip:201@[2001:db8::1]:5060"); return err }},
		{"ParseAOR escape", 1, func() error { _, err := location.ParseAOR("sip:2%301@tenant-a.pbx.example.org"); return err }},
		{"ParseAOR case", 1, func() error { _, err := location.ParseAOR("sip:201@Tenant-A.pbx.example.org"); return err }},
		{"CanonicalDomain", 0, func() error { _, err := location.CanonicalDomain("tenant-a.pbx.example.org:5060"); return err }},
		{"ParseURI", 0, func() error { _, err := location.ParseURI("sip:a:b@[::1]:5061;transport=tcp;lr?x=y"); return err }},
	}
	for _, tt := range tests {
		got := testing.AllocsPerRun(100, func() {
			if err := tt.f(); err != nil {
				t.Error(err)
			}
		})
		if got > tt.want {
			t.Errorf("%s: %v allocations, want %v", tt.name, got, tt.want)
		}
	}
}

func FuzzAOR(f *testing.F) {
	for _, s := range []string{
		"sip:alice@a.example", "SIPS:B%6fB:pw@[::1]:5061;a=b?c", "Ж;x=%40@H.", "sip:null-%00-null@example.com", "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := location.ParseAOR(s)
		if err != nil {
			if a.IsValid() {
				t.Errorf("%q with error %v", a, err)
			}
			return
		}
		if b, err := location.ParseAOR(a.String()); b != a || err != nil {
			t.Errorf("%q: %q comes back as %q, %v", s, a, b, err)
		}
		if b, err := location.MakeAOR(a.User(), a.Domain()); b != a || err != nil {
			t.Errorf("%q: %q made again is %q, %v", s, a, b, err)
		}
		if d, err := location.CanonicalDomain(a.Domain()); d != a.Domain() || err != nil {
			t.Errorf("%q: domain %q is not canonical: %q, %v", s, a.Domain(), d, err)
		}
	})
}

func BenchmarkParseAOR(b *testing.B) {
	for name, s := range map[string]string{"plain": "sip:201@tenant-a.pbx.example.org:5060;user=phone", "escape": "sip:2%301@tenant-a.pbx.example.org"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := location.ParseAOR(s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A clone is the same AOR, and shares no memory with it.
func TestAOR_Clone(t *testing.T) {
	a := mustAOR(t, "Bob", "a.example")
	b := a.Clone()
	if a != b || unsafe.StringData(a.User()) == unsafe.StringData(b.User()) || unsafe.StringData(a.Domain()) == unsafe.StringData(b.Domain()) {
		t.Errorf("%v is cloned as %v", a, b)
	}
	if b := (location.AOR{}).Clone(); b.IsValid() {
		t.Errorf("the zero AOR is cloned as %v", b)
	}
}
