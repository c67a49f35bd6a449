package route

import (
	"context"
	"crypto/subtle"
	"slices"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/tenant"
)

// place is a user that a request may mean, of the tenant with that set.
type place struct {
	set int
	aor location.AOR
}

// fromPBX is for requests outside dialogs from a PBX. They go to phones of the
// tenants that the PBX belongs to.
func (d *decider) fromPBX(ctx context.Context) Decision {
	u := &d.req.Target
	switch {
	case u.Host == "":
		return reply(416, BadURI)
	case u.User == "":
		return d.withoutUser()
	}
	called, err := u.AOR()
	if err != nil {
		return reply(404, NoUser)
	}
	var buf [8]place
	places := d.places(buf[:0], called.User())
	if token, ok := u.Param(TokenParam); ok {
		return d.byToken(ctx, places, token)
	}
	if token, ok := d.req.Path.Param(TokenParam); ok {
		return d.byPath(ctx, token)
	}
	if tn := d.serves(called.Domain()); tn != nil {
		dec := d.byDomain(ctx, called, tn)
		dec.ToDiffers = d.toDiffers()
		return dec
	}
	if p, why, ok := d.named(called.User()); ok {
		return d.search(ctx, called, []place{p}, why)
	}
	return d.search(ctx, called, places, OnlyCandidate)
}

// withoutUser is for requests to a host. The OPTIONS is the PBX asking whether
// its trunk, which the proxy is, is alive.
func (d *decider) withoutUser() Decision {
	if tn := d.serves(d.req.Target.Host); tn != nil && !contains(d.pbx, tn) {
		return d.foreign(location.AOR{}, tn)
	}
	if d.req.Method == "OPTIONS" {
		return Decision{Action: Local, Status: 200, Reason: KeepAlive, Set: -1}
	}
	if d.own(&d.req.Target) { // as a user agent (RFC 3261 section 8.2.1), which does no more than that
		return reply(405, NoUser)
	}
	return reply(404, NoUser)
}

// places appends the user in each domain of the sets of the PBX to ps.
func (d *decider) places(ps []place, user string) []place {
	for _, tn := range d.pbx {
		for _, domain := range tn.Domains {
			if aor, err := location.MakeAOR(user, domain); err == nil {
				ps = append(ps, place{tn.SetID, aor})
			}
		}
	}
	return ps
}

// byToken finds the one binding with the token that the proxy registered it
// by. If there is none, other evidence must not count: it would be for the
// phone that had the token once.
func (d *decider) byToken(ctx context.Context, places []place, token string) Decision {
	var f found
	for _, p := range places {
		bindings, err := d.w.Bindings.Lookup(ctx, p.aor)
		if err != nil {
			return d.storeFailed(err)
		}
		d.sayAOR("AOR", p.aor, len(bindings))
		f.add(p, p.aor, d.withToken(bindings, token))
	}
	if f.ok() {
		d.say(true, "token", token, "that of a live binding")
		return d.toPhones(&f, Token)
	}
	d.say(false, "token", token, "no live binding has it")
	return d.missing(places, UnknownToken)
}

// byPath is byToken for the token in the Path of a phone, which has the user of its
// AOR as well: the Request-URI may have any.
func (d *decider) byPath(ctx context.Context, token string) Decision {
	d.say(true, "Route", d.req.Path.String(), "the Path of a phone")
	var places []place
	if aor, err := d.req.Path.AOR(); err == nil {
		places = d.places(nil, aor.User())
	}
	return d.byToken(ctx, places, token)
}

// withToken returns those of bindings, which it may reorder, that have a token. A
// Path is that of all phones that came in one REGISTER; then it is the one that is
// called.
func (d *decider) withToken(bindings []location.Binding, token string) []location.Binding {
	has := func(b location.Binding) bool { return equalToken(b.Token, token) }
	if d.req.Path.Host != "" && slices.ContainsFunc(bindings, has) {
		uri := d.req.Target.String()
		if i := slices.IndexFunc(bindings, func(b location.Binding) bool { return location.EqualURI(b.Contact, uri) }); i >= 0 {
			return bindings[i : i+1 : i+1]
		}
	}
	return slices.DeleteFunc(bindings, func(b location.Binding) bool { return !has(b) })
}

// equalToken compares in a time that does not tell how much of them is equal.
func equalToken(a, b string) bool {
	if a == "" || len(a) != len(b) {
		return false
	}
	var differ byte
	for i := range len(a) {
		differ |= a[i] ^ b[i]
	}
	return subtle.ConstantTimeByteEq(differ, 0) == 1
}

// byDomain looks for the user in the domain of the Request-URI, which tn
// serves. Who is not there is missing, and no PBX of the set is asked: the
// sender is one of them, and the others have its dial plan (P-16, P-30).
func (d *decider) byDomain(ctx context.Context, called location.AOR, tn *tenant.Tenant) Decision {
	if !contains(d.pbx, tn) {
		return d.foreign(called, tn)
	}
	d.say(true, "Request-URI", d.req.Target.Host, "a domain of this PBX")
	return d.search(ctx, called, []place{{tn.SetID, called}}, Domain)
}

// foreign is for what a PBX wants of somebody else's domain, which tn serves.
// If it may, it goes to the PBXes there, as a call of anybody would, and never
// to a phone. The sender is none of them, or the domain would be one of its own.
// Else it is refused, and never in silence: it may be a mistake in a dial plan.
func (d *decider) foreign(called location.AOR, tn *tenant.Tenant) Decision {
	if !d.mayHairpin() {
		d.say(false, "Request-URI", d.req.Target.Host, "a domain of another PBX")
		return reply(404, ForeignDomain)
	}
	d.say(true, "Request-URI", d.req.Target.Host, "a domain of another PBX, which this one may call")
	return Decision{Action: ToSet, Reason: Hairpin, Set: tn.SetID, AOR: called}
}

// mayHairpin reports whether the PBX may reach domains of others. One that
// serves several tenants may if all of them agree: which of them calls is not
// known.
func (d *decider) mayHairpin() bool {
	for _, tn := range d.pbx {
		if !d.w.Policy.lookup(tn.SetID).Hairpin {
			return false
		}
	}
	return true
}

// named returns the user in the domain that the request names beside its
// Request-URI: the first that the PBX has, of To, From and P-Asserted-Identity.
func (d *decider) named(user string) (place, Reason, bool) {
	for _, e := range [...]struct {
		what string
		host string
		why  Reason
	}{
		{"To", d.req.To.Host, ToDomain},
		{"From", d.req.From.Host, FromDomain},
		{"P-Asserted-Identity", d.req.Asserted.Host, AssertedDomain},
	} {
		if e.host == "" {
			continue
		}
		if tn := d.serves(e.host); contains(d.pbx, tn) {
			if aor, err := location.MakeAOR(user, e.host); err == nil {
				d.say(true, e.what, e.host, "a domain of this PBX")
				return place{tn.SetID, aor}, e.why, true
			}
		}
		d.say(false, e.what, e.host, "no domain of this PBX")
	}
	return place{}, 0, false
}
