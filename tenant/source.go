package tenant

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
)

// canonicalPrefix returns p with its host bits cleared and IPv4-mapped IPv6 as
// IPv4. It refuses the prefix of length 0: with it each phone would be a PBX.
func canonicalPrefix(p netip.Prefix) (netip.Prefix, error) {
	const mappedBits = 96 // of ::ffff:0:0/96 before the IPv4 address
	if !p.IsValid() {
		return netip.Prefix{}, errors.New("not a valid prefix")
	}
	if p.Addr().Is4In6() {
		if p.Bits() < mappedBits {
			return netip.Prefix{}, errors.New("prefix cuts an IPv4-mapped address")
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits)
	}
	if p.Bits() == 0 {
		return netip.Prefix{}, errors.New("prefix holds every address")
	}
	return p.Masked(), nil
}

// sourceIndex finds the tenants of a source address: one level for each prefix
// length in use, the longest first. Real tables use a handful of lengths.
type sourceIndex struct {
	v4, v6 []level
}

// level has the sources of one prefix length by their masked address.
type level struct {
	bits   int
	groups map[netip.Addr]group
}

// group is what sources with the same prefix have in common. Its slices are
// sorted by set id, without duplicates, and handed out.
type group struct {
	all   []*Tenant
	ports map[uint16][]*Tenant // sources that name their port
}

// newSourceIndex needs tenants with canonical prefixes, in the order of their
// set ids.
func newSourceIndex(tenants []*Tenant) sourceIndex {
	var x sourceIndex
	for _, tn := range tenants {
		for _, s := range tn.Sources {
			groups := x.level(s.Prefix).groups
			g := groups[s.Prefix.Addr()]
			g.add(s.Port, tn)
			groups[s.Prefix.Addr()] = g
		}
	}
	return x
}

// level returns the level of a prefix, a new one if there is none.
func (x *sourceIndex) level(p netip.Prefix) level {
	levels := &x.v6
	if p.Addr().Is4() {
		levels = &x.v4
	}
	i, ok := slices.BinarySearchFunc(*levels, p.Bits(), func(l level, bits int) int {
		return cmp.Compare(bits, l.bits) // longest first
	})
	if !ok {
		*levels = slices.Insert(*levels, i, level{p.Bits(), make(map[netip.Addr]group)})
	}
	return (*levels)[i]
}

// add is called with the tenants in the order of their set ids.
func (g *group) add(port uint16, tn *Tenant) {
	g.all = appendNew(g.all, tn)
	if port == 0 {
		return
	}
	if g.ports == nil {
		g.ports = make(map[uint16][]*Tenant)
	}
	g.ports[port] = appendNew(g.ports[port], tn)
}

// appendNew appends tn unless it is the last one.
func appendNew(ts []*Tenant, tn *Tenant) []*Tenant {
	if len(ts) > 0 && ts[len(ts)-1] == tn {
		return ts
	}
	return append(ts, tn)
}

// find returns the tenants of the longest prefix that holds src.
func (x *sourceIndex) find(src netip.AddrPort) []*Tenant {
	addr := src.Addr().Unmap().WithZone("")
	levels := x.v6
	if addr.Is4() {
		levels = x.v4
	}
	for i := range levels {
		prefix, err := addr.Prefix(levels[i].bits)
		if err != nil {
			return nil // the zero Addr
		}
		if g, ok := levels[i].groups[prefix.Addr()]; ok {
			if ts, ok := g.ports[src.Port()]; ok {
				return ts
			}
			return g.all
		}
	}
	return nil
}

// shared yields the sources of several tenants, by address, length and port.
func (x *sourceIndex) shared(yield func(Source, []*Tenant) bool) {
	type entry struct {
		source  Source
		tenants []*Tenant
	}
	var found []entry
	for _, l := range slices.Concat(x.v4, x.v6) {
		for addr, g := range l.groups {
			prefix := netip.PrefixFrom(addr, l.bits)
			found = append(found, entry{Source{prefix, 0}, g.all})
			for port, ts := range g.ports {
				found = append(found, entry{Source{prefix, port}, ts})
			}
		}
	}
	found = slices.DeleteFunc(found, func(e entry) bool { return len(e.tenants) < 2 })
	slices.SortFunc(found, func(a, b entry) int {
		return cmp.Or(a.source.Prefix.Compare(b.source.Prefix), cmp.Compare(a.source.Port, b.source.Port))
	})
	for _, e := range found {
		if !yield(e.source, e.tenants) {
			return
		}
	}
}
