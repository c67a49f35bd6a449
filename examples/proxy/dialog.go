package main

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/natfix"
	"github.com/sipward/sipward/tenant"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

var noAddr netip.AddrPort

// toURI sends a request on in its dialog, if need be when the name of the next
// hop has been looked up.
func (p *Proxy) toURI(c *relay.Context, d *route.Decision, o *outcome) {
	w := &onward{targets: o.targets, began: o.began, fromPBX: d.Class != route.Phone, pbx: p.state.Load().senders(d, c.Message)}
	if o.name.Host == "" {
		p.forwardTo(c, w)
		return
	}
	name := o.name
	p.resolve(c, name, func(addr netip.Addr) {
		w.targets[0][0].Remote = netip.AddrPortFrom(addr, portOf(name))
		p.forwardTo(c, w)
	})
}

// onward is a request that goes along its dialog.
type onward struct {
	targets [][]relay.Target // the one where it goes
	began   proof            // what is proved of the dialog
	fromPBX bool
	pbx     []*tenant.Tenant // those whose PBX sent it, if one did
}

// senders returns the tenants whose PBX sent m, none if a phone did.
func (st *state) senders(d *route.Decision, m *sipmsg.Message) []*tenant.Tenant {
	if d.Class == route.Phone {
		return nil
	}
	return st.tenants.Candidates(m.Source)
}

// nextHop returns where a request goes in its dialog, which the PBX of some tenants
// sends or a phone: to its next Route, else to the flow that its Request-URI has as an
// alias, or where that phone is by now, else to what the URI says.
func (p *Proxy) nextHop(c *relay.Context, pbx []*tenant.Tenant, said *reading) outcome {
	if c.NextRoute == "" && said.alias.Remote.IsValid() {
		if t, ok := p.moved(pbx, said); ok {
			return outcome{targets: one(t), began: said.began}
		}
		f, ok := p.find(said.alias)
		if !ok { // nobody else's connection will do
			return outcome{err: errGone, status: 480}
		}
		return outcome{targets: one(relay.Target{Flow: f, RequestURI: said.uri}), began: said.began}
	}
	next := said.uri
	if c.NextRoute != "" {
		a, _ := sipmsg.ParseNameAddr(c.NextRoute) // routing has read it
		next = a.URI
	}
	u, _ := location.ParseURI(next) // this one too
	network, local := p.wayTo(c, u)
	t := relay.Target{Network: network, Local: local, RequestURI: said.uri}
	if addr, err := netip.ParseAddr(u.Host); err == nil {
		t.Remote = netip.AddrPortFrom(addr.Unmap(), portOf(u))
	} else {
		t.Remote = p.state.Load().pbxAt(network, u, said.began.pbx)
	}
	if t.Remote.IsValid() {
		u = location.URI{}
	}
	return outcome{targets: one(t), name: u, began: said.began}
}

// pbxAt returns where the PBX is that is known by the name in u: that of the dialog
// if it can be, else the best one. It returns noAddr for other names.
func (st *state) pbxAt(network string, u location.URI, ofDialog netip.AddrPort) netip.AddrPort {
	u.Scheme, u.Params = "sip", "transport="+network
	name, _ := mysqltenant.NameOf(u.String())
	best := noAddr
	for _, t := range st.targets[name] {
		if at := t.At(portOf(u)); at == ofDialog || best == noAddr {
			best = at
		}
	}
	return best
}

// wayTo returns the network and, if there is a choice, the listener for an
// in-dialog request: two Record-Routes of ours say on which side it goes out. A
// Path, which Asterisk adds to them, says nothing.
func (p *Proxy) wayTo(c *relay.Context, u location.URI) (network string, local netip.AddrPort) {
	network = networkOf(u)
	var last location.URI
	sides := 0
	for _, own := range c.OwnRoutes {
		if u, err := location.ParseURI(own); err == nil && !isPath(u) {
			last = u
			sides++
		}
	}
	if sides < 2 {
		return network, noAddr
	}
	if _, ok := u.Param("transport"); !ok {
		network = networkOf(last)
	}
	if l := p.names.listenerOf(last); l.network == network && network == "udp" {
		local = l.addr
	}
	return network, local
}

