package tenant_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/tenant"
)

// resolveWorld: A and B have a PBX each, C and D share one set, E and F share
// an address, and set 60 has a PBX but no domain.
func resolveWorld(t testing.TB) *tenant.Table {
	return mustTable(t,
		tenant.Tenant{SetID: 10, Domains: []string{"a.example"}, Sources: []tenant.Source{src("10.0.1.10/32")}},
		tenant.Tenant{SetID: 20, Domains: []string{"b.example", "192.0.2.20"}, Sources: []tenant.Source{src("10.0.1.20/32")}},
		tenant.Tenant{SetID: 30, Domains: []string{"c.example", "d.example"}, Sources: []tenant.Source{src("10.0.1.30/32")}},
		tenant.Tenant{SetID: 40, Domains: []string{"e.example"}, Sources: []tenant.Source{srcPort("198.51.100.7/32", 5060), src("10.0.1.60/32")}},
		tenant.Tenant{SetID: 50, Domains: []string{"f.example"}, Sources: []tenant.Source{srcPort("198.51.100.7/32", 5080)}},
		tenant.Tenant{SetID: 60, Sources: []tenant.Source{src("10.0.1.60/32"), src("10.0.1.61/32")}},
	)
}

func TestTable_Resolve(t *testing.T) {
	table := resolveWorld(t)
	type answer struct {
		SetID   int
		Domain  string
		FromPBX bool
	}
	var none answer
	tests := []struct {
		name, src, domain string
		want              answer
		err               error
	}{
		{"PBX by address of the proxy", "10.0.1.10:5060", "192.0.2.1", answer{10, "a.example", true}, nil},
		{"PBX by IPv6 address", "10.0.1.10:5060", "[2001:db8::1]:5060", answer{10, "a.example", true}, nil},
		{"PBX without domain", "10.0.1.10:5060", "", answer{10, "a.example", true}, nil},
		{"PBX by domain", "10.0.1.10:5060", "A.example.:5060", answer{10, "a.example", true}, nil},
		{"PBX by foreign domain", "10.0.1.10:5060", "b.example", none, tenant.ErrForeign},
		{"PBX by foreign address that is a domain", "10.0.1.10:5060", "192.0.2.20", none, tenant.ErrForeign},
		{"PBX by its address that is a domain", "10.0.1.20:5060", "192.0.2.20", answer{20, "192.0.2.20", true}, nil},
		{"PBX by unknown domain", "10.0.1.10:5060", "elsewhere.example", none, tenant.ErrUnknown},
		{"PBX by nonsense", "10.0.1.10:5060", "a b", none, tenant.ErrUnknown},
		{"P-63 other PBX", "10.0.1.100:5060", "", none, tenant.ErrUnknown},

		{"P-12 shared set by domain", "10.0.1.30:5060", "d.example", answer{30, "d.example", true}, nil},
		{"P-12 shared set without domain", "10.0.1.30:5060", "192.0.2.1", none, tenant.ErrAmbiguous},
		{"shared address by port", "198.51.100.7:5080", "", answer{50, "f.example", true}, nil},
		{"shared address, ephemeral port", "198.51.100.7:40000", "", none, tenant.ErrAmbiguous},
		{"shared address, ephemeral port, domain", "198.51.100.7:40000", "e.example", answer{40, "e.example", true}, nil},
		{"shared address, port of another", "198.51.100.7:5060", "f.example", none, tenant.ErrForeign},
		{"set without domain", "10.0.1.61:5060", "", none, tenant.ErrUnknown},
		{"set without domain, foreign domain", "10.0.1.61:5060", "a.example", none, tenant.ErrForeign},
		{"set without domain beside another", "10.0.1.60:5060", "", none, tenant.ErrAmbiguous},

		{"phone by domain", "203.0.113.9:5060", "a.example", answer{10, "a.example", false}, nil},
		{"phone by domain of a shared set", "203.0.113.9:5060", "c.example", answer{30, "c.example", false}, nil},
		{"P-14 stranger by address", "203.0.113.9:5060", "192.0.2.1", none, tenant.ErrUnknown},
		{"P-14 stranger without domain", "203.0.113.9:5060", "", none, tenant.ErrUnknown},
		{"stranger by unknown domain", "203.0.113.9:5060", "elsewhere.example", none, tenant.ErrUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := table.Resolve(context.Background(), tenant.Query{
				Source: netip.MustParseAddrPort(tt.src),
				Domain: tt.domain,
			})
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			var got answer
			if m.Tenant != nil {
				got = answer{m.Tenant.SetID, m.Domain, m.FromPBX}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("match (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAmbiguousError(t *testing.T) {
	q := tenant.Query{Source: netip.MustParseAddrPort("10.0.1.30:5060"), Domain: "192.0.2.1"}
	_, err := resolveWorld(t).Resolve(context.Background(), q)
	ambiguous, ok := errors.AsType[*tenant.AmbiguousError](err)
	if !ok {
		t.Fatalf("error %v, want an *AmbiguousError", err)
	}
	if ambiguous.Query != q {
		t.Errorf("Query = %v, want %v", ambiguous.Query, q)
	}
	var got []string
	for m := range ambiguous.Candidates() {
		if m.Tenant.SetID != 30 || !m.FromPBX {
			t.Errorf("candidate %+v, want one of set 30 from its PBX", m)
		}
		got = append(got, m.Domain)
	}
	if diff := cmp.Diff([]string{"c.example", "d.example"}, got); diff != "" {
		t.Errorf("candidates (-want +got):\n%s", diff)
	}
	want := "tenant: ambiguous: 10.0.1.30:5060 may mean c.example of set 30, d.example of set 30"
	if err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

// P-80: a second domain does not change the routing of the first.
func TestResolve_SecondTenantLeavesFirstAlone(t *testing.T) {
	first := tenant.Tenant{SetID: 10, Domains: []string{"a.example"}, Sources: []tenant.Source{src("10.0.1.10/32")}}
	second := tenant.Tenant{SetID: 20, Domains: []string{"b.example"}, Sources: []tenant.Source{src("10.0.1.0/24")}}
	one, two := mustTable(t, first), mustTable(t, first, second)
	for _, q := range []tenant.Query{
		{Source: netip.MustParseAddrPort("10.0.1.10:5060")},
		{Source: netip.MustParseAddrPort("10.0.1.10:5060"), Domain: "a.example"},
		{Source: netip.MustParseAddrPort("203.0.113.9:5060"), Domain: "a.example"},
	} {
		want, err := one.Resolve(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		got, err := two.Resolve(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, comparePrefix); diff != "" {
			t.Errorf("%+v (-one +two):\n%s", q, diff)
		}
	}
	// P-13: with one domain only, a stranger does not fall into it.
	if _, err := one.Resolve(context.Background(), tenant.Query{}); !errors.Is(err, tenant.ErrUnknown) {
		t.Errorf("zero Query: error %v, want %v", err, tenant.ErrUnknown)
	}
}

func TestResolverFunc(t *testing.T) {
	want := tenant.Query{Domain: "a.example"}
	var r tenant.Resolver = tenant.ResolverFunc(func(_ context.Context, q tenant.Query) (tenant.Match, error) {
		return tenant.Match{Domain: q.Domain}, nil
	})
	if m, err := r.Resolve(context.Background(), want); err != nil || m.Domain != want.Domain {
		t.Errorf("Resolve = %+v, %v", m, err)
	}
}
