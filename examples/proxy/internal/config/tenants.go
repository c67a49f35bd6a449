package config

import (
	"context"
	"net/netip"
	"slices"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/tenant"
)

// LookupHost returns all addresses, IPv4 and IPv6, of a host name.
type LookupHost func(ctx context.Context, host string) ([]netip.Addr, error)

// Hosts returns the host names of all destinations, in canonical form, each with
// the sets that have it.
func (c *Config) Hosts() map[string][]int {
	hosts := map[string][]int{}
	for _, t := range c.Tenants {
		for _, d := range t.Destinations {
			if _, isAddr := d.URI.Addr(); !isAddr && !slices.Contains(hosts[d.URI.Host], t.SetID) {
				hosts[d.URI.Host] = append(hosts[d.URI.Host], t.SetID)
			}
		}
	}
	return hosts
}

// LoadTenants returns the tenants as package tenant wants them. The sources of
// one are the hosts of its destinations, with their port, and the further
// sources of its destinations, with any port. A destination's state does not
// matter. Addrs has the addresses of Hosts; one that is not there is no source.
func (c *Config) LoadTenants(addrs map[string][]netip.Addr) []tenant.Tenant {
	var tenants []tenant.Tenant
	for _, t := range c.Tenants {
		out := tenant.Tenant{SetID: t.SetID}
		for _, d := range t.Domains {
			out.Domains = append(out.Domains, string(d))
		}
		for _, d := range t.Destinations {
			for _, s := range d.sources(addrs) {
				if !slices.Contains(out.Sources, s) {
					out.Sources = append(out.Sources, s)
				}
			}
		}
		tenants = append(tenants, out)
	}
	return tenants
}

// sources returns where d sends from.
func (d Destination) sources(addrs map[string][]netip.Addr) []tenant.Source {
	var out []tenant.Source
	own := addrs[d.URI.Host]
	if a, ok := d.URI.Addr(); ok {
		own = []netip.Addr{a}
	}
	for _, a := range own {
		a = a.Unmap()
		out = append(out, tenant.Source{Prefix: netip.PrefixFrom(a, a.BitLen()), Port: d.URI.Port})
	}
	for _, p := range d.Sources {
		out = append(out, tenant.Source{Prefix: p})
	}
	return out
}

// LoadDestinations returns the destinations of all sets as package dispatcher
// wants them.
func (c *Config) LoadDestinations() []dispatcher.Destination {
	var out []dispatcher.Destination
	for _, t := range c.Tenants {
		for _, d := range t.Destinations {
			out = append(out, dispatcher.Destination{
				SetID:    t.SetID,
				URI:      d.URI.String(),
				State:    d.State,
				Weight:   d.Weight,
				Priority: d.Priority,
			})
		}
	}
	return out
}
