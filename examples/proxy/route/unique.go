package route

import (
	"context"
	"slices"

	"github.com/sipward/sipward/location"
)

// namesUserOnly reports whether the request, which is for the proxy's own
// address, may ring a phone there. Only an INVITE rings, and whoever names a
// domain that is served means a user of that domain.
func (d *decider) namesUserOnly() bool {
	r := d.req
	return d.w.Policy.RingUnique && r.Method == "INVITE" && r.Target.User != "" &&
		d.serves(r.To.Host) == nil && d.serves(r.From.Host) == nil
}

// unique looks for the called user in every domain of every tenant. If there
// is one, a token must be that of one of its phones.
func (d *decider) unique(ctx context.Context) Decision {
	called, err := d.req.Target.AOR()
	if err != nil {
		return d.refuse(ctx, NoUser)
	}
	f, err := d.everywhere(ctx, called.User())
	switch token, ok := d.req.Target.Param(TokenParam); {
	case err != nil:
		return d.storeFailed(err)
	case f.rival.IsValid():
		d.say(false, "user", called.User(), "could be several")
		return d.refuse(ctx, Ambiguous)
	case !f.ok():
		d.say(false, "user", called.User(), "bound nowhere")
		return d.refuse(ctx, OwnAddress)
	case ok && !f.only(token):
		d.say(false, "token", token, "that of no phone of the user")
		return d.refuse(ctx, UnknownToken)
	}
	d.say(true, "user", called.User(), "bound in one domain of all")
	return d.toPhones(&f, UniqueUser)
}

// everywhere returns what a user has in the domains of all tenants, as far as
// it takes to know that there is another of that name.
func (d *decider) everywhere(ctx context.Context, user string) (f found, err error) {
	for tn := range d.w.Tenants.Tenants() {
		for _, domain := range tn.Domains {
			aor, err := location.MakeAOR(user, domain)
			if err != nil {
				continue // who cannot be made cannot be bound
			}
			bindings, err := d.w.Bindings.Lookup(ctx, aor)
			if err != nil {
				return f, err
			}
			if len(bindings) > 0 {
				d.sayAOR("AOR", aor, len(bindings))
			}
			if f.add(place{tn.SetID, aor}, aor, bindings); f.rival.IsValid() {
				return f, nil // whoever else there is, it is one too many
			}
		}
	}
	return f, nil
}

// only keeps the bindings with a token and reports whether there are any.
func (f *found) only(token string) bool {
	f.bindings = slices.DeleteFunc(f.bindings, func(b location.Binding) bool { return !equalToken(b.Token, token) })
	return len(f.bindings) > 0
}
