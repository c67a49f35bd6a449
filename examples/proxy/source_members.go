package main

import (
	"net/netip"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

// identity is what tells one destination from another.
type identity struct {
	set         int
	uri, socket string
}

func identityOf(d *dispatcher.Destination) identity { return identity{d.SetID, d.URI, d.Socket} }

// distinct returns the first of each of list.
func distinct(list []dispatcher.Destination) []dispatcher.Destination {
	known := make(map[identity]bool, len(list))
	var firsts []dispatcher.Destination
	for i := range list {
		if id := identityOf(&list[i]); !known[id] {
			known[id] = true
			firsts = append(firsts, list[i])
		}
	}
	return firsts
}

// place is where the PBX of a set is reached, whatever its URI looks like.
type place struct {
	set    int
	hop    hop
	socket string
}

// expand returns destinations as the dispatcher watches them: one that has a name
// is one PBX for each target of it, so that one that is dead is not tried because
// another one is alive. On the average each has the weight of the name.
func (f *fleet) expand() []dispatcher.Destination {
	var members, named []dispatcher.Destination
	taken := map[place]bool{}
	scales := map[int]float64{} // by set
	for _, d := range f.destinations {
		e, err := endpointOf(d.URI)
		if targets := f.targetsOf(d.URI); err == nil && len(targets) > 0 {
			named = append(named, d)
			if !even(sharesOf(targets)) {
				scales[d.SetID] = fineness
			}
			continue
		}
		members = append(members, d)
		taken[place{d.SetID, hop{e.network, netip.AddrPortFrom(e.addr, e.port)}, d.Socket}] = true
	}
	for i := range members {
		members[i].Weight = scaled(members[i].Weight, scales[members[i].SetID], 1)
	}
	for _, d := range named { // after the others, which count if they are the same
		e, _ := endpointOf(d.URI) // these were read before
		u, _ := location.ParseURI(d.URI)
		targets, weight := f.targetsOf(d.URI), d.Weight
		for i, s := range sharesOf(targets) {
			at := targets[i].At(e.port)
			if p := (place{d.SetID, hop{e.network, at}, d.Socket}); !taken[p] {
				taken[p] = true
				u.Host, u.Port = at.Addr().String(), at.Port()
				d.URI, d.Tier, d.Weight = u.String(), s.tier, scaled(weight, scales[d.SetID], s.part)
				members = append(members, d)
			}
		}
	}
	return distinct(members)
}

// targetsOf returns where the name in a URI leads; nothing if it has none.
func (f *fleet) targetsOf(uri string) []mysqltenant.Target {
	name, _ := mysqltenant.NameOf(uri)
	return f.targets[name]
}
