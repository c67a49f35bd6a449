package guard_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/guard"
)

// Bans outlive a restart, and what they have been earned for does: the next one
// is longer.
func TestSnapshot_Restart(t *testing.T) {
	w := newWorld(t, guard.Config{})
	src, former := tcp("203.0.113.9:5060"), tcp("[2001:db8::9]:5060")
	w.fail(former, 10)
	w.wait(2 * time.Minute)
	w.fail(src, 10)
	for _, s := range []string{"198.51.100.0/24", "192.0.2.0/24"} {
		if err := w.Ban(netip.MustParsePrefix(s), time.Time{}, "by hand", w.now); err != nil {
			t.Fatal(err)
		}
	}
	data, err := w.Snapshot(w.now)
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Collect(w.Bans(w.now))

	v := newWorld(t, guard.Config{})
	v.now = w.now
	if err := v.Restore(data, v.now); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, slices.Collect(v.Bans(v.now)), comparePrefix); diff != "" {
		t.Error(diff)
	}
	if len(v.events) != len(want) {
		t.Errorf("told of %d bans, want %d", len(v.events), len(want))
	}
	v.banned(src)
	v.fail(former, 10)
	if b := v.banned(former); b.Count != 2 {
		t.Errorf("%+v is not the second", b)
	}

	// P-56: what has become trusted meanwhile is not restored.
	v = newWorld(t, guard.Config{})
	v.now = w.now
	v.trust("192.0.2.5/32")
	if err := v.Restore(data, v.now); err != nil {
		t.Fatal(err)
	}
	if b, ok := v.Banned(udp("192.0.2.5:5060"), v.now); ok || len(v.events) != len(want)-1 {
		t.Errorf("%+v, %v", b, v.events)
	}

	// What is remembered no longer goes.
	w.wait(25 * time.Hour)
	if data, err = w.Snapshot(w.now); err != nil || strings.Contains(string(data), "2001:db8::") {
		t.Errorf("%s %v", data, err)
	}
}

func TestRestore_Faults(t *testing.T) {
	for _, data := range []string{
		"",
		"{}",
		"null x",
		`[{"prefix": "203.0.113.9"}]`,
		`[{"prefix": "203.0.113.9/32"}, {"prefix": ""}]`,
		`[{"prefix": "203.0.113.9/32"}, {"prefix": "0.0.0.0/0"}]`,
		`[{"prefix": "203.0.113.9/32", "count": -1}]`,
		`[{"prefix": "203.0.113.9/32", "count": 3}]`,
		`[{"prefix": "203.0.113.9/32", "count": 9223372036854775807, "until": "2126-01-01T00:00:00Z"}]`,
		`[{"prefix": "203.0.113.9/32", "until": "tomorrow"}]`,
		"[" + strings.Repeat(`{"prefix": "203.0.113.9/32"},`, 10_000) + `{"prefix": "203.0.113.9/32"}]`,
	} {
		w := newWorld(t, guard.Config{})
		if err := w.Restore([]byte(data), w.now); err == nil {
			t.Errorf("%.100s is accepted", data)
		}
		if b, ok := w.Banned(udp("203.0.113.9:5060"), w.now); ok {
			t.Errorf("%.100s: %+v", data, b)
		}
	}
}

// Whatever Restore accepts, Snapshot returns, and that is accepted again.
func FuzzRestore(f *testing.F) {
	f.Add([]byte(`[{"prefix":"203.0.113.9/32","until":"2126-01-01T00:00:00Z","reason":"x","count":1}]`))
	f.Add([]byte(`[{"prefix":"2001:db8::1/128","reason":"by hand"},{"prefix":"::ffff:1.2.3.4/120","reason":"\u0000"}]`))
	f.Add([]byte(`[{"prefix":"0.0.0.0/1","until":"0001-01-01T00:00:00Z"}]`))
	f.Add([]byte(`[{"prefix":"fe80::1%eth0/64","until":"9999-12-31T23:59:59.999999999-23:59"}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWorld(t, guard.Config{})
		if w.Restore(data, w.now) != nil {
			return
		}
		once, err := w.Snapshot(w.now)
		if err != nil {
			t.Fatal(err)
		}
		v := newWorld(t, guard.Config{})
		if err := v.Restore(once, w.now); err != nil {
			t.Fatalf("%s: %v", once, err)
		}
		for b := range w.Bans(w.now) {
			v.banned(guard.Source{Addr: netip.AddrPortFrom(b.Prefix.Addr(), 5060), Transport: "udp"})
		}
		twice, err := v.Snapshot(w.now)
		if err != nil || string(once) != string(twice) {
			t.Errorf("%s\nbecomes\n%s\n%v", once, twice, err)
		}
	})
}
