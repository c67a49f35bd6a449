package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sipward/sipward/examples/proxy/guard"
	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
	"github.com/sipward/sipward/location"
)

// TestTCP: a phone on TCP is called over the connection that it has opened, in
// and outside of dialogs, and what it gets has no Route left.
func TestTCP(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.overTCP("401", "a.test")
		uri := ph.at(w.a)
		for _, method := range []string{"OPTIONS", "NOTIFY", "MESSAGE"} {
			w.a.reaches(ph, method, uri)
		}
		in, phoneIn := callIn(w.a, uri, ph)
		if len(in.routes) != 2 || strings.Contains(in.routes[0], "transport=tcp") {
			t.Errorf("the PBX has the routes %q", in.routes)
		}
		conversation(in, phoneIn)
		conversation(callOut(ph, w.a))
	})
}

// TestTCP_Gone: once the connection is gone the phone is not there, and that is
// said at once.
func TestTCP_Gone(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph, other := w.overTCP("401", "a.test"), w.overTCP("402", "a.test")
		uri := ph.at(w.a)
		other.at(w.a)
		in, phoneIn := callIn(w.a, uri, ph)
		ph.Close()
		time.Sleep(time.Second)
		start := time.Now()
		if got := w.a.refused(480, "INVITE", uri); got.At != start {
			t.Errorf("it takes %v", got.At.Sub(start))
		}
		w.rejected(w.a.Peer, in.text("BYE"), 480)
		if n := w.proxy.view().Unreachable; n != 2 {
			t.Errorf("%d are counted", n)
		}
		again := w.phoneFrom(ph.host, siptestx.Dial(w, ph.host, proxyAt), "401", "a.test")
		again.contact = ph.contact
		if anew := again.at(w.a); anew != uri {
			t.Errorf("it has the token of %s, before of %s", anew, uri)
		}
		w.a.reaches(again, "MESSAGE", uri)
		phoneIn.peer = again.Peer
		in.exchange(phoneIn, "INFO") // what was its connection is nobody's, and it is here now
		phoneIn.exchange(in, "UPDATE")
		in.exchange(phoneIn, "BYE")
	})
}

// TestReach: a binding is reached where its REGISTER came from, but at its
// Contact if the phone knows its own address and yet names another place.
func TestReach(t *testing.T) {
	const public, private = "203.0.113.200", "10.9.9.9"
	for _, tt := range []struct {
		name, host, via, contact string
		direct                   bool
	}{
		{"another host", public, "203.0.113.200:5060", "203.0.113.201:5070", true},
		{"another port", public, "203.0.113.200:5060", "203.0.113.200:5070", true},
		{"no port", public, "203.0.113.200:5060", "203.0.113.201", true},
		{"the same private network", private, "10.9.9.9:5060", "10.9.9.10:5070", true},
		{"the source itself", public, "203.0.113.200:5060", "203.0.113.200:5060", false},
		{"another private network", private, "10.9.9.9:5060", "192.168.1.1:5070", false},
		{"private, from the Internet", public, "203.0.113.200:5060", "10.9.9.10:5070", false},
		{"its Via is not where it is", public, "203.0.113.207:5060", "203.0.113.201:5070", false},
		{"its Via has another port", public, "203.0.113.200:5062", "203.0.113.201:5070", false},
		{"a name", public, "203.0.113.200:5060", "phone.test:5070", false},
		{"the proxy", public, "203.0.113.200:5060", "192.0.2.1:5060", false},
		{"a PBX", private, "10.9.9.9:5060", "10.0.1.20:5060", false},
		{"over TCP", public, "203.0.113.200:5060", "203.0.113.201:5070;transport=tcp", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, threeTenants, func(w *world) {
				ph := w.phoneOn(w.net.NewHost(addr(tt.host)), "401", "a.test")
				ph.contact = "<sip:401@" + tt.contact + ">"
				at := ph
				if tt.direct {
					at = &phone{w: w, contact: ph.contact, Peer: w.elsewhere(ph, tt.contact)}
				}
				ph.ask(ph.registerText("Via: SIP/2.0/UDP " + tt.via + ";branch=z9hG4bK-1"))
				uri := uriOf(w.a.grant().Get("Contact"))
				ph.Status(200)
				w.a.reaches(at, "MESSAGE", uri)
				w.a.reaches(at, "INVITE", uri)
			})
		})
	}
}

// elsewhere returns a peer at the address of a Contact.
func (w *world) elsewhere(ph *phone, contact string) *siptestx.Peer {
	at := hostAt(contact)
	h := ph.host
	if at.Addr() != h.Addr() {
		h = w.net.NewHost(at.Addr())
	}
	return w.peer(siptestx.UDP(w, h, at.Port()))
}

// TestReach_FollowsTheNAT: after the router has given the phone another port,
// the next REGISTER is enough.
func TestReach_FollowsTheNAT(t *testing.T) {
	for _, kind := range everyNAT() {
		t.Run(kind.String(), func(t *testing.T) {
			inWorld(t, threeTenants, func(w *world) {
				ph := w.behind(kind, "401", "a.test")
				uri := ph.at(w.a)
				w.a.reaches(ph, "INVITE", uri)
				ph.nat.Rebind(w.outside())
				ph.refresh(w.a)
				w.a.reaches(ph, "INVITE", uri)
			})
		})
	}
}

