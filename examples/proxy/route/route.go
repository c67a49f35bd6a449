// Package route decides where a SIP request goes. It has no sockets, timers or
// tables of its own: [Decide] maps a request, its source and the state of the
// [World] to a [Decision], which somebody else carries out. So every rule can
// be tested with a line of input and a line of output.
//
// The rule above all others is that a phone is reached only by the PBXes of
// its own tenant. Extension 401 exists in many tenants, and a PBX names the
// phone by what it has stored as its Contact, mostly an address and no domain
// at all. What the request does say is looked at from the strongest evidence
// to the weakest, always within the domains of the sets whose PBX sends from
// that source:
//
//  1. the token that the proxy itself put into the Contact or Path it registered,
//  2. the host of the Request-URI, then of To, From and P-Asserted-Identity, if
//     it is such a domain,
//  3. the address in the Request-URI, if exactly one AOR has a phone there,
//  4. the user, if it is bound in exactly one of these domains.
//
// What remains ambiguous is refused. Nothing is ever looked up by user alone,
// and nothing falls through to the first of several.
//
// A PBX that asks for a domain of another tenant is refused or, if its tenant
// may, gets to the PBXes of that domain ([Lookup].Hairpin). What it asks for in
// a domain of its own goes to a phone or nowhere, so never back to it.
//
// Everybody else reaches dispatcher sets only, those that serve the domain
// they name, and never a phone; [Policy].RingUnique is the one exception. A
// request inside a dialog goes where the
// dialog says, if it comes with a Route of ours that proves the dialog.
//
// [Explain] decides the same and tells how it came about.
package route

import (
	"context"
	"net/netip"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/tenant"
)

// TokenParam is the parameter in the Contact that the proxy registers upstream
// in place of the phone's, and in its Path. Its value is the [location.Binding.Token].
const TokenParam = "rid"

// MaxTargets bounds the phones that one request goes to.
const MaxTargets = 10

// Source is where a request came from: the peer of its socket, never what a
// header says.
type Source struct {
	Addr      netip.AddrPort
	Transport string // as in [location.Flow]
}

// World is the state in which a decision is taken. It is read only, so that
// one World may serve any number of goroutines if its Bindings do.
type World struct {
	// Tenants is required.
	Tenants *tenant.Table

	// Bindings is required.
	Bindings Bindings

	// Own reports whether a canonical host and a port are one of the proxy's
	// listeners or advertised names. The port of a URI without one is the
	// default of its scheme and transport. Nil means that none is.
	Own func(host string, port uint16) bool

	// Named returns the tenants that have a PBX known by a host name, where
	// PBXes put names and no addresses into their Contact. Nil means that all
	// of them use addresses, which Tenants knows.
	Named func(host string, port uint16) []*tenant.Tenant

	// Policy has sensible zero values.
	Policy Policy
}

// Bindings is what a decision needs of the location store. [location.Memory]
// has the first two methods. An error of these makes the decision a refusal:
// an incomplete answer could turn two candidates into one.
type Bindings interface {
	// Lookup is that of [location.Store].
	Lookup(ctx context.Context, aor location.AOR) ([]location.Binding, error)

	// LookupContact is that of [location.ContactFinder].
	LookupContact(ctx context.Context, contact location.AOR) ([]location.Entry, error)

	// Pending reports whether a REGISTER is on its way to a PBX whose AOR this
	// is, or which has a Contact with this user in an AOR of this domain. A PBX
	// often sends its first OPTIONS before its answer to the REGISTER.
	Pending(aor location.AOR) bool
}

// Decide returns where req, which came from src, goes in w. It reads req and w
// and keeps neither. It blocks only where w.Bindings does; once ctx is done a
// decision that needs the store is a refusal with the Reason [StoreFailed].
func Decide(ctx context.Context, req *Request, src Source, w *World) Decision {
	d := decider{req: req, src: src, w: w}
	return d.decide(ctx)
}

// Explain is [Decide] with the Trail of the decision filled in.
func Explain(ctx context.Context, req *Request, src Source, w *World) Decision {
	d := decider{req: req, src: src, w: w, explain: true}
	dec := d.decide(ctx)
	dec.Trail = d.trail
	return dec
}

