package location_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/sipward/sipward/location"
)

// benchStart is when all benchmarks begin.
var benchStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// benchAORs returns n AORs, a thousand in each domain.
func benchAORs(tb testing.TB, n int) []location.AOR {
	tb.Helper()
	aors := make([]location.AOR, n)
	var domain string
	for i := range aors {
		if i%1000 == 0 { // a new one for each AOR would only measure cache misses on the keys
			domain = fmt.Sprintf("t%06d.pbx.example.org", i/1000)
		}
		aor, err := location.MakeAOR(benchUsers[i%1000], domain)
		if err != nil {
			tb.Fatal(err)
		}
		aors[i] = aor
	}
	return aors
}

var benchUsers = func() (users [1000]string) {
	for i := range users {
		users[i] = fmt.Sprint(1000 + i)
	}
	return users
}()

// benchBinding returns a binding as a desk phone behind a proxy has it. Each
// call returns new strings.
func benchBinding(i int) location.Binding {
	host := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	return location.Binding{
		Contact: fmt.Sprintf("sip:%d@%v:5060;transport=tcp;line=%015x", 1000+i%1000, host, i),
		Flow: location.Flow{
			Transport: "tcp",
			Remote:    netip.AddrPortFrom(host, uint16(1024+i%60000)),
			Local:     netip.MustParseAddrPort("192.0.2.1:5060"),
		},
		Q:         location.QUnspecified,
		CallID:    fmt.Sprintf("%032x", i),
		CSeq:      uint32(i),
		Expires:   benchStart.Add(time.Hour + time.Duration(i%3600)*time.Second),
		Updated:   benchStart,
		Instance:  fmt.Sprintf("<urn:uuid:00000000-0000-1000-8000-%012x>", i),
		RegID:     1,
		Methods:   7999,
		UserAgent: fmt.Sprintf("Vendor SIP-T46U 108.86.%d.%d (0015651ab)", i%10, i%5),
		Token:     fmt.Sprintf("%022x", i),
		Registrar: "sip:10.0.1.10:5060;t=udp",
	}
}

// benchMemory returns a Memory with n bindings, and their AORs in no order.
func benchMemory(b *testing.B, n int) (*location.Memory, []location.AOR) {
	b.Helper()
	m := location.NewMemory(location.MemoryConfig{Now: func() time.Time { return benchStart }})
	aors := benchAORs(b, n)
	for i, aor := range aors {
		if err := m.Apply(b.Context(), aor, location.Change{Put: []location.Binding{benchBinding(i)}}); err != nil {
			b.Fatal(err)
		}
	}
	rand.Shuffle(n, func(i, j int) { aors[i], aors[j] = aors[j], aors[i] })
	return m, aors
}

var benchSizes = []int{10_000, 1_000_000}

func BenchmarkMemory_Lookup(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m, aors := benchMemory(b, n)
			ctx := context.Background()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if bs, err := m.Lookup(ctx, aors[i%n]); err != nil || len(bs) != 1 {
					b.Fatal(bs, err)
				}
			}
		})
	}
}

// BenchmarkMemory_Refresh includes the lookup of what it refreshes.
func BenchmarkMemory_Refresh(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m, aors := benchMemory(b, n)
			ctx := context.Background()
			put := make([]location.Binding, 1)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				bs, err := m.Lookup(ctx, aors[i%n])
				if err != nil {
					b.Fatal(err)
				}
				put[0] = bs[0]
				put[0].CSeq++
				put[0].Expires = put[0].Expires.Add(time.Minute)
				if err := m.Apply(ctx, aors[i%n], location.Change{Put: put, Keep: 10}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMemory_HasFlow is of a flow that many AORs are on, which is what a
// gateway is, or somebody who wants to be expensive.
func BenchmarkMemory_HasFlow(b *testing.B) {
	const n = 10_000
	m, phone := location.NewMemory(location.MemoryConfig{Now: func() time.Time { return benchStart }}), benchBinding(0)
	for _, aor := range benchAORs(b, n) {
		if err := m.Apply(b.Context(), aor, location.Change{Put: []location.Binding{phone}}); err != nil {
			b.Fatal(err)
		}
	}
	for name, accept := range map[string]func(location.AOR) bool{"any": nil, "none": func(location.AOR) bool { return false }} {
		b.Run(fmt.Sprintf("%s of %d", name, n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if has, err := m.HasFlow(b.Context(), phone.Flow, accept); has != (accept == nil) || err != nil {
					b.Fatal(has, err)
				}
			}
		})
	}
}

// BenchmarkMemory_Size reports the heap that a binding takes, with its AOR and
// its part of all tables.
func BenchmarkMemory_Size(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				before := heapInUse()
				m := location.NewMemory(location.MemoryConfig{Now: func() time.Time { return benchStart }})
				for i, aor := range benchAORs(b, n) {
					if err := m.Apply(b.Context(), aor, location.Change{Put: []location.Binding{benchBinding(i)}}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(heapInUse()-before)/float64(m.Len()), "bytes/binding")
			}
		})
	}
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
