package route

import (
	"context"
	"net/netip"

	"github.com/sipward/sipward/location"
)

// found collects bindings and notices when they are of more than one AOR.
type found struct {
	set      int // that serves the AOR, -1 if several AORs are of several sets
	aor      location.AOR
	bindings []location.Binding
	rival    location.AOR // the last one added that is not aor
}

func (f *found) add(p place, aor location.AOR, bindings []location.Binding) {
	switch {
	case len(bindings) == 0:
	case !f.aor.IsValid():
		f.set, f.aor, f.bindings = p.set, aor, bindings
	case f.aor == aor:
		f.bindings = append(f.bindings, bindings...)
	default:
		f.rival = aor
		if f.set != p.set {
			f.set = -1
		}
	}
}

// ok reports whether anything was added.
func (f *found) ok() bool { return f.aor.IsValid() }

// search is one search for the called user.
type search struct {
	host    string // of the Request-URI, canonical
	port    uint16
	located bool       // the Request-URI may be the address of a phone
	addr    netip.Addr // that host, if it is located and an address

	atHost    found // bindings at the host and port of the Request-URI
	byUser    found // bindings of the AOR with that user
	byContact found // bindings whose Contact has that user
}

// search looks in places for the user of the Request-URI, which is called as
// an AOR. Phones at the very address in the Request-URI come first: the PBX
// has it from their REGISTER. Next come the phones of the user. Last come the
// phones that have the user in their Contact, which is what a PBX calls that
// rewrites nothing but the address; a user of that name in any of the places
// goes before them.
func (d *decider) search(ctx context.Context, called location.AOR, places []place, why Reason) Decision {
	s := search{host: called.Domain(), port: portOf(&d.req.Target)}
	if s.located = why != Domain && !d.ownHost(s.host, s.port); s.located {
		s.addr = hostAddr(s.host)
	}
	if err := d.look(ctx, &s, places); err != nil {
		return d.storeFailed(err)
	}
	switch {
	case s.atHost.ok():
		if why == OnlyCandidate {
			why = ContactMatch
		}
		d.say(true, "Request-URI", d.req.Target.Host, "the address of a phone")
		return d.toPhones(&s.atHost, why)
	case s.located && !s.addr.IsValid():
		// The name of something else: who has the same user here is not meant.
		d.say(false, "Request-URI", d.req.Target.Host, "neither a domain nor an address nor the proxy")
		return d.missing(places, UnknownDomain)
	case s.byUser.ok():
		return d.toPhones(&s.byUser, why)
	case s.byContact.ok():
		return d.toPhones(&s.byContact, why)
	case len(places) == 0:
		return d.missing(places, NoDomain)
	}
	return d.missing(places, Missing)
}

// look fills s with the bindings in places that come into question. Contacts
// are looked at only if they can matter.
func (d *decider) look(ctx context.Context, s *search, places []place) error {
	for _, p := range places {
		bindings, err := d.w.Bindings.Lookup(ctx, p.aor)
		if err != nil {
			return err
		}
		d.sayAOR("AOR", p.aor, len(bindings))
		s.byUser.add(p, p.aor, bindings)
		for i := range bindings {
			if s.located && s.at(&bindings[i]) {
				s.atHost.add(p, p.aor, bindings[i:i+1:i+1])
			}
		}
	}
	if s.byUser.ok() && !s.located {
		return nil
	}
	for _, p := range places {
		if err := d.lookContact(ctx, s, p); err != nil {
			return err
		}
	}
	return nil
}

// lookContact adds the phones of a domain that have the user in their Contact.
func (d *decider) lookContact(ctx context.Context, s *search, p place) error {
	entries, err := d.w.Bindings.LookupContact(ctx, p.aor)
	if err != nil {
		return err
	}
	d.sayAOR("Contact user", p.aor, len(entries))
	for i := range entries {
		e := &entries[i]
		if e.AOR.Domain() != p.aor.Domain() {
			continue // a store that forgets its contract must not cross tenants
		}
		one := []location.Binding{e.Binding}
		s.byContact.add(p, e.AOR, one)
		if s.located && e.AOR != p.aor && s.at(&e.Binding) { // those of p.aor are there already
			s.atHost.add(p, e.AOR, one)
		}
	}
	return nil
}

// at reports whether b is at the host and port of the Request-URI, by what its
// Contact says or by where its REGISTER came from.
func (s *search) at(b *location.Binding) bool {
	if s.addr.IsValid() && b.Flow.Remote == netip.AddrPortFrom(s.addr, s.port) {
		return true
	}
	u, err := location.ParseURI(b.Contact)
	return err == nil && portOf(&u) == s.port && sameHost(u.Host, s.host)
}

// toPhones sends the request to what was found, unless that is not one user.
func (d *decider) toPhones(f *found, why Reason) Decision {
	policy := d.w.Policy.lookup(f.set)
	if f.rival.IsValid() {
		d.say(false, "user", d.req.Target.User, "could be several")
		dec := answer(policy.Ambiguous, 404, Ambiguous)
		dec.Set, dec.AOR, dec.Rival = f.set, f.aor, f.rival
		return dec
	}
	dec := Decision{Action: ToPhones, Reason: why, Set: f.set, AOR: f.aor}
	dec.Targets, dec.Fork = targets(d.req.Method, f.bindings, policy.Fork)
	return dec
}

// missing answers for a user that is not bound in places, or waits if that may
// change any moment.
func (d *decider) missing(places []place, why Reason) Decision {
	for _, p := range places {
		if d.w.Bindings.Pending(p.aor) {
			d.say(true, "REGISTER", "", "on its way to the PBX")
			return Decision{Action: Wait, Reason: Pending, Set: p.set, AOR: p.aor}
		}
	}
	set := onlySet(places)
	dec := answer(d.w.Policy.Missing(set, d.req.Method), 404, why)
	dec.Set = set
	return dec
}

// onlySet returns the set that all places belong to, or -1.
func onlySet(places []place) int {
	if len(places) == 0 {
		return -1
	}
	for _, p := range places {
		if p.set != places[0].set {
			return -1
		}
	}
	return places[0].set
}

// targets returns which bindings a request goes to and how. It may reorder and
// cut bindings, which are the caller's own.
func targets(method string, bindings []location.Binding, fork Fork) ([]location.Binding, Fork) {
	switch method {
	case "OPTIONS":
		fork = Newest // its answer is one phone's
	case "NOTIFY", "MESSAGE":
		fork = Parallel // news for each of them
	}
	if fork == Newest {
		newest := 0
		for i := range bindings {
			if bindings[i].Updated.After(bindings[newest].Updated) {
				newest = i
			}
		}
		return bindings[newest : newest+1 : newest+1], Parallel
	}
	return bindings[:min(len(bindings), MaxTargets)], fork
}
