package location

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"
)

// held counts what is left in m's tables: AORs, slots and Contact users. It
// also checks that the tables agree with each other.
func held(t *testing.T, m *Memory) (aors, slots, contacts int) {
	t.Helper()
	chained, queued, indexed, want := 0, 0, 0, 0
	byDomain := map[string]int{}
	for i := range m.shards {
		s := &m.shards[i]
		aors += len(s.aors)
		slots += len(s.expiry.slots)
		if len(s.expiry.order) != len(s.expiry.slots) {
			t.Errorf("%d slots in order, %d by number", len(s.expiry.order), len(s.expiry.slots))
		}
		for aor, first := range s.aors {
			byDomain[aor.domain]++
			for r := first; r != nil; r = r.next {
				chained++
				if r.aor() != aor || unsafe.StringData(r.user) != unsafe.StringData(aor.user) {
					t.Errorf("record of %q under %q", r.aor(), aor)
				}
				if r.contact().IsValid() {
					want++
				}
			}
		}
		for n, sl := range s.expiry.slots {
			for r := sl.records.head; r != nil; r = r.byExpiry.next {
				queued++
				if slotNumber(r.expires) != n || sl.number != n {
					t.Errorf("record of slot %d in slot %d", slotNumber(r.expires), n)
				}
			}
		}
	}
	for i := range m.contacts.shards {
		s := &m.contacts.shards[i]
		contacts += len(s.records)
		for key, c := range s.records {
			for r := c.head; r != nil; r = r.byContact.next {
				indexed++
				if r.contact() != key {
					t.Errorf("record of %q under %q", r.contact(), key)
				}
			}
		}
	}
	if !maps.Equal(byDomain, m.domains.aors) {
		t.Errorf("AORs by domain: %v, counted %v", byDomain, m.domains.aors)
	}
	if chained != m.Len() || queued != m.Len() || indexed != want {
		t.Errorf("%d records in all: %d by AOR, %d by expiry, %d of %d by Contact", m.Len(), chained, queued, indexed, want)
	}
	return aors, slots, contacts
}

// Nothing stays behind of phones that come and go, in whatever way they go.
func TestMemory_NothingLeaks(t *testing.T) {
	now := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	m := NewMemory(MemoryConfig{Now: func() time.Time { return now }})
	rnd := rand.New(rand.NewPCG(1, 2))
	binding := func() Binding {
		return Binding{
			Contact: fmt.Sprintf("sip:%d@10.0.0.%d", rnd.IntN(50), rnd.IntN(3)),
			CallID:  "call",
			Expires: now.Add(time.Duration(rnd.IntN(5000)-500) * time.Second),
			Updated: now,
		}
	}
	for i := range 20_000 {
		aor, err := MakeAOR(fmt.Sprint(rnd.IntN(50)), fmt.Sprintf("%d.example", rnd.IntN(5)))
		if err != nil {
			t.Fatal(err)
		}
		c := Change{Put: []Binding{binding(), binding()}[:rnd.IntN(3)], Keep: rnd.IntN(6)}
		if rnd.IntN(3) == 0 {
			c.Remove = []Binding{binding()}
		}
		c.Reset = rnd.IntN(20) == 0
		if err := m.Apply(t.Context(), aor, c); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Duration(rnd.IntN(10)) * time.Second)
		if i%1000 == 0 {
			now = now.Add(-time.Duration(rnd.IntN(600)) * time.Second) // clocks are set back, too
			held(t, m)
		}
	}
	if aors, slots, contacts := held(t, m); aors == 0 || slots == 0 || contacts == 0 {
		t.Fatalf("nothing to test: %d AORs, %d slots, %d Contacts", aors, slots, contacts)
	}
	now = now.Add(time.Hour + 20*time.Minute)
	n := m.Len()
	if purged, err := m.Purge(t.Context(), 1<<30); purged != n || err != nil {
		t.Errorf("purged %d of %d, %v", purged, n, err)
	}
	if aors, slots, contacts := held(t, m); m.Len()+aors+slots+contacts != 0 {
		t.Errorf("left: %d bindings, %d AORs, %d slots, %d Contacts", m.Len(), aors, slots, contacts)
	}
}

// A Purge of many gives way to others in between, and still drops them all.
func TestMemory_PurgesAll(t *testing.T) {
	now := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	m := NewMemory(MemoryConfig{Now: func() time.Time { return now }})
	const n = shardCount * purgeStep * 3 / 2
	for i := range n {
		aor, err := MakeAOR(fmt.Sprint(i), "a.example")
		if err != nil {
			t.Fatal(err)
		}
		b := Binding{Contact: fmt.Sprintf("sip:%d@10.0.0.1", i), Expires: now.Add(time.Minute), Updated: now}
		if err := m.Apply(t.Context(), aor, Change{Put: []Binding{b}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, contacts := held(t, m); contacts != 0 {
		t.Errorf("%d Contacts in the index that are found by their AOR", contacts)
	}
	now = now.Add(time.Minute)
	if purged, err := m.Purge(t.Context(), n+1); purged != n || err != nil {
		t.Errorf("got %d, %v; want %d", purged, err, n)
	}
}

// Without any Purge, changes of some AORs free the expired bindings of others.
func TestMemory_ApplyFreesExpired(t *testing.T) {
	now := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	m := NewMemory(MemoryConfig{Now: func() time.Time { return now }})
	for i := range 100_000 { // each phone registers once, for a minute, and is never seen again
		aor, err := MakeAOR(fmt.Sprint(i), "a.example")
		if err != nil {
			t.Fatal(err)
		}
		b := Binding{Contact: "sip:a@10.0.0.1", Expires: now.Add(time.Minute), Updated: now}
		if err := m.Apply(t.Context(), aor, Change{Put: []Binding{b}}); err != nil {
			t.Fatal(err)
		}
		now = now.Add(100 * time.Millisecond)
	}
	// 600 are live, 160 wait for their slot to be over, and the rest for their
	// shard to be used.
	if n := m.Len(); n > 2000 {
		t.Errorf("%d bindings are left", n)
	}
}

// The clock of a machine without battery jumps by decades.
func TestMemory_ClockJumps(t *testing.T) {
	now := time.Unix(-1000, 0)
	m := NewMemory(MemoryConfig{Now: func() time.Time { return now }})
	aor, err := MakeAOR("201", "a.example")
	if err != nil {
		t.Fatal(err)
	}
	put := func() {
		t.Helper()
		b := Binding{Contact: "sip:a@10.0.0.1", Expires: now.Add(time.Minute), Updated: now}
		if err := m.Apply(t.Context(), aor, Change{Put: []Binding{b}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, year := range []int{1970, 2026, 2200, 1980, 2400, 1} {
		put()
		now = time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
		put()
		if bs, err := m.Lookup(t.Context(), aor); len(bs) != 1 || err != nil {
			t.Errorf("%d: got %v, %v", year, bs, err)
		}
		if m.Len() != 1 {
			t.Errorf("%d: %d bindings", year, m.Len())
		}
		held(t, m)
	}
}