// forwardTo sends a request on. Where a phone may be that is not known yet, it waits.
func (p *Proxy) forwardTo(c *relay.Context, w *onward) {
	t := &w.targets[0][0]
	if t.Flow == (transport.Flow{}) && t.Remote != w.began.pbx && p.mirror != nil {
		later := sync.OnceFunc(func() { c.Resume(func() { p.send(c, w) }) })
		if stop := p.mirror.WhenLoaded(later); stop != nil {
			time.AfterFunc(holdTime, func() { stop(); later() }) // nobody knows when the database will be back
			return
		}
	}
	p.send(c, w)
}

// send sends a request on, unless that leads to a phone of others.
func (p *Proxy) send(c *relay.Context, w *onward) {
	switch {
	case !p.mayReach(w.began, w.fromPBX, w.pbx, farEnd(&w.targets[0][0])):
		p.counters.reasons[route.ForeignTarget].Add(1)
		c.Refuse(404, reasonPhrase(404))
	case w.fromPBX:
		p.forwardOfPBX(c, w.targets, w.pbx)
	default:
		p.forwardOfPhone(c, w.targets)
	}
}

// mayReach reports whether a request in the dialog that began, of a PBX or a phone,
// may go there: not to a phone of other tenants. What proves the dialog says nothing
// of where its sender wants requests to go, phones may be behind the address of a
// PBX, and a NAT gives an address that it had for a phone to another one. The PBX of
// the dialog may itself be somebody's phone, as a trunk is.
func (p *Proxy) mayReach(began proof, fromPBX bool, pbx []*tenant.Tenant, to location.Flow) bool {
	if !fromPBX && to.Remote == began.pbx {
		return true
	}
	table := p.state.Load().tenants
	return p.free(to, func(domain string) bool {
		if began.of(domain) { // whoever has that now
			return true
		}
		tn, served := table.Domain(domain)
		return !served || slices.ContainsFunc(pbx, func(t *tenant.Tenant) bool { return t.SetID == tn.SetID }) // the table may be a new one
	})
}

// forwardOfPhone sends on what a phone sends.
func (p *Proxy) forwardOfPhone(c *relay.Context, targets [][]relay.Target) {
	t, st := &targets[0][0], p.state.Load()
	plan, of := relay.Plan{Targets: targets}, st.tenants.Candidates(farEnd(t).Remote)
	t.TCP = st.mayTCP[t.Remote]
	t.Edit = p.phoneEdit(c, st.sdpOf(of), len(of) == 0)
	if len(of) == 0 { // a stranger and a phone that it rang: aliases are all they have
		plan.Answer = p.phoneAnswers(c.Message.Method, natfix.SDPOff, true)
	}
	p.watch(c, &plan)
	c.Forward(plan)
}

// forwardOfPBX sends on what the PBX of some tenants sends.
func (p *Proxy) forwardOfPBX(c *relay.Context, targets [][]relay.Target, pbx []*tenant.Tenant) {
	t, st := &targets[0][0], p.state.Load()
	plan := relay.Plan{Targets: targets}
	if len(st.tenants.Candidates(farEnd(t).Remote)) == 0 { // else it is a PBX or a carrier, whose word is left alone (P-26)
		plan.Answer = p.phoneAnswers(c.Message.Method, st.sdpOf(pbx), false)
		if t.Flow == (transport.Flow{}) && t.Network != "udp" { // its own connection, if there is one
			t.Flow, _ = p.transport.Find(t.Network, noAddr, t.Remote)
		}
	}
	p.watch(c, &plan)
	c.Forward(plan)
}