// decider is the state of one decision.
type decider struct {
	req *Request
	src Source
	w   *World

	pbx   []*tenant.Tenant // whose PBX sent req; empty if none did
	class Class

	explain bool
	trail   []Step
}

func (d *decider) decide(ctx context.Context) Decision {
	d.src.Addr = netip.AddrPortFrom(d.src.Addr.Addr().Unmap(), d.src.Addr.Port())
	dec := d.route(ctx)
	dec.Class = d.class
	if d.req.Method == "ACK" && (dec.Action == Reply || dec.Action == Wait) {
		dec.Action, dec.Status = Drop, 0 // RFC 3261 section 17: no ACK is answered
	}
	return dec
}

func (d *decider) route(ctx context.Context) Decision {
	if d.req.Method == "REGISTER" { // whoever sends it: a phone may share the PBX's address
		return d.register(ctx)
	}
	if err := d.classify(ctx); err != nil {
		return d.storeFailed(err)
	}
	switch {
	case d.req.InDialog:
		return d.inDialog(ctx)
	case d.req.Method == "ACK":
		// The ACK to a 2xx has a To-tag, and the transaction took all others.
		return drop(StrayACK)
	case len(d.pbx) > 0:
		return d.fromPBX(ctx)
	}
	dec := d.fromElsewhere(ctx)
	dec.ToDiffers = dec.Action == ToSet && d.toDiffers()
	return dec
}

// classify tells PBXes from the rest. A phone may sit behind the same address
// as a PBX: a live binding with exactly this source shows it.
func (d *decider) classify(ctx context.Context) error {
	d.pbx = d.w.Tenants.Candidates(d.src.Addr)
	if len(d.pbx) == 0 {
		d.saySource(false, "no PBX sends from there")
		return nil
	}
	d.class = PBX
	registered, err := d.fromRegistered(ctx)
	if err != nil {
		return err
	}
	if registered {
		d.saySource(true, "that of a phone of the caller, so not a PBX")
		d.pbx, d.class = nil, Unknown
		return nil
	}
	d.saySource(true, "a PBX sends from there")
	return nil
}

// fromRegistered reports whether the source is that of a phone of the caller.
func (d *decider) fromRegistered(ctx context.Context) (bool, error) {
	aor, err := d.req.From.AOR()
	if err != nil || d.serves(aor.Domain()) == nil {
		return false, nil
	}
	_, registered, err := d.registration(ctx, aor)
	return registered, err
}

// registration reports whether a phone of aor is registered from the source of
// the request, and which upstream granted that.
func (d *decider) registration(ctx context.Context, aor location.AOR) (registrar string, ok bool, err error) {
	bindings, err := d.w.Bindings.Lookup(ctx, aor)
	for i := range bindings {
		flow := &bindings[i].Flow
		if flow.Remote == d.src.Addr && flow.Transport == d.src.Transport {
			return bindings[i].Registrar, true, err
		}
	}
	return "", false, err
}

// serves returns the tenant of a domain, nil if there is none.
func (d *decider) serves(domain string) *tenant.Tenant {
	tn, _ := d.w.Tenants.Domain(domain)
	return tn
}

// own reports whether u is the proxy itself.
func (d *decider) own(u *location.URI) bool {
	host, err := location.CanonicalDomain(u.Host)
	return err == nil && d.ownHost(host, portOf(u))
}

func (d *decider) ownHost(host string, port uint16) bool {
	return d.w.Own != nil && d.w.Own(host, port)
}

// upstreams returns the tenants that have a PBX at the address or name in u.
func (d *decider) upstreams(u *location.URI) []*tenant.Tenant {
	if addr, err := netip.ParseAddr(u.Host); err == nil {
		return d.w.Tenants.Candidates(netip.AddrPortFrom(addr, portOf(u)))
	}
	host, err := location.CanonicalDomain(u.Host)
	if err != nil || d.w.Named == nil {
		return nil
	}
	return d.w.Named(host, portOf(u))
}

// toDiffers reports whether Request-URI and To name different hosts, as after
// a call forward.
func (d *decider) toDiffers() bool {
	return d.req.Target.Host != "" && d.req.To.Host != "" && !sameHost(d.req.Target.Host, d.req.To.Host)
}
