package config

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/tenant"
)

// LookupHost returns all addresses, IPv4 and IPv6, of a host name.
type LookupHost func(ctx context.Context, host string) ([]netip.Addr, error)

// LoadTenants returns the tenants as package tenant wants them. The sources of
// one are the hosts of its destinations, with their port, and the further
// sources of its destinations, with any port. A destination's state does not
// matter.
//
// Host names become all the addresses that lookup finds, which is called for
// several of them at once. A name that cannot be resolved is not fatal: the
// result lacks that source, and a warning says so. For a DNS failure not to
// turn a PBX into a stranger, lookup should then return its last answer.
func (c *Config) LoadTenants(ctx context.Context, lookup LookupHost) (tenants []tenant.Tenant, warnings []error) {
	found := c.resolve(ctx, lookup)
	for i, t := range c.Tenants {
		out := tenant.Tenant{SetID: t.SetID}
		for _, d := range t.Domains {
			out.Domains = append(out.Domains, string(d))
		}
		for j, d := range t.Destinations {
			addrs, err := found.addrs(d.URI)
			if err != nil {
				warnings = append(warnings, fmt.Errorf("config: tenants[%d].destinations[%d].uri: %s is no source: %w", i, j, d.URI.Host, err))
			}
			for _, s := range d.sources(addrs) {
				if !slices.Contains(out.Sources, s) {
					out.Sources = append(out.Sources, s)
				}
			}
		}
		tenants = append(tenants, out)
	}
	return tenants, warnings
}

// sources returns where d sends from, given the addresses of its URI.
func (d Destination) sources(addrs []netip.Addr) []tenant.Source {
	var out []tenant.Source
	for _, a := range addrs {
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

// resolved has the answers for host names.
type resolved map[string]*answer

type answer struct {
	addrs []netip.Addr
	err   error
}

// resolve looks up each host name once.
func (c *Config) resolve(ctx context.Context, lookup LookupHost) resolved {
	found := resolved{}
	var wg sync.WaitGroup
	for _, t := range c.Tenants {
		for _, d := range t.Destinations {
			host := d.URI.Host
			if _, ok := d.URI.Addr(); ok || found[host] != nil {
				continue
			}
			a := new(answer)
			found[host] = a
			wg.Go(func() { a.addrs, a.err = lookup(ctx, host) })
		}
	}
	wg.Wait()
	return found
}

// addrs returns the addresses of a destination.
func (r resolved) addrs(u URI) ([]netip.Addr, error) {
	if a, ok := u.Addr(); ok {
		return []netip.Addr{a}, nil
	}
	a := r[u.Host]
	if a.err != nil {
		return nil, a.err
	}
	if len(a.addrs) == 0 {
		return nil, errors.New("the name has no address")
	}
	out := make([]netip.Addr, len(a.addrs))
	for i, addr := range a.addrs {
		out[i] = addr.Unmap()
	}
	return out, nil
}
