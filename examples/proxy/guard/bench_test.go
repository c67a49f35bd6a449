package guard_test

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sipward/sipward/examples/proxy/guard"
)

// cases are what Admit may have to do, with 1,000 trusted prefixes and bans:
// serve one of many, refuse the one of a flood, serve a PBX and a phone that are
// over the limit, and refuse the banned.
func cases(tb testing.TB) (*guard.Guard, time.Time, map[string]func(i int) guard.Source) {
	live := guard.Source{Addr: netip.MustParseAddrPort("198.51.100.7:5060"), Transport: "udp"}
	g, err := guard.New(guard.Config{Live: func(src guard.Source) bool { return src == live }})
	if err != nil {
		tb.Fatal(err)
	}
	now := time.Now()
	var trusted []netip.Prefix
	for i := range 1000 {
		trusted = append(trusted, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 5}), 32))
		if err := g.Ban(netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 32), time.Time{}, "", now); err != nil {
			tb.Fatal(err)
		}
	}
	g.SetTrusted(trusted, now)
	of := func(a, b byte) func(i int) guard.Source {
		return func(i int) guard.Source {
			return guard.Source{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{a, b, byte(i >> 8 & 3), byte(i)}), 5060), Transport: "udp"}
		}
	}
	return g, now, map[string]func(i int) guard.Source{
		"spread": func(i int) guard.Source { return guard.Source{Addr: address(i), Transport: "udp"} },
		"flood":  func(int) guard.Source { return udp("192.0.2.99:5060") },
		"pbx":    func(int) guard.Source { return guard.Source{Addr: trustedPBX, Transport: "udp"} },
		"phone":  func(int) guard.Source { return live },
		"banned": of(203, 0),
	}
}

var trustedPBX = netip.MustParseAddrPort("10.0.9.5:5060")

func BenchmarkAdmit(b *testing.B) {
	for _, name := range []string{"spread", "flood", "pbx", "phone", "banned"} {
		b.Run(name, func(b *testing.B) {
			g, now, all := cases(b)
			sources := make([]guard.Source, 1<<14)
			for i := range sources {
				sources[i] = all[name](i)
			}
			var begin atomic.Int64
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := int(begin.Add(7919)); pb.Next(); i++ {
					g.Admit(sources[i%len(sources)], now.Add(time.Duration(i)*10*time.Microsecond))
				}
			})
		})
	}
}

func BenchmarkAdmitNew(b *testing.B) {
	g, now, all := cases(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		src := all["flood"](0)
		for pb.Next() {
			g.AdmitNew(src, "call", now)
		}
	})
}

func BenchmarkIsScanner(b *testing.B) {
	g, _, _ := cases(b)
	b.ReportAllocs()
	for b.Loop() {
		g.IsScanner("Yealink SIP-T46S 66.84.0.15", "Desk")
	}
}

func TestAllocations(t *testing.T) {
	g, now, all := cases(t)
	for name, source := range all {
		src := source(1)
		n := testing.AllocsPerRun(1000, func() {
			g.Admit(src, now)
			g.AdmitNew(src, "call", now)
			g.IsScanner("Yealink SIP-T46S 66.84.0.15", "Desk")
			g.Failed(src, guard.Malformed, now)
		})
		if n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}
