package main

import (
	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/location"
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

// expand returns destinations as the dispatcher watches them: one that has a name
// is one PBX for each address of it, so that one that is dead is not tried
// because another one is alive. Each has the weight of the name.
func (f *fleet) expand() []dispatcher.Destination {
	var members, named []dispatcher.Destination
	for _, d := range f.destinations {
		if e, err := endpointOf(d.URI); err == nil && !e.addr.IsValid() && len(f.addrs[e.host]) > 0 {
			named = append(named, d)
			continue
		}
		members = append(members, d)
	}
	for _, d := range named { // after the others, which count if they are the same
		u, _ := location.ParseURI(d.URI) // endpointOf has read it
		host := u.Host
		if e, err := endpointOf(d.URI); err == nil {
			host = e.host
		}
		for _, a := range f.addrs[host] {
			u.Host = a.Unmap().String()
			d.URI = u.String()
			members = append(members, d)
		}
	}
	return distinct(members)
}
