package tenant

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
)

// Table is an immutable [Resolver] over a list of tenants. It is safe for
// concurrent use and takes no locks. The zero Table is empty.
type Table struct {
	tenants []*Tenant        // by SetID
	sets    map[int]*Tenant  // by SetID, for random access
	domains map[string]Match // by canonical domain
	sources sourceIndex
}

// NewTable returns a table of deep copies of ts with canonical domains and
// prefixes. What a tenant lists twice counts once.
//
// It fails if two tenants have the same set id or the same domain, if a set id
// is negative, if a domain or prefix is not valid, or if a prefix holds every
// address there is. The error joins all faults, each with the sets it is about.
func NewTable(ts []Tenant) (*Table, error) {
	t := &Table{
		tenants: make([]*Tenant, 0, len(ts)),
		sets:    make(map[int]*Tenant, len(ts)),
		domains: make(map[string]Match, len(ts)),
	}
	var faults []error
	for _, in := range ts {
		tn, errs := canonicalTenant(in)
		errs = append(errs, t.add(tn)...)
		for _, err := range errs {
			faults = append(faults, fmt.Errorf("tenant: set %d: %w", in.SetID, err))
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	slices.SortFunc(t.tenants, func(a, b *Tenant) int { return cmp.Compare(a.SetID, b.SetID) })
	t.sources = newSourceIndex(t.tenants)
	return t, nil
}

// add enters tn, all but its sources, and returns what speaks against it. It
// drops the domains that are known already.
func (t *Table) add(tn *Tenant) (faults []error) {
	if tn.SetID < 0 {
		faults = append(faults, errors.New("set id is negative"))
	}
	if _, dup := t.sets[tn.SetID]; dup {
		faults = append(faults, errors.New("set id is used twice"))
	}
	tn.Domains = slices.DeleteFunc(tn.Domains, func(domain string) bool {
		m, dup := t.domains[domain]
		switch {
		case !dup:
			t.domains[domain] = Match{Tenant: tn, Domain: domain}
		case m.Tenant != tn:
			faults = append(faults, fmt.Errorf("domain %q belongs to set %d already", domain, m.Tenant.SetID))
		}
		return dup
	})
	t.sets[tn.SetID] = tn
	t.tenants = append(t.tenants, tn)
	return faults
}

// canonicalTenant returns a copy of in without what is not valid, and a fault
// for each thing that is not.
func canonicalTenant(in Tenant) (*Tenant, []error) {
	out := &Tenant{SetID: in.SetID}
	var faults []error
	for _, s := range in.Domains {
		domain, err := canonicalDomain(s)
		if err != nil {
			faults = append(faults, fmt.Errorf("domain %q: %w", s, err))
			continue
		}
		out.Domains = append(out.Domains, domain)
	}
	for _, s := range in.Sources {
		switch prefix, err := canonicalPrefix(s.Prefix); {
		case err != nil:
			faults = append(faults, fmt.Errorf("source %v: %w", s.Prefix, err))
		case !slices.Contains(out.Sources, Source{prefix, s.Port}):
			out.Sources = append(out.Sources, Source{prefix, s.Port})
		}
	}
	return out, faults
}

// Domain returns the tenant that serves a domain. The name may have a port, a
// trailing dot, brackets and capitals; canonical names cost no allocation.
func (t *Table) Domain(name string) (*Tenant, bool) {
	domain, err := canonicalDomain(name)
	if err != nil {
		return nil, false
	}
	m, ok := t.domains[domain]
	return m.Tenant, ok
}

// Candidates returns all tenants whose PBX may have sent from src, in the
// order of their set ids, or nil if src is no PBX.
//
// The longest prefix that holds the address decides, shorter ones do not
// count. Of the sources with that prefix, those that name the port of src
// count; if there are none, all of them do. So PBXes behind one address are
// told apart while the transport keeps the port, and are all candidates when a
// TCP connection comes from an ephemeral one.
//
// The slice is shared: it must not be changed. Candidates does not allocate.
func (t *Table) Candidates(src netip.AddrPort) []*Tenant {
	return t.sources.find(src)
}

// Set returns the tenant with a set id.
func (t *Table) Set(id int) (*Tenant, bool) {
	tn, ok := t.sets[id]
	return tn, ok
}

// Tenants returns all tenants in the order of their set ids.
func (t *Table) Tenants() iter.Seq[*Tenant] { return slices.Values(t.tenants) }

// Len returns the number of tenants.
func (t *Table) Len() int { return len(t.tenants) }

// SharedSources returns the sources that several tenants have, by address and
// port, with these tenants by set id. Requests from there resolve only if they
// name a domain. A source whose Port is 0 stands for the ports that none of
// the sources with its prefix names. It is meant for a log at load time.
func (t *Table) SharedSources() iter.Seq2[Source, []*Tenant] {
	return t.sources.shared
}

// SharedSets returns the tenants that serve several domains, by set id.
// Requests from their PBXes resolve only if they name one. It is meant for a
// log at load time.
func (t *Table) SharedSets() iter.Seq[*Tenant] {
	return func(yield func(*Tenant) bool) {
		for _, tn := range t.tenants {
			if len(tn.Domains) > 1 && !yield(tn) {
				return
			}
		}
	}
}
