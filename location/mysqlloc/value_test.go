package mysqlloc_test

import (
	"errors"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/internal/mysqltest"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/mysqlloc"
)

// What does not fit is refused with the name of the column and its limit, and
// what was there stays (P-70).
func TestApply_ErrValue(t *testing.T) {
	long := strings.Repeat("é", 256)
	tests := []struct {
		name string
		user string
		set  func(*location.Binding)
		want []string // parts of the error
	}{
		{"user", strings.Repeat("u", 65), nil, []string{"username has 65 characters, at most 64"}},
		{"user with escapes", strings.Repeat("u", 60) + "  ", nil, []string{"username has 66 characters, at most 64"}},
		{"Contact", "bob", func(b *location.Binding) { b.Contact = "sip:" + strings.Repeat("x", 65532) }, []string{"contact has 65536 bytes, at most 65535"}},
		{"no Contact", "bob", func(b *location.Binding) { b.Contact = "" }, []string{"contact is empty"}},
		{"Path", "bob", func(b *location.Binding) { b.Path = long }, []string{"path has 256 characters, at most 255"}},
		{"Call-ID", "bob", func(b *location.Binding) { b.CallID = long }, []string{"callid has 256 characters, at most 255"}},
		{"instance", "bob", func(b *location.Binding) { b.Instance = long }, []string{"sip_instance has 256 characters, at most 255"}},
		{"token", "bob", func(b *location.Binding) { b.Token = strings.Repeat("x", 65600) }, []string{"kv_store has", "at most 65535"}},
		{"CSeq", "bob", func(b *location.Binding) { b.CSeq = 1 << 31 }, []string{"cseq"}},
		{"q", "bob", func(b *location.Binding) { b.Q = 1001 }, []string{"q is 1001"}},
		{"time", "bob", func(b *location.Binding) { b.Updated = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, []string{"last_modified"}},
		{"two", "bob", func(b *location.Binding) { b.CallID, b.Path = long, long }, []string{"callid", "path"}},
	}
	db := create(t, mysqltest.DB(t))
	s := open(t, db, mysqlloc.Config{})
	bob := aor(t, "bob", "a.example")
	old := binding("sip:bob@192.0.2.7")
	put(t, s, bob, old)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := binding("sip:bob@192.0.2.8")
			if tt.set != nil {
				tt.set(&b)
			}
			fits := binding("sip:bob@192.0.2.9")
			err := s.Apply(t.Context(), aor(t, tt.user, "a.example"), location.Change{Reset: true, Put: []location.Binding{fits, b}})
			if !errors.Is(err, mysqlloc.ErrValue) {
				t.Fatalf("got error %v, want ErrValue", err)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
			if d := cmp.Diff([]location.Binding{old}, lookup(t, s, bob), equalTimes); d != "" {
				t.Error(d)
			}
		})
	}
}

// What just fits is kept whole, and so is what a CHAR column or UTF-8 would
// not hold. P-42, P-70: nothing in it is a part of a statement.
func TestApply_KeepsWhole(t *testing.T) {
	texts := []string{
		strings.Repeat("é", 255), "\x00", "a\x00b", "NUL at the end\x00", "\xff", "latin1 B\xfcro \x00", " ", "  ", "two blanks  ", "\t", "tab at the end\t",
		"\U0001f4de\U0001f4de", `"; DROP TABLE location; --`, `\`, `\'`, "%", "\u0000 ", "?", "? ", "\xff ", "null",
	}
	db := create(t, mysqltest.DB(t))
	s := open(t, db, mysqlloc.Config{})
	bob := aor(t, "bob", "a.example")
	for _, text := range texts {
		b := binding("sip:" + text + "@192.0.2.7")
		b.Path, b.CallID, b.Instance, b.UserAgent, b.Token, b.Registrar = text, text, text, text, text, text
		if err := s.Apply(t.Context(), bob, location.Change{Reset: true, CSeq: math.MaxUint32, Put: []location.Binding{b}}); err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if d := cmp.Diff([]location.Binding{b}, lookup(t, s, bob), equalTimes); d != "" {
			t.Errorf("%q: %s", text, d)
		}
	}
}

