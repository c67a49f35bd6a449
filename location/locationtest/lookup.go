package locationtest

import (
	"net/netip"
	"strings"
	"time"

	"github.com/sipward/sipward/location"
)

var lookupRules = []rule{
	{"Empty", "An AOR without bindings is no error: Lookup returns nil, nil.", checkEmpty},
	{"Fields", "Lookup returns all fields as they were put, set or not.", checkFields},
	{"HostileText", "Any text is kept whole, as it came, or refused by an error and then not kept at all.", checkHostileText},
	{"Order", "Lookup returns the highest Q first, unspecified Q last, then the most recently updated first.", checkOrder},
	{"Expiry", "A binding is live while now is before its Expires, to the second.", checkExpiry},
	{"ExpiredPut", "A binding that has expired when it is put replaces as any other and is dead.", checkExpiredPut},
}

func checkEmpty(f *fixture) {
	aor := f.aor("201", "a.example")
	for _, state := range []string{"never seen", "seen, but gone"} {
		if bs, err := f.store.Lookup(f.Context(), aor); bs != nil || err != nil {
			f.Errorf("%s: got %v, %v; want nil, nil", state, bs, err)
		}
		b := f.device()
		f.put(aor, &b)
		f.apply(aor, location.Change{CallID: b.CallID, CSeq: 2, Reset: true})
	}
	f.apply(aor, location.Change{})
	f.want(aor)
}

func checkFields(f *fixture) {
	full := location.Binding{
		Contact: "sip:H5CCvFpY@192.0.2.7:5062;transport=ws;line=3e9;ob",
		Flow: location.Flow{
			Transport: "wss",
			Remote:    netip.MustParseAddrPort("[2001:db8::7]:49152"),
			Local:     netip.MustParseAddrPort("[2001:db8::1]:443"),
		},
		Path:      "<sip:edge1.example;lr>, <sip:edge2.example;lr;x=\"a,b\">",
		Q:         330,
		CallID:    "60f86b69b228-zd4egelytysk",
		CSeq:      1<<31 - 1, // RFC 3261 section 8.1.1.5
		Expires:   f.clock.Now().Add(2*time.Hour + time.Second),
		Updated:   f.clock.Now(),
		Instance:  "<urn:uuid:00000000-0000-1000-8000-000a95a0e128>",
		RegID:     2,
		Methods:   7999,
		UserAgent: "Vendor T46 (1.2.3)",
		Token:     "k3Jd8_x-1",
		Registrar: "sip:10.0.1.10:5060",
	}
	bare := location.Binding{
		Contact: "sip:192.0.2.8",
		Q:       location.QUnspecified,
		Expires: f.clock.Now().Add(time.Hour),
		Updated: f.clock.Now(),
	}
	mapped := f.device()
	mapped.Flow.Remote = netip.MustParseAddrPort("203.0.113.9:65535")
	mapped.Q = 0

	aor := f.aor("201", "a.example")
	f.apply(aor, location.Change{Put: []location.Binding{bare, mapped, full}})
	f.want(aor, full, mapped, bare)
}