// farEnd returns where t is.
func farEnd(t *relay.Target) location.Flow {
	if t.Flow != (transport.Flow{}) {
		return t.Flow.Location()
	}
	return location.Flow{Transport: t.Network, Remote: t.Remote}
}

// resolve looks up the host of a URI without keeping others waiting, and goes on
// with its first address, if the request is not over by then.
func (p *Proxy) resolve(c *relay.Context, u location.URI, then func(netip.Addr)) {
	if p.lookups.Add(1) > maxLookups {
		p.lookups.Add(-1)
		c.Reply(503, "Service Unavailable", "Retry-After: 5")
		return
	}
	p.background.Go(func() {
		defer p.lookups.Add(-1)
		ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
		defer cancel()
		addrs, _, err := p.dns.LookupHost(ctx, u.Host)
		if err != nil || len(addrs) == 0 {
			c.Reply(503, "Service Unavailable")
			return
		}
		c.Resume(func() { then(addrs[0].Unmap()) })
	})
}

// maxLookups bounds how many requests in dialogs wait for the names of next hops:
// each has a socket of its own.
const maxLookups = 256

// lookupTimeout bounds what an in-dialog request may wait for a host name.
const lookupTimeout = 2 * time.Second

func portOf(u location.URI) uint16 {
	if u.Port != 0 {
		return u.Port
	}
	return config.Transport(networkOf(u)).DefaultPort()
}

// targetsDialog reports whether the Contact of a message with this method is
// where the dialog's next requests go (RFC 3261 section 12, RFC 3311, RFC 6665).
func targetsDialog(method string) bool {
	switch method {
	case "INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER":
		return true
	}
	return false
}

// phoneAnswers returns what makes the Contact in answers of phones reachable, and
// the media that they offer; nil if there is nothing to do. Always is for a caller
// that gets to a phone by aliases only, wherever that is.
func (p *Proxy) phoneAnswers(method string, sdp natfix.SDPPolicy, always bool) func(*relay.Target, *sipmsg.Message, *sipmsg.Patch) (int, string) {
	contacts := targetsDialog(method)
	if !contacts && sdp == natfix.SDPOff {
		return nil
	}
	return func(t *relay.Target, m *sipmsg.Message, patch *sipmsg.Patch) (int, string) {
		if m.Status >= 300 {
			return 0, ""
		}
		if contacts {
			p.aliasContacts(t.Flow.Location(), patch, always)
		}
		if body, changed := natfix.FixSDP(sdp, t.Flow.Location(), m.Get(sipmsg.ContentType), m.Body()); changed {
			patch.SetBody(body)
		}
		return 0, ""
	}
}

// phoneEdit does the same for a phone's request.
func (p *Proxy) phoneEdit(c *relay.Context, sdp natfix.SDPPolicy, always bool) relay.Edit {
	m := c.Message
	contacts := targetsDialog(m.Method) && m.Has(sipmsg.Contact)
	from := location.Flow{Transport: c.Flow.Network(), Remote: m.Source, Local: c.Flow.Local()}
	body, changed := natfix.FixSDP(sdp, from, m.Get(sipmsg.ContentType), m.Body())
	if !contacts && !changed {
		return nil
	}
	return func(_ transport.Flow, patch *sipmsg.Patch) {
		if contacts {
			p.aliasContacts(from, patch, always)
		}
		if changed {
			patch.SetBody(body)
		}
	}
}

// aliasContacts appends to each Contact that would lead elsewhere how its
// phone is reached, or to all.
func (p *Proxy) aliasContacts(f location.Flow, patch *sipmsg.Patch, always bool) {
	patch.ReplaceElements(sipmsg.Contact, func(element string) string {
		a, err := sipmsg.ParseNameAddr(element)
		if err != nil || !always && !natfix.NeedsAlias(a.URI, f) {
			return element
		}
		uri, _ := p.alias.Append(nil, a.URI, f)
		return a.With(string(uri))
	})
}
