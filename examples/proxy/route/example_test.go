package route_test

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/tenant"
)

// idle is a store that no REGISTER is on its way to.
type idle struct{ *location.Memory }

func (idle) Pending(location.AOR) bool { return false }

// exampleWorld has two customers, each with a PBX and an extension 401.
func exampleWorld() *route.World {
	table, err := tenant.NewTable([]tenant.Tenant{
		{SetID: 10, Domains: []string{"a.example"}, Sources: []tenant.Source{{Prefix: netip.MustParsePrefix("10.0.1.10/32")}}},
		{SetID: 20, Domains: []string{"b.example"}, Sources: []tenant.Source{{Prefix: netip.MustParsePrefix("10.0.2.10/32")}}},
	})
	if err != nil {
		panic(err)
	}
	store := location.NewMemory(location.MemoryConfig{})
	for domain, home := range map[string]string{"a.example": "198.51.100.1", "b.example": "198.51.100.2"} {
		aor, err := location.MakeAOR("401", domain)
		if err != nil {
			panic(err)
		}
		phone := location.Binding{
			Contact: "sip:401@192.168.1.10:5060",
			Flow:    location.Flow{Transport: "udp", Remote: netip.AddrPortFrom(netip.MustParseAddr(home), 40001)},
			Q:       location.QUnspecified,
			Expires: time.Now().Add(time.Hour),
			Updated: time.Now(),
		}
		if err := store.Apply(context.Background(), aor, location.Change{Put: []location.Binding{phone}}); err != nil {
			panic(err)
		}
	}
	return &route.World{
		Tenants:  table,
		Bindings: idle{store},
		Own:      func(host string, port uint16) bool { return host == "203.0.113.1" && port == 5060 },
	}
}

func ExampleDecide() {
	w := exampleWorld()
	target, err := location.ParseURI("sip:401@203.0.113.1")
	if err != nil {
		fmt.Println(err)
		return
	}
	req := &route.Request{Method: "INVITE", Target: target}
	for _, from := range []string{"10.0.1.10:5060", "10.0.2.10:5060", "192.0.2.66:5060"} {
		src := route.Source{Addr: netip.MustParseAddrPort(from), Transport: "udp"}
		d := route.Decide(context.Background(), req, src, w)
		fmt.Printf("%-15s %s\n", from, d.String())
	}
	// Output:
	// 10.0.1.10:5060  pbx: to 401@a.example (only_candidate)
	// 10.0.2.10:5060  pbx: to 401@b.example (only_candidate)
	// 192.0.2.66:5060 unknown: drop (own_address)
}

func ExampleExplain() {
	target, err := location.ParseURI("sip:401@b.example")
	if err != nil {
		fmt.Println(err)
		return
	}
	req := &route.Request{Method: "INVITE", Target: target}
	src := route.Source{Addr: netip.MustParseAddrPort("10.0.1.10:5060"), Transport: "udp"}
	d := route.Explain(context.Background(), req, src, exampleWorld())
	fmt.Print(d.Explanation())
	// Output:
	// + source 10.0.1.10:5060: a PBX sends from there
	// - Request-URI b.example: a domain of another PBX
	// = pbx: answer 404 (foreign_domain)
}