// hostileTexts are what breaks careless statements, encodings and columns.
var hostileTexts = []string{
	`'`, `"`, "`", `\`, `\'`, `'; DROP TABLE location; -- `, `%`, `%00`, `%s%n`, `_`, `*`, `?`, `$1`, `:name`, `{{.}}`, `<&>`, `a,b;c=d`,
	"NULL", "0", " ", " padded ", "ends in blank ", "\u00e9", "e\u0301", "stra\u00dfe", "\u0130", "\u4e2d\u6587", "\U0001f4de",
	"\U00010348\U0001f468\u200d\U0001f469",
}

func checkHostileText(f *fixture) {
	for _, text := range hostileTexts {
		b := f.device()
		b.Contact = "sip:" + text + "@192.0.2.7"
		f.keepsWhole(f.aor(text, "a.example"), text, b, true)
	}
	long := strings.Repeat("0123456789", 30)
	b := f.device()
	b.Contact = "sip:" + long + "@192.0.2.7;line=" + long
	aor := f.aor("201", "a.example")
	f.apply(aor, location.Change{Put: []location.Binding{b}})
	f.want(aor, b)
	f.keepsWhole(f.aor(long, "a.example"), long, f.device(), false)
}

// keepsWhole puts b with text in each field there is. Unless must is set, the
// store may refuse it.
func (f *fixture) keepsWhole(aor location.AOR, text string, b location.Binding, must bool) {
	f.Helper()
	fields := []struct {
		name string
		of   func(*location.Binding) *string
	}{
		{"AOR", func(*location.Binding) *string { return new(string) }},
		{"CallID", func(b *location.Binding) *string { return &b.CallID }},
		{"UserAgent", func(b *location.Binding) *string { return &b.UserAgent }},
		{"Instance", func(b *location.Binding) *string { return &b.Instance }},
		{"Path", func(b *location.Binding) *string { return &b.Path }},
		{"Token", func(b *location.Binding) *string { return &b.Token }},
		{"Registrar", func(b *location.Binding) *string { return &b.Registrar }},
	}
	for _, field := range fields {
		b := b
		*field.of(&b) = text
		var want []location.Binding
		err := f.store.Apply(f.Context(), aor, location.Change{Reset: true, Put: []location.Binding{b}})
		if err == nil {
			want = append(want, b)
		} else if must {
			f.Errorf("%s %q: %v", field.name, text, err)
			continue
		}
		if d := diff(f.lookup(aor), want); d != "" {
			f.Errorf("%s %q, Apply error %v:\n%s", field.name, text, err, d)
		}
		f.apply(f.aor("201", "a.example"), location.Change{Reset: true}) // the store must still work
		f.store.Apply(f.Context(), aor, location.Change{Reset: true})
	}
}

func checkOrder(f *fixture) {
	aor := f.aor("201", "a.example")
	qs := []location.Q{location.QUnspecified, 500, 1000, 0, 500, location.QUnspecified, 1000}
	bs := make([]location.Binding, len(qs))
	for i, q := range qs {
		bs[i] = f.device()
		bs[i].Q = q
		f.put(aor, &bs[i])
	}
	f.want(aor, bs[6], bs[2], bs[4], bs[1], bs[3], bs[5], bs[0])
}

func checkExpiry(f *fixture) {
	aor := f.aor("201", "a.example")
	short, long := f.device(), f.device()
	short.Expires = f.clock.Now().Add(60 * time.Second)
	long.Expires = f.clock.Now().Add(61 * time.Second)
	long.Q = 500
	f.apply(aor, location.Change{Put: []location.Binding{short, long}})
	f.clock.Advance(59 * time.Second)
	f.want(aor, long, short)
	f.clock.Advance(time.Second)
	f.want(aor, long)
	f.clock.Advance(time.Second)
	f.want(aor)

	// A refresh gives the binding a new end, be it nearer or farther.
	b := f.device()
	f.put(aor, &b)
	b = f.again(b)
	b.Expires = f.clock.Now().Add(10 * time.Second)
	f.apply(aor, location.Change{Put: []location.Binding{b}})
	f.clock.Advance(5 * time.Second)
	b = f.again(b)
	b.Expires = f.clock.Now().Add(100 * time.Second)
	f.apply(aor, location.Change{Put: []location.Binding{b}})
	f.clock.Advance(99 * time.Second)
	f.want(aor, b)
	f.clock.Advance(time.Second)
	f.want(aor)
}

func checkExpiredPut(f *fixture) {
	aor := f.aor("201", "a.example")
	a, b := f.device(), f.device()
	f.put(aor, &a, &b)
	gone := f.again(a)
	gone.Expires = f.clock.Now()
	f.apply(aor, location.Change{Put: []location.Binding{gone}})
	f.want(aor, b)
}