// TestReach_Forking: a plain extension rings the phones of the user in the
// order of q, those with the same at once.
func TestReach_Forking(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		one, two, last := w.behind(simnet.FullCone, "401", "a.test"), w.public("401", "a.test"), w.public("401", "a.test")
		q := map[*phone]string{one: ";q=0.9", two: ";q=0.9", last: ";q=0.1"}
		for _, ph := range []*phone{last, one, two} {
			contact := ph.contact
			ph.contact += q[ph]
			ph.at(w.a)
			ph.contact = contact
		}
		w.a.ask("INVITE", "sip:401@192.0.2.1:5060")
		w.a.Status(100)
		for _, ph := range []*phone{one, two} {
			m := ph.Expect("INVITE")
			ph.Reply(m, 486, "phone")
			ph.Expect("ACK")
		}
		m := last.Expect("INVITE")
		last.Reply(m, 200, "phone", "Contact: "+last.contact)
		w.a.Status(200)
	})
}

// TestReach_PathIsOfItsSender: a Path counts only if it leads to who sent the
// REGISTER, a proxy before the phone: nobody has his calls go to others.
func TestReach_PathIsOfItsSender(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph, victim := w.public("401", "a.test"), w.behind(simnet.FullCone, "401", "b.test")
		victim.at(w.b)
		foreign := w.bound("401", "b.test")[0].Flow.Remote.String()
		for _, path := range []string{"<sip:" + foreign + ";lr>", "<sip:x@" + foreign + ";lr>, <sip:" + ph.Addr.String() + ";lr>", "<sip:edge.test;lr>", "x"} {
			sent, _ := ph.refresh(w.a, "Path: "+path)
			w.a.ask("MESSAGE", uriOf(sent.Get("Contact")))
			m := ph.Expect("MESSAGE")
			if len(m.All("Route")) > 0 {
				t.Errorf("Path %s: it arrives with the Routes %q", path, m.All("Route"))
			}
			ph.Reply(m, 200, "phone")
			w.a.Status(200)
		}
		path := "<sip:token@" + ph.Addr.String() + ";lr>"
		sent, _ := ph.refresh(w.a, "Path: "+path)
		w.a.ask("MESSAGE", uriOf(sent.Get("Contact")))
		m := ph.Expect("MESSAGE")
		if m.URI() != ph.uri() || m.Get("Route") != path {
			t.Errorf("along its Path it arrives as\n%s", m.Text)
		}
		ph.Reply(m, 200, "phone")
		w.a.Status(200)
	})
}

// addr returns an address.
func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// hostAt returns the address in a Contact, by default with port 5060.
func hostAt(contact string) netip.AddrPort {
	if at, err := netip.ParseAddrPort(contact); err == nil {
		return at
	}
	return netip.AddrPortFrom(addr(contact), 5060)
}

// TestReach_NeverAnotherTenantsPhone: a phone that registers the address of
// another tenant's phone as its Contact does not make that one ring. P-13.
func TestReach_NeverAnotherTenantsPhone(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		victim, thief := w.behind(simnet.PortRestricted, "401", "b.test"), w.public("401", "a.test")
		victim.register(w.b)
		thief.contact = "<sip:401@" + w.bound("401", "b.test")[0].Flow.Remote.String() + ">"
		uri := thief.at(w.a)
		for _, method := range outOfDialog() {
			w.a.refused(480, method, uri)
		}
		// A colleague of the same tenant may share a phone.
		colleague := w.public("402", "b.test")
		colleague.contact = thief.contact
		reached := &phone{w: w, contact: colleague.contact, Peer: victim.Peer}
		w.b.reaches(reached, "MESSAGE", colleague.at(w.b))
	})
}

// TestReach_NobodyTakesAnAddress: a Contact that another tenant has claimed before
// still reaches the phone that is there.
func TestReach_NobodyTakesAnAddress(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		squatter, ph := w.public("401", "a.test"), w.public("401", "b.test")
		ph.contact = "<sip:401@203.0.113.201:5070>"
		squatter.contact = ph.contact
		at := &phone{w: w, contact: ph.contact, Peer: w.elsewhere(ph, "203.0.113.201:5070")}
		squatter.at(w.a)
		w.b.reaches(at, "INVITE", ph.at(w.b))
	})
}

// TestReach_ManyUsersOnOneFlow: whoever has thousands of users on one socket does
// not make it expensive to tell whose phone is there. P-45.
func TestReach_ManyUsersOnOneFlow(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		at := location.Flow{Transport: "udp", Remote: netip.MustParseAddrPort("203.0.113.77:5060")}
		for i := range 5000 {
			aor, err := location.MakeAOR(fmt.Sprint(i), []string{"b.test", "c.test"}[i%2])
			if err != nil {
				t.Fatal(err)
			}
			b := location.Binding{Contact: "sip:x@203.0.113.77", Flow: at, Expires: time.Now().Add(time.Minute)}
			if err := w.proxy.store.Apply(t.Context(), aor, location.Change{Put: []location.Binding{b}}); err != nil {
				t.Fatal(err)
			}
		}
		for domain, want := range map[string]bool{"a.test": false, "b.test": true} {
			asked := 0
			if got := w.proxy.free(at, func(of string) bool { asked++; return of == domain }); got != want || asked > 2 {
				t.Errorf("for %s it is free: %v, asked %d times", domain, got, asked)
			}
		}
		if source := (guard.Source{Addr: at.Remote, Transport: at.Transport}); !w.proxy.live(source) {
			t.Error("nobody is there")
		}
	})
}
