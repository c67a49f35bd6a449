package config

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/tenant"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

// Names returns the names of all destinations, each with the sets that have it.
func (c *Config) Names() map[mysqltenant.Name][]int {
	names := map[mysqltenant.Name][]int{}
	for _, t := range c.Tenants {
		for _, d := range t.Destinations {
			name, ok := mysqltenant.NameOf(d.URI.String())
			if ok && !slices.Contains(names[name], t.SetID) {
				names[name] = append(names[name], t.SetID)
			}
		}
	}
	return names
}

// LoadTenants returns the tenants as package tenant wants them. The sources of
// one are the hosts of its destinations, with their port, and the further
// sources of its destinations, with any port. A destination's state does not
// matter. Targets are those of Names; one that is not there is no source.
func (c *Config) LoadTenants(targets map[mysqltenant.Name][]mysqltenant.Target) []tenant.Tenant {
	var tenants []tenant.Tenant
	for _, t := range c.Tenants {
		out := tenant.Tenant{SetID: t.SetID}
		for _, d := range t.Domains {
			out.Domains = append(out.Domains, string(d))
		}
		for _, d := range t.Destinations {
			for _, s := range d.sources(targets) {
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
func (d Destination) sources(targets map[mysqltenant.Name][]mysqltenant.Target) []tenant.Source {
	var out []tenant.Source
	var own []netip.AddrPort
	if a, ok := d.URI.Addr(); ok {
		own = append(own, netip.AddrPortFrom(a, d.URI.Port))
	}
	name, _ := mysqltenant.NameOf(d.URI.String())
	for _, t := range targets[name] {
		own = append(own, t.At(cmp.Or(d.URI.Port, d.URI.Transport.DefaultPort())))
	}
	for _, at := range own {
		out = append(out, tenant.Source{Prefix: netip.PrefixFrom(at.Addr(), at.Addr().BitLen()), Port: at.Port()})
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
