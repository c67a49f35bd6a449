package main

import (
	"context"
	"net/netip"
	"time"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/tenant"
)

// newOffice returns a Router for two customers who both have an extension 401,
// which only the first one has registered.
func newOffice() (*Router, error) {
	table, err := tenant.NewTable([]tenant.Tenant{
		{SetID: 10, Domains: []string{"a.example"}, Sources: []tenant.Source{{Prefix: netip.MustParsePrefix("10.0.1.10/32")}}},
		{SetID: 20, Domains: []string{"b.example"}, Sources: []tenant.Source{{Prefix: netip.MustParsePrefix("10.0.2.10/32")}}},
	})
	if err != nil {
		return nil, err
	}
	store := location.NewMemory(location.MemoryConfig{})
	for user, contact := range map[string]string{
		"401@a.example": "sip:401@192.168.1.10",
		"100@b.example": "sip:100@192.168.1.10",
	} {
		aor, err := location.ParseAOR(user)
		if err != nil {
			return nil, err
		}
		phone := location.Binding{Contact: contact, Expires: time.Now().Add(time.Hour), Updated: time.Now()}
		if err := store.Apply(context.Background(), aor, location.Change{Put: []location.Binding{phone}}); err != nil {
			return nil, err
		}
	}
	return &Router{Tenants: table, Store: store}, nil
}
