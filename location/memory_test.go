package location_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/locationtest"
)

func memoryHarness() locationtest.Harness {
	return locationtest.Harness{
		New: func(_ testing.TB, now func() time.Time) location.Store {
			return location.NewMemory(location.MemoryConfig{Now: now})
		},
	}
}

func TestMemory(t *testing.T) { locationtest.Run(t, memoryHarness()) }

func BenchmarkMemory(b *testing.B) { locationtest.Bench(b, memoryHarness()) }

// TestMemory_Merge: what is read from another store never takes the place of
// what is newer, and of nothing but the same phone.
func TestMemory_Merge(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	aor, err := location.MakeAOR("401", "a.example")
	if err != nil {
		t.Fatal(err)
	}
	mine := location.Binding{
		Contact: "sip:401@10.0.0.1", CallID: "c", CSeq: 7, UserAgent: "phone",
		Flow:    location.Flow{Transport: "udp", Remote: netip.MustParseAddrPort("192.0.2.1:5060")},
		Updated: now.Add(500 * time.Millisecond), Expires: now.Add(time.Hour),
	}
	change := func(f func(*location.Binding)) location.Binding {
		b := mine
		f(&b)
		return b
	}
	for name, tt := range map[string]struct {
		other location.Binding
		taken bool
		want  int
	}{
		"the same second":    {change(func(b *location.Binding) { b.Updated, b.Q = now, 100 }), false, 1},
		"a second later":     {change(func(b *location.Binding) { b.Updated = now.Add(time.Second) }), true, 1},
		"a second earlier":   {change(func(b *location.Binding) { b.Updated, b.CSeq = now.Add(-time.Second), 9 }), false, 1},
		"next CSeq":          {change(func(b *location.Binding) { b.Updated, b.CSeq = now, 8 }), true, 1},
		"CSeq of others":     {change(func(b *location.Binding) { b.Updated, b.CallID, b.CSeq = now, "d", 8 }), false, 1},
		"another Contact":    {change(func(b *location.Binding) { b.Contact, b.Updated = "sip:401@10.0.0.2", now.Add(-time.Minute) }), true, 2},
		"it has expired":     {change(func(b *location.Binding) { b.Contact, b.Expires = "sip:401@10.0.0.2", now }), false, 1},
		"same phone, expiry": {change(func(b *location.Binding) { b.Updated, b.Expires = now.Add(time.Minute), now.Add(time.Minute) }), true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := location.NewMemory(location.MemoryConfig{Now: func() time.Time { return now }})
			if !m.Merge(aor, mine) {
				t.Fatal("the first one was not taken")
			}
			if got := m.Merge(aor, tt.other); got != tt.taken {
				t.Errorf("Merge = %v, want %v", got, tt.taken)
			}
			bs, err := m.Lookup(t.Context(), aor)
			if err != nil || len(bs) != tt.want {
				t.Fatalf("Lookup = %v, %v; want %d", bs, err, tt.want)
			}
			if found := slices.Contains(bs, tt.other); found != tt.taken {
				t.Errorf("it is there: %v, want %v", found, tt.taken)
			}
			if has, err := m.HasFlow(t.Context(), mine.Flow, nil); err != nil || !has {
				t.Errorf("HasFlow = %v, %v", has, err)
			}
		})
	}
}

// TestMemory_AORs: users are counted, however many phones they have, until the
// last one is gone.
func TestMemory_AORs(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	m := location.NewMemory(location.MemoryConfig{Now: func() time.Time { return now }})
	want := func(a, b int) {
		t.Helper()
		if gotA, gotB := m.AORs("a.example"), m.AORs("b.example"); gotA != a || gotB != b {
			t.Errorf("got %d and %d, want %d and %d", gotA, gotB, a, b)
		}
	}
	phone := func(user, domain, contact string, life time.Duration) {
		t.Helper()
		aor, err := location.MakeAOR(user, domain)
		if err != nil {
			t.Fatal(err)
		}
		m.Merge(aor, location.Binding{Contact: contact, CallID: contact, Updated: now, Expires: now.Add(life)})
	}
	want(0, 0)
	phone("401", "a.example", "sip:1@192.0.2.1", time.Minute)
	phone("401", "a.example", "sip:1@192.0.2.2", time.Hour)
	phone("402", "a.example", "sip:2@192.0.2.3", time.Minute)
	phone("401", "b.example", "sip:1@192.0.2.4", time.Hour)
	want(2, 1)
	now = now.Add(time.Minute)
	if _, err := m.Purge(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	want(1, 1)
	now = now.Add(time.Hour)
	if _, err := m.Purge(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	want(0, 0)
}
