package locationtest

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sipward/sipward/location"
)

// Bench measures lookups and refreshes, alone and in parallel, at several
// table sizes. Each AOR has one binding.
func Bench(b *testing.B, h Harness) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("aors=%d", n), func(b *testing.B) {
			clock := NewClock()
			store := h.New(b, clock.Now)
			aors := populate(b, store, clock, n)
			b.Run("lookup", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					benchLookup(b, store, aors[rand.IntN(n)])
				}
			})
			b.Run("lookup-parallel", func(b *testing.B) {
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						benchLookup(b, store, aors[rand.IntN(n)])
					}
				})
			})
			var cseq atomic.Uint32
			b.Run("refresh", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					i := rand.IntN(n)
					benchRefresh(b, store, aors[i], benchBinding(clock, i, cseq.Add(1)))
				}
			})
			b.Run("refresh-parallel", func(b *testing.B) {
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						i := rand.IntN(n)
						benchRefresh(b, store, aors[i], benchBinding(clock, i, cseq.Add(1)))
					}
				})
			})
		})
	}
}

func populate(b *testing.B, store location.Store, clock *Clock, n int) []location.AOR {
	b.Helper()
	aors := make([]location.AOR, n)
	for i := range aors {
		aor, err := location.MakeAOR(fmt.Sprint(1000+i%1000), fmt.Sprintf("t%d.example", i/1000))
		if err != nil {
			b.Fatal(err)
		}
		aors[i] = aor
		benchRefresh(b, store, aor, benchBinding(clock, i, 0))
	}
	return aors
}

func benchBinding(clock *Clock, i int, cseq uint32) location.Binding {
	return location.Binding{
		Contact:   fmt.Sprintf("sip:%d@10.0.0.1:5060;transport=tcp;line=%08x", 1000+i%1000, i),
		Flow:      location.Flow{Transport: "tcp", Remote: newPort, Local: otherPort},
		Q:         location.QUnspecified,
		CallID:    fmt.Sprintf("%032x", cseq), // a new one, so that no order is stale
		CSeq:      1,
		Expires:   clock.Now().Add(time.Hour),
		Updated:   clock.Now(),
		Instance:  fmt.Sprintf("<urn:uuid:00000000-0000-1000-8000-%012x>", i),
		RegID:     1,
		UserAgent: "Vendor SIP-T46U 108.86.0.1",
	}
}

func benchLookup(b *testing.B, store location.Store, aor location.AOR) {
	if bs, err := store.Lookup(b.Context(), aor); err != nil || len(bs) != 1 {
		b.Errorf("Lookup(%q): %d bindings, error %v", aor, len(bs), err)
	}
}

func benchRefresh(b *testing.B, store location.Store, aor location.AOR, binding location.Binding) {
	c := location.Change{CallID: binding.CallID, CSeq: 1, Put: []location.Binding{binding}, Keep: 10}
	if err := store.Apply(b.Context(), aor, c); err != nil {
		b.Errorf("Apply(%q): %v", aor, err)
	}
}
