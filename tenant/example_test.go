package tenant_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/sipward/sipward/tenant"
)

// Two customers have an extension 401. Each Asterisk calls it by the address
// of the proxy, which says nothing about the customer.
func ExampleTable_Resolve() {
	table, err := tenant.NewTable([]tenant.Tenant{
		{
			SetID:   10,
			Domains: []string{"tenant-a.test"},
			Sources: []tenant.Source{{Prefix: netip.MustParsePrefix("10.0.1.10/32")}},
		},
		{
			SetID:   20,
			Domains: []string{"tenant-b.test"},
			Sources: []tenant.Source{{Prefix: netip.MustParsePrefix("10.0.1.100/32")}},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, src := range []string{"10.0.1.10:5060", "10.0.1.100:5060", "203.0.113.5:5060"} {
		m, err := table.Resolve(context.Background(), tenant.Query{
			Source: netip.MustParseAddrPort(src),
			Domain: "192.0.2.1", // INVITE sip:401@192.0.2.1
		})
		if err != nil {
			fmt.Println(src, "is refused:", err)
			continue
		}
		fmt.Printf("%s calls 401@%s\n", src, m.Domain)
	}
	// Output:
	// 10.0.1.10:5060 calls 401@tenant-a.test
	// 10.0.1.100:5060 calls 401@tenant-b.test
	// 203.0.113.5:5060 is refused: tenant: unknown
}

// One Asterisk serves two customers. Only a request that names the domain says
// whose it is; for another one the caller gets the candidates.
func ExampleAmbiguousError() {
	table, err := tenant.NewTable([]tenant.Tenant{{
		SetID:   10,
		Domains: []string{"tenant-a.test", "tenant-b.test"},
		Sources: []tenant.Source{{Prefix: netip.MustParsePrefix("10.0.1.10/32")}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	pbx := netip.MustParseAddrPort("10.0.1.10:5060")

	m, err := table.Resolve(context.Background(), tenant.Query{Source: pbx, Domain: "Tenant-B.test:5060"})
	fmt.Println(m.Domain, err)

	_, err = table.Resolve(context.Background(), tenant.Query{Source: pbx})
	if ambiguous, ok := errors.AsType[*tenant.AmbiguousError](err); ok {
		for m := range ambiguous.Candidates() {
			fmt.Println("candidate:", m.Domain)
		}
	}
	// Output:
	// tenant-b.test <nil>
	// candidate: tenant-a.test
	// candidate: tenant-b.test
}

// Several tenants behind one address are reported when the table is loaded.
func ExampleTable_SharedSources() {
	nat := netip.MustParsePrefix("198.51.100.7/32")
	table, err := tenant.NewTable([]tenant.Tenant{
		{SetID: 10, Domains: []string{"tenant-a.test"}, Sources: []tenant.Source{{Prefix: nat, Port: 5060}}},
		{SetID: 20, Domains: []string{"tenant-b.test"}, Sources: []tenant.Source{{Prefix: nat, Port: 5080}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for source, tenants := range table.SharedSources() {
		fmt.Println(source.Prefix, "port", source.Port, "is shared by", len(tenants), "sets")
	}
	// Output:
	// 198.51.100.7/32 port 0 is shared by 2 sets
}