// A user agent that is too long for its column is kept whole all the same, and no
// phone is refused for it (P-70).
func TestApply_LongUserAgent(t *testing.T) {
	db := create(t, mysqltest.DB(t))
	s := open(t, db, mysqlloc.Config{})
	bob := aor(t, "bob", "a.example")
	for _, tt := range []struct{ text, column string }{
		{strings.Repeat("é", 256), strings.Repeat("é", 255)},
		{strings.Repeat("\U0001f4de", 300), strings.Repeat("\U0001f4de", 255)},
		{strings.Repeat("\xff ", 300), strings.TrimSuffix(strings.Repeat("? ", 128), " ")},
		{strings.Repeat("x", 254) + "  x", strings.Repeat("x", 254)},
		{strings.Repeat("x", 60000), strings.Repeat("x", 255)},
	} {
		b := binding("sip:bob@192.0.2.7")
		b.UserAgent = tt.text
		put(t, s, bob, b)
		if d := cmp.Diff([]location.Binding{b}, lookup(t, s, bob), equalTimes); d != "" {
			t.Errorf("%.20q: %s", tt.text, d)
		}
		var column string
		if err := db.QueryRow("SELECT user_agent FROM location").Scan(&column); err != nil || column != tt.column {
			t.Errorf("%.20q: the column has %q, %v", tt.text, column, err)
		}
	}
	exec(t, db, "UPDATE location SET user_agent = 'xxx'")
	if got := lookup(t, s, bob); len(got) != 1 || got[0].UserAgent != "xxx" {
		t.Errorf("written over, it is %+v", got)
	}
}

// Once another program has written a column, what the store has beside it does
// not count any more.
func TestStore_OthersWriteOverTexts(t *testing.T) {
	db := create(t, mysqltest.DB(t))
	s := open(t, db, mysqlloc.Config{})
	bob := aor(t, "bob", "a.example")
	b := binding("sip:bob@192.0.2.7")
	b.CallID, b.UserAgent, b.Flow.Transport = "call ", "phone ", "tcp"
	put(t, s, bob, b)
	exec(t, db, "UPDATE location SET callid = 'new', user_agent = 'other', received = 'sip:192.0.2.7:5060'")
	want := b
	want.CallID, want.UserAgent = "new", "other"
	want.Flow = location.Flow{Transport: "udp", Remote: netip.MustParseAddrPort("192.0.2.7:5060")}
	if d := cmp.Diff([]location.Binding{want}, lookup(t, s, bob), equalTimes); d != "" {
		t.Error(d)
	}
}

// Flows come back as they were, whichever parts of them are known.
func TestApply_KeepsFlows(t *testing.T) {
	v4, v6 := netip.MustParseAddrPort("192.0.2.7:5060"), netip.MustParseAddrPort("[fe80::1%eth0]:49152")
	mapped := netip.MustParseAddrPort("[::ffff:192.0.2.7]:1")
	db := create(t, mysqltest.DB(t))
	s := open(t, db, mysqlloc.Config{})
	bob := aor(t, "bob", "a.example")
	for _, transport := range []string{"", "udp", "tcp", "tls", "ws", "wss", "UDP", "a;b|c"} {
		for _, remote := range []netip.AddrPort{{}, v4, v6, mapped} {
			for _, local := range []netip.AddrPort{{}, v4, v6} {
				b := binding("sip:bob@192.0.2.7")
				b.Flow = location.Flow{Transport: transport, Remote: remote, Local: local}
				if err := s.Apply(t.Context(), bob, location.Change{Reset: true, CSeq: 1, Put: []location.Binding{b}}); err != nil {
					t.Fatalf("%v: %v", b.Flow, err)
				}
				if d := cmp.Diff([]location.Binding{b}, lookup(t, s, bob), equalTimes); d != "" {
					t.Errorf("%v: %s", b.Flow, d)
				}
			}
		}
	}
}

// A binding that never expires is 0 in the table, and comes back as the last
// second that the column can count.
func TestApply_Permanent(t *testing.T) {
	db := create(t, mysqltest.DB(t))
	s := open(t, db, mysqlloc.Config{})
	bob := aor(t, "bob", "a.example")
	b := binding("sip:bob@192.0.2.7")
	b.Expires = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
	put(t, s, bob, b)
	if got := column(t, db, "expires"); got != "0" {
		t.Errorf("expires is %s, want 0", got)
	}
	if n, err := s.Purge(t.Context(), 10); n != 0 || err != nil {
		t.Errorf("Purge: %d, %v", n, err)
	}
	for _, got := range lookup(t, s, bob) {
		if got.Expires.Unix() != math.MaxUint32 {
			t.Errorf("Expires is %v", got.Expires)
		}
	}
}
