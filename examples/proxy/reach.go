package main

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/natfix"
	"github.com/sipward/sipward/tenant"
)

var (
	errNamed   = errors.New("it is to be found by a name, which nobody looks up for a phone")
	errForeign = errors.New("its Contact is another tenant's phone")
	errGone    = errors.New("its connection is gone")
)

// phone returns the target that a binding of aor is. An error says why the phone
// cannot be reached.
func (p *Proxy) phone(aor location.AOR, b *location.Binding) (relay.Target, error) {
	hop, err := natfix.Next(*b)
	switch {
	case err != nil:
		return relay.Target{}, err
	case !hop.Remote.IsValid():
		return relay.Target{}, errNamed
	}
	at := location.Flow{Transport: hop.Transport, Local: hop.Local, Remote: hop.Remote}
	// A Contact proves nothing: whoever registers one that is somebody else's
	// address must not make that phone ring.
	if !b.Flow.Remote.IsValid() && !p.free(at, func(domain string) bool { return domain == aor.Domain() }) {
		return relay.Target{}, errForeign
	}
	f, ok := p.find(at)
	switch {
	case ok && p.conns.has(f, aor):
		return relay.Target{Flow: f, RequestURI: hop.RequestURI, Route: hop.Route, Context: b.Q}, nil
	case at.Transport == "udp":
		return relay.Target{}, transport.ErrNoListener
	}
	return relay.Target{}, errGone
}

// moved returns the target for a request of the PBX of some tenants in a dialog whose
// phone has registered elsewhere since, with the Contact that it has in the dialog: its
// NAT has given it another port, or it has connected again. It reports false if the
// phone is where its alias says, as far as is known, or could be one of several.
func (p *Proxy) moved(pbx []*tenant.Tenant, said *reading) (relay.Target, bool) {
	contact, err := location.ParseURI(said.uri)
	if err != nil {
		return relay.Target{}, false
	}
	contact.Host = said.began.domainOf(pbx)
	of, err := contact.AOR()
	if err != nil {
		return relay.Target{}, false
	}
	entries, _ := p.contacts.LookupContact(context.Background(), of) // none: it has not moved
	entries = slices.DeleteFunc(entries, func(e location.Entry) bool { return !location.EqualURI(e.Binding.Contact, said.uri) })
	if len(entries) != 1 {
		return relay.Target{}, false
	}
	if at := entries[0].Binding.Flow; at.Remote == said.alias.Remote && at.Transport == said.alias.Transport {
		return relay.Target{}, false
	}
	t, err := p.phone(entries[0].AOR, &entries[0].Binding)
	t.RequestURI = said.uri
	return t, err == nil
}

// free reports whether the end of a flow is nobody's phone, or one of a domain
// that is ours as the caller sees it: a phone may have accounts in several
// tenants. Behind a gateway there may be thousands; each domain is asked for once.
// A phone that is reached at its Contact does not count: it proves nothing, and
// who names an address could deny it to the phone that is there.
func (p *Proxy) free(at location.Flow, ours func(domain string) bool) bool {
	var first string
	var others map[string]bool // that were asked for; mostly there are none
	accepted, err := p.flows.HasFlow(context.Background(), at, func(a location.AOR) bool {
		switch domain := a.Domain(); {
		case domain == first || others[domain]:
			return false
		case first == "":
			first = domain
		case others == nil:
			others = map[string]bool{domain: true}
		default:
			others[domain] = true
		}
		return ours(a.Domain())
	})
	return err == nil && (accepted || first == "")
}

// find returns the way to a phone: over UDP from another listener if its own is
// not there any more, or never was on this machine.
func (p *Proxy) find(at location.Flow) (transport.Flow, bool) {
	f, ok := p.transport.Find(at.Transport, at.Local, at.Remote)
	if !ok && at.Transport == "udp" {
		f, ok = p.transport.Find(at.Transport, noAddr, at.Remote)
	}
	return f, ok
}

// direct reports whether b is reached at its Contact and not where its REGISTER
// came from: the phone knows its own address, so there is no NAT, and yet it
// names another place, on the same kind of network and none of ours or a PBX's.
func (p *Proxy) direct(m *sipmsg.Message, b *location.Binding) bool {
	via := &m.Via
	if b.Flow.Transport != "udp" || natfix.ViaSigns(via.Transport, via.Host, via.Port, m.Source)&(natfix.ViaMismatch|natfix.PortMismatch) != 0 {
		return false
	}
	u, err := location.ParseURI(b.Contact)
	if err != nil || networkOf(u) != "udp" {
		return false
	}
	addr, err := netip.ParseAddr(u.Host)
	if err != nil || !sameScope(addr, m.Source.Addr()) || p.names.isOwn(u.Host, u.Port) {
		return false
	}
	at := netip.AddrPortFrom(addr, portOf(u))
	return at != m.Source && len(p.state.Load().tenants.Candidates(at)) == 0
}

// sameScope reports whether two addresses may be on one network: both on the
// Internet, or both in the same block of private addresses.
func sameScope(a, b netip.Addr) bool {
	if natfix.IsPrivate(a) != natfix.IsPrivate(b) {
		return false
	}
	if !natfix.IsPrivate(a) {
		return true
	}
	for _, block := range scopes {
		if block.Contains(a) || block.Contains(b) {
			return block.Contains(a) && block.Contains(b)
		}
	}
	return false
}

// scopes are the blocks of addresses that have no meaning outside.
var scopes = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("::1/128"),
}

// pathOfSender reports whether the Path of b, if any, leads to who has sent its
// REGISTER: a proxy before the phone. Any other would let a phone have its calls
// sent where only the proxy gets to, such as through the NAT of somebody else.
func pathOfSender(b *location.Binding) bool {
	if b.Path == "" {
		return true
	}
	hop, err := natfix.Next(*b)
	return err == nil && hop.Remote == b.Flow.Remote && hop.Transport == b.Flow.Transport
}
