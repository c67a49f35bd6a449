package main

import (
	"testing"

	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/internal/simnet"
)

// TestHairpin: a PBX whose tenant may gets to the PBX of another tenant and back,
// with every method, and never to a phone there; what it misses in its own domain
// does not come back to it. P-16 P-30 P-81.
func TestHairpin(t *testing.T) {
	inWorld(t, "lookup: {hairpin: on}"+threeTenants, func(w *world) {
		ph := w.public("401", "b.test")
		ph.at(w.b)
		caller, callee := w.a.side(), w.b.side()
		caller.dial(callee, w.a.request("INVITE", "sip:401@b.test"))
		conversation(caller, callee)
		w.rejected(w.a.Peer, w.a.request("INVITE", "sip:999@a.test"), 404)
		if n := w.decided(route.Hairpin); n != 1 {
			t.Errorf("%d hairpins", n)
		}
	})
}

// TestHairpin_Off: by default it is told that there is nobody.
func TestHairpin_Off(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		w.rejected(w.a.Peer, w.a.request("INVITE", "sip:401@b.test"), 404)
		w.rejected(w.a.Peer, w.a.request("NOTIFY", "sip:401@b.test"), 404)
	})
}

// TestUnknownSource: a PBX that no tenant has rings the only user of that name,
// behind NAT or not, and talks to it, and then to nobody else. P-13 P-48.
func TestUnknownSource(t *testing.T) {
	for name, register := range map[string]func(w *world) *phone{
		"public": func(w *world) *phone { return w.public("411", "a.test") },
		"NAT":    func(w *world) *phone { return w.behind(simnet.Symmetric, "411", "a.test") },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, "security: {unknown_source: unique}"+threeTenants, func(w *world) {
				ph, victim := register(w), w.public("401", "b.test")
				ph.at(w.a)
				victim.at(w.b)
				stranger := w.pbx("203.0.113.200", "")
				caller, callee := stranger.side(), ph.side()
				caller.dial(callee, stranger.request("INVITE", "sip:411@192.0.2.1"))
				if n := w.decided(route.UniqueUser); n != 1 {
					t.Errorf("%d unique users", n)
				}
				conversation(caller, callee)
				caller.target = victim.uri()
				w.rejected(stranger.Peer, caller.text("INFO"), 404)
				stranger.ask("NOTIFY", "sip:411@192.0.2.1")
				w.quiet()
			})
		})
	}
}
