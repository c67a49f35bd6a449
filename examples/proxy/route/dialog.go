package route

import (
	"context"

	"github.com/sipward/sipward/location"
)

// inDialog is for requests with a To-tag. The dialog, and so the way, was
// decided by the request that began it, and the location of the phone may have
// changed since: nothing is looked up. What proves the dialog is the Route
// that the proxy put into it.
func (d *decider) inDialog(ctx context.Context) Decision {
	r := d.req
	if !r.Trusted {
		d.say(false, "Route", "", "none of ours, so the dialog is not proved")
		return reply(481, UntrustedDialog)
	}
	fromPBX := len(d.pbx) > 0 || d.fromPeer()
	if !fromPBX {
		d.class = Phone
	}
	d.say(true, "Route", "", "ours")
	switch {
	case r.NextRoute.Host != "":
		return d.along(ctx, "Route", &r.NextRoute, fromPBX)
	case r.Alias.Remote.IsValid():
		d.say(true, "alias", r.Alias.Transport, "names the flow")
		return onward()
	case r.Target.Host == "":
		return reply(416, BadURI)
	}
	return d.along(ctx, "Request-URI", &r.Target, fromPBX)
}

// along decides by u, the URI of the next hop, which stands in the field what.
// A PBX may send anywhere that is not the proxy again; a phone only to the
// PBXes, since any dialog of its own would else make the proxy its open relay.
func (d *decider) along(ctx context.Context, what string, u *location.URI, fromPBX bool) Decision {
	tn := d.serves(u.Host)
	switch {
	case d.own(u), tn != nil && fromPBX:
		d.say(false, what, u.Host, "the proxy again")
		return reply(404, OwnAddress)
	case fromPBX:
		d.say(true, what, u.Host, "wherever the PBX wants")
		return onward()
	case tn != nil:
		d.say(true, what, u.Host, "a domain that is served")
		return d.toSet(ctx, tn, InDialog)
	case len(d.upstreams(u)) > 0, d.peer(u):
		d.say(true, what, u.Host, "a PBX")
		return onward()
	}
	d.say(false, what, u.Host, "neither a domain nor a PBX")
	return reply(404, ForeignTarget)
}

// fromPeer reports whether the request is from the PBX that the dialog began
// with, though no tenant has it any more. Where strangers begin dialogs too,
// that would make the proxy the open relay of one who has rung a phone once.
func (d *decider) fromPeer() bool {
	return d.req.Peer.IsValid() && d.req.Peer == d.src.Addr && !d.w.Policy.RingUnique
}

// peer reports whether u is the PBX that the dialog began with.
func (d *decider) peer(u *location.URI) bool {
	addr := hostAddr(u.Host) // its Contact may have another port than it sends from
	return addr.IsValid() && addr == d.req.Peer.Addr()
}

func onward() Decision { return Decision{Action: ToURI, Reason: InDialog, Set: -1} }
