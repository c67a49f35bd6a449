package tenant_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/sipward/sipward/tenant"
)

// manyTenants returns n tenants with a domain, an IPv4 address, an IPv6
// network and, every tenth, an IPv4 network.
func manyTenants(n int) []tenant.Tenant {
	ts := make([]tenant.Tenant, n)
	for i := range ts {
		hi, lo := byte(i>>8), byte(i)
		ts[i] = tenant.Tenant{
			SetID:   i,
			Domains: []string{fmt.Sprintf("tenant-%d.example", i)},
			Sources: []tenant.Source{
				{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, hi, lo, 10}), 32)},
				{Prefix: netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, hi, lo}), 48)},
			},
		}
		if i%10 == 0 {
			ts[i].Sources = append(ts[i].Sources, tenant.Source{
				Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{172, hi, lo, 0}), 24),
			})
		}
	}
	return ts
}

// sizes runs a benchmark for tables of some sizes; i spreads over the tenants.
func sizes(b *testing.B, run func(t *tenant.Table, ts []tenant.Tenant, i int) bool) {
	for _, n := range []int{1_000, 50_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ts := manyTenants(n)
			table := mustTable(b, ts...)
			b.ReportAllocs()
			for i := 0; b.Loop(); i += 7919 {
				if !run(table, ts, i%n) {
					b.Fatal("wrong answer")
				}
			}
		})
	}
}

func BenchmarkCandidates_Address(b *testing.B) {
	sizes(b, func(t *tenant.Table, _ []tenant.Tenant, i int) bool {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 10})
		return len(t.Candidates(netip.AddrPortFrom(addr, 5060))) == 1
	})
}

func BenchmarkCandidates_IPv6Network(b *testing.B) {
	sizes(b, func(t *tenant.Table, _ []tenant.Tenant, i int) bool {
		addr := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, byte(i >> 8), byte(i), 15: 9})
		return len(t.Candidates(netip.AddrPortFrom(addr, 5060))) == 1
	})
}

func BenchmarkCandidates_Stranger(b *testing.B) {
	sizes(b, func(t *tenant.Table, _ []tenant.Tenant, i int) bool {
		addr := netip.AddrFrom4([4]byte{203, byte(i >> 8), byte(i), 10})
		return t.Candidates(netip.AddrPortFrom(addr, 5060)) == nil
	})
}

func BenchmarkDomain(b *testing.B) {
	sizes(b, func(t *tenant.Table, ts []tenant.Tenant, i int) bool {
		_, ok := t.Domain(ts[i].Domains[0])
		return ok
	})
}

func BenchmarkResolve_PBX(b *testing.B) {
	sizes(b, func(t *tenant.Table, _ []tenant.Tenant, i int) bool {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 10})
		_, err := t.Resolve(context.Background(), tenant.Query{Source: netip.AddrPortFrom(addr, 5060), Domain: "192.0.2.1"})
		return err == nil
	})
}

func BenchmarkNewTable(b *testing.B) {
	for _, n := range []int{1_000, 50_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ts := manyTenants(n)
			b.ReportAllocs()
			for b.Loop() {
				mustTable(b, ts...)
			}
		})
	}
}

func TestAllocations(t *testing.T) {
	table := resolveWorld(t)
	ctx := context.Background()
	pbx := netip.MustParseAddrPort("[::ffff:10.0.1.10]:5060")
	phone := netip.MustParseAddrPort("[2001:db8::9]:5060")
	tests := map[string]func(){
		"Candidates":         func() { table.Candidates(pbx) },
		"Candidates of none": func() { table.Candidates(phone) },
		"Domain":             func() { table.Domain("a.example") },
		"Domain with port":   func() { table.Domain("a.example:5060") },
		"Domain IPv6":        func() { table.Domain("[2001:db8::20]:5060") },
		"Resolve PBX":        func() { table.Resolve(ctx, tenant.Query{Source: pbx, Domain: "192.0.2.1"}) },
		"Resolve phone":      func() { table.Resolve(ctx, tenant.Query{Source: phone, Domain: "a.example"}) },
		"Resolve stranger":   func() { table.Resolve(ctx, tenant.Query{Source: phone, Domain: "scanner.example"}) },
	}
	for name, f := range tests {
		t.Run(name, func(t *testing.T) {
			if n := testing.AllocsPerRun(100, f); n != 0 {
				t.Errorf("%v allocations, want 0", n)
			}
		})
	}
}
