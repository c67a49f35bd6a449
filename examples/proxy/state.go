package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/tenant"
)

// state is what the proxy knows of its tenants: one consistent snapshot, never
// changed, replaced as a whole.
type state struct {
	tenants  *tenant.Table
	sets     *dispatcher.Dispatcher
	key      dispatcher.Key   // what a PBX of a set is chosen by
	hops     map[string][]hop // where a destination is, by its URI
	named    map[hostPort][]*tenant.Tenant
	policy   route.Policy
	world    route.World
	preserve map[int]bool // sets that get the phones' own Contacts
}

// namedPBXs returns the tenants of the PBXs that the configuration has by name:
// these may call themselves so in their Contacts.
func namedPBXs(cfg *config.Config, table *tenant.Table) map[hostPort][]*tenant.Tenant {
	all := map[hostPort][]*tenant.Tenant{}
	for _, t := range cfg.Tenants {
		tn, _ := table.Set(t.SetID)
		for _, d := range t.Destinations {
			at := hostPort{d.URI.Host, d.URI.Port}
			if _, isAddr := d.URI.Addr(); !isAddr && !slices.Contains(all[at], tn) {
				all[at] = append(all[at], tn)
			}
		}
	}
	return all
}

// hop is a place to send to.
type hop struct {
	network string
	remote  netip.AddrPort
}

// newState builds the state for cfg. What is wrong but does not keep the proxy
// from working, a name that cannot be resolved, is returned as warnings.
func newState(ctx context.Context, cfg *config.Config, lookup config.LookupHost) (*state, []error, error) {
	tenants, warnings := cfg.LoadTenants(ctx, lookup)
	destinations := cfg.LoadDestinations()
	table, err := tenant.NewTable(tenants)
	if err != nil {
		return nil, nil, err
	}
	st := &state{
		tenants:  table,
		sets:     dispatcher.New(dispatcher.Config{Policy: cfg.Dispatcher.Algorithm.Policy()}),
		key:      cfg.Dispatcher.Algorithm.Key(),
		hops:     map[string][]hop{},
		named:    namedPBXs(cfg, table),
		policy:   policyOf(cfg),
		preserve: map[int]bool{},
	}
	if err := st.sets.Update(destinations); err != nil {
		return nil, nil, err
	}
	for _, t := range cfg.Tenants {
		st.preserve[t.SetID] = t.Register.Contact == config.ContactPreserve
	}
	for _, d := range destinations {
		if hs, err := hopsTo(ctx, d.URI, lookup); err == nil { // else it is among the warnings
			st.hops[d.URI] = hs
		}
	}
	return st, warnings, nil
}

func policyOf(cfg *config.Config) route.Policy {
	p := route.Policy{
		Lookup:        lookupOf(cfg.Lookup),
		UnknownDomain: refusal(cfg.Security.UnknownDomain),
		Sets:          map[int]route.Lookup{},
	}
	for _, t := range cfg.Tenants {
		p.Sets[t.SetID] = lookupOf(t.Lookup)
	}
	return p
}

func lookupOf(l config.Lookup) route.Lookup {
	fork := map[config.Fork]route.Fork{config.ForkSerial: route.Serial, config.ForkNewest: route.Newest}
	return route.Lookup{Missing: answerOf(l.Missing), MissingOptions: answerOf(l.MissingOptions),
		Ambiguous: answerOf(l.Ambiguous), Fork: fork[l.Fork]}
}

func answerOf(s config.Status) route.Answer {
	if s == config.Silent {
		return route.Silent
	}
	return route.Answer(s)
}

func refusal(r config.Refusal) route.Answer {
	if r == config.Drop {
		return route.Silent
	}
	return route.Answer(r)
}

// hopsTo returns where a SIP URI leads: the address in it, or all those of its
// host name.
func hopsTo(ctx context.Context, uri string, lookup config.LookupHost) ([]hop, error) {
	u, err := location.ParseURI(uri)
	if err != nil {
		return nil, err
	}
	network, port := networkOf(u), u.Port
	if network != "udp" && network != "tcp" || strings.EqualFold(u.Scheme, "sips") {
		return nil, fmt.Errorf("%s: no way to reach it: %w", uri, errors.ErrUnsupported)
	}
	if port == 0 {
		port = 5060
	}
	addrs := []netip.Addr{{}}
	if addrs[0], err = netip.ParseAddr(u.Host); err != nil {
		if addrs, err = lookup(ctx, u.Host); err != nil {
			return nil, err
		}
	}
	var hops []hop
	for _, a := range addrs {
		hops = append(hops, hop{network, netip.AddrPortFrom(a.Unmap(), port)})
	}
	return hops, nil
}
