package route

import (
	"context"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/tenant"
)

// fromElsewhere is for requests outside dialogs whose source is no PBX. They
// go to a dispatcher set or nowhere: nobody but a PBX reaches a phone, unless
// the Policy has RingUnique.
func (d *decider) fromElsewhere(ctx context.Context) Decision {
	u := &d.req.Target
	if u.Host == "" {
		return d.refuse(ctx, BadURI)
	}
	if tn := d.serves(u.Host); tn != nil {
		d.say(true, "Request-URI", u.Host, "a domain that is served")
		return d.toSet(ctx, tn, Domain)
	}
	if d.own(u) {
		if d.namesUserOnly() {
			return d.unique(ctx)
		}
		d.say(false, "Request-URI", u.Host, "the proxy itself, which has no users")
		return d.refuse(ctx, OwnAddress)
	}
	tenants := d.upstreams(u)
	if len(tenants) == 0 {
		d.say(false, "Request-URI", u.Host, "neither a domain nor a PBX")
		return d.refuse(ctx, UnknownDomain)
	}
	return d.callBack(ctx, tenants)
}

// callBack is for requests to the address of a PBX, as a phone sends them that
// calls back from its list: the PBX shows its own address as the domain of its
// callers. Tenants are those with a PBX there.
func (d *decider) callBack(ctx context.Context, tenants []*tenant.Tenant) Decision {
	host := d.req.Target.Host
	if len(tenants) == 1 {
		d.say(true, "Request-URI", host, "the PBX of one set")
		return d.toSet(ctx, tenants[0], PBXAlias)
	}
	d.say(false, "Request-URI", host, "the PBX of several sets")
	if tn := d.serves(d.req.From.Host); contains(tenants, tn) {
		d.say(true, "From", d.req.From.Host, "a domain of one of them")
		return d.toSet(ctx, tn, PBXAlias)
	}
	d.say(false, "From", d.req.From.Host, "a domain of none of them")
	return d.refuse(ctx, Ambiguous)
}

// register is for REGISTER, whoever it is from. To is what gets registered
// (RFC 3261 section 10.2), and the Request-URI must agree.
func (d *decider) register(ctx context.Context) Decision {
	u, to := &d.req.Target, &d.req.To
	tn := d.serves(to.Host)
	if to.Host == "" && d.serves(u.Host) != nil {
		d.say(false, "To", "", "no SIP URI")
		return reply(400, BadURI)
	}
	if tn == nil {
		d.say(false, "To", to.Host, "no domain that is served")
		return d.refuse(ctx, UnknownDomain)
	}
	d.say(true, "To", to.Host, "a domain that is served")
	d.class = Phone
	aor, err := to.AOR()
	switch {
	case u.Host == "":
		return d.refuse(ctx, BadURI)
	case err != nil:
		return reply(404, NoUser) // section 10.3 step 5
	case !sameHost(u.Host, to.Host) && !d.own(u):
		d.say(false, "Request-URI", u.Host, "another domain than To")
		return d.refuse(ctx, DomainMismatch)
	}
	return d.toSetFor(ctx, tn, aor, Domain)
}

// toSet sends the request to a set, for the caller if it is one of the set.
func (d *decider) toSet(ctx context.Context, tn *tenant.Tenant, why Reason) Decision {
	d.class = Phone
	aor, err := d.req.From.AOR()
	if err != nil || d.serves(aor.Domain()) != tn {
		return Decision{Action: ToSet, Set: tn.SetID, Reason: why}
	}
	return d.toSetFor(ctx, tn, aor, why)
}

// toSetFor sends the request to a set for an AOR. Where that is registered is
// a preference, so an error of the store is not one here.
func (d *decider) toSetFor(ctx context.Context, tn *tenant.Tenant, aor location.AOR, why Reason) Decision {
	dec := Decision{Action: ToSet, Set: tn.SetID, AOR: aor, Reason: why}
	dec.Registrar, dec.Registered, _ = d.registration(ctx, aor)
	return dec
}

// refuse is the answer to everything that has no business here. A registered phone
// hears why it does not get through, and is not left to wait for nothing.
func (d *decider) refuse(ctx context.Context, why Reason) Decision {
	if registered, err := d.fromRegistered(ctx); err != nil || !registered {
		return answer(d.w.Policy.UnknownDomain, Silent, why)
	}
	d.class = Phone
	if why == BadURI {
		return reply(416, why)
	}
	return reply(404, why)
}

// contains reports whether tn, which may be nil, is one of tenants.
func contains(tenants []*tenant.Tenant, tn *tenant.Tenant) bool {
	for _, t := range tenants {
		if t == tn && tn != nil {
			return true
		}
	}
	return false
}
