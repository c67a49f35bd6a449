package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
)

// side is what one end of a dialog knows of it.
type side struct {
	w             *world
	peer          *siptestx.Peer
	to            netip.AddrPort
	write         func(method, uri string, fields ...string) string
	contact       string // URI of its own Contact
	target        string // URI of the other's, as it came
	routes        []string
	local, remote string // From and To of its requests
	callID        string
	seq           int
}

func (p *pbx) side() *side {
	return &side{w: p.w, peer: p.Peer, to: p.w.at, write: p.request, contact: "sip:asterisk@" + p.Addr.String(), seq: 15027}
}

func (ph *phone) side() *side {
	return &side{w: ph.w, peer: ph.Peer, to: ph.to, write: ph.text, contact: ph.uri(), seq: 7}
}

// dial sends the INVITE that begins a dialog; to is where it must arrive, which
// rings and answers.
func (s *side) dial(to *side, invite string) {
	s.w.Helper()
	s.peer.Send(s.to, invite)
	s.answered(to, to.peer.Expect("INVITE"))
}

// answered has to ring and answer m, which is the INVITE of s as it arrived.
func (s *side) answered(to *side, m siptestx.Message) {
	s.w.Helper()
	to.peer.Reply(m, 180, "callee", "Contact: <"+to.contact+">")
	s.w.answer(s.peer, 180)
	to.peer.Reply(m, 200, "callee", "Contact: <"+to.contact+">")
	got := s.w.answer(s.peer, 200)
	s.learn(got, got.Get("From"), got.Get("To"))
	slices.Reverse(s.routes)
	to.learn(m, got.Get("To"), got.Get("From"))
	to.callID, s.callID = m.Get("Call-ID"), m.Get("Call-ID")
	fmt.Sscan(got.Get("CSeq"), &s.seq)
	s.ack(to)
}

func (s *side) learn(m siptestx.Message, local, remote string) {
	s.target, s.routes, s.local, s.remote = uriOf(m.Get("Contact")), m.All("Record-Route"), local, remote
}

// text writes the next request of s in the dialog.
func (s *side) text(method string, fields ...string) string {
	if method != "ACK" {
		s.seq++
	}
	own := []string{"From: " + s.local, "To: " + s.remote, "Call-ID: " + s.callID, fmt.Sprintf("CSeq: %d %s", s.seq, method)}
	for _, r := range s.routes {
		own = append(own, "Route: "+r)
	}
	if targetsDialog(method) {
		own = append(own, "Contact: <"+s.contact+">")
	} else {
		own = append(own, "Contact:")
	}
	return s.write(method, s.target, append(own, fields...)...)
}

// send sends a request in the dialog, and returns how it arrives: with the
// Contact of the receiver as the Request-URI, byte for byte, and no Route.
func (s *side) send(to *side, method string, fields ...string) siptestx.Message {
	s.w.Helper()
	s.peer.Send(s.to, s.text(method, fields...))
	m := to.peer.Expect(method)
	if m.URI() != to.contact {
		s.w.Errorf("%s arrives for %s, want %s", method, m.URI(), to.contact)
	}
	if routes := m.All("Route"); len(routes) > 0 {
		s.w.Errorf("%s arrives with the Routes %q", method, routes)
	}
	return m
}

// exchange sends a request in the dialog and has it answered.
func (s *side) exchange(to *side, method string, fields ...string) {
	s.w.Helper()
	m := s.send(to, method, fields...)
	var contact []string
	if targetsDialog(method) {
		contact = []string{"Contact: <" + to.contact + ">"}
		to.target = uriOf(m.Get("Contact"))
	}
	to.peer.Reply(m, 200, "", contact...)
	got := s.w.answer(s.peer, 200)
	if targetsDialog(method) {
		s.target = uriOf(got.Get("Contact"))
	}
	if method == "INVITE" {
		s.ack(to)
	}
}

func (s *side) ack(to *side) {
	s.w.Helper()
	s.send(to, "ACK")
}

// conversation has every method in both directions (P-18).
func conversation(s, to *side) {
	s.w.Helper()
	for _, method := range []string{"PRACK", "INVITE", "UPDATE", "INFO", "MESSAGE", "REFER", "NOTIFY", "OPTIONS", "BYE"} {
		s.exchange(to, method)
		to.exchange(s, method)
	}
}

// callIn has p call the phone that it knows as uri.
func callIn(p *pbx, uri string, ph *phone) (caller, callee *side) {
	p.w.Helper()
	caller, callee = p.side(), ph.side()
	caller.dial(callee, p.request("INVITE", uri))
	return caller, callee
}

// callOut has the phone call another user, which p answers.
func callOut(ph *phone, p *pbx) (caller, callee *side) {
	p.w.Helper()
	caller, callee = ph.side(), p.side()
	callee.contact = "sip:" + p.Addr.String() // as an Asterisk does
	caller.dial(callee, ph.call("INVITE", "sip:402@"+ph.domain))
	return caller, callee
}

func everyNAT() []simnet.NATType {
	return []simnet.NATType{simnet.FullCone, simnet.Restricted, simnet.PortRestricted, simnet.Symmetric}
}

// TestDialog_CanceledMeanwhile: a request whose next hop has a name may be over
// before that is looked up.
func TestDialog_CanceledMeanwhile(t *testing.T) {
	slow := hosts(func(ctx context.Context, host string) ([]netip.Addr, error) {
		time.Sleep(50 * time.Millisecond)
		return []netip.Addr{netip.MustParseAddr("10.0.1.10")}, nil
	})
	inWorld(t, threeTenants, func(w *world) {
		w.reconfigure(zone{}, `
tenants:
  - {setid: 10, domains: [a.test], destinations: [{uri: "sip:10.0.1.10"}, {uri: "sip:pbx.a.test"}]}
`)
		w.proxy.dns = slow
		ph := w.behind(simnet.PortRestricted, "401", "a.test")
		ph.at(w.a)
		caller, callee := callOut(ph, w.a)
		for _, s := range []*side{caller, callee} {
			s.target = "sip:asterisk@pbx.a.test"
			invite := s.text("INVITE")
			s.peer.Send(s.to, invite)
			s.peer.Send(s.to, w.another("CANCEL", invite))
			w.answer(s.peer, 200)
			w.answer(s.peer, 487)
			s.peer.Send(s.to, w.another("ACK", invite))
		}
		w.a.Silent(time.Minute)
		ph.Silent(time.Minute)
	})
}

// TestDialog_BehindNAT: calls of both directions, every method in both, with
// private Contacts on both sides. P-18 P-24 P-29 P-49.
func TestDialog_BehindNAT(t *testing.T) {
	for _, kind := range everyNAT() {
		for name, yaml := range map[string]string{"own": threeTenants, "preserve": preserving} {
			t.Run(fmt.Sprint(kind, " ", name), func(t *testing.T) {
				inWorld(t, yaml, func(w *world) {
					ph, other := w.behind(kind, "401", "a.test"), w.behind(kind, "401", "b.test")
					uri := ph.at(w.a)
					other.at(w.b)
					conversation(callIn(w.a, uri, ph))
					conversation(callOut(ph, w.a))
				})
			})
		}
	}
}

// TestDialog_Glare: two re-INVITEs that cross are two transactions, and each side hears
// that the other one has one (RFC 3261 section 14.1).
func TestDialog_Glare(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.behind(simnet.PortRestricted, "401", "a.test")
		in, phoneIn := callIn(w.a, ph.at(w.a), ph)
		sides := [...]*side{in, phoneIn}
		var sent [2]string
		var got [2]siptestx.Message
		for i, s := range sides {
			sent[i] = s.text("INVITE")
			s.peer.Send(s.to, sent[i])
		}
		for i, s := range sides {
			got[i] = s.peer.Expect("INVITE")
		}
		for i, s := range sides {
			s.peer.Reply(got[i], 491, "")
			s.peer.Expect("ACK")
			other := sides[1-i]
			w.answer(other.peer, 491)
			other.peer.Send(other.to, w.another("ACK", sent[1-i]))
		}
		conversation(in, phoneIn)
	})
}

// TestDialog_SurvivesRestart: nothing in a dialog depends on what the proxy
// remembers, neither dialogs nor bindings.
func TestDialog_SurvivesRestart(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.behind(simnet.Symmetric, "401", "a.test")
		in, phoneIn := callIn(w.a, ph.at(w.a), ph)
		out, phoneOut := callOut(ph, w.a)
		w.restart()
		if bs := w.bound("401", "a.test"); len(bs) > 0 {
			t.Fatalf("it remembers %+v", bs)
		}
		conversation(in, phoneIn)
		conversation(phoneOut, out)
	})
}

// TestDialog_NewSecret: a secret that replaces another one ends no call, as long as
// that is among the former ones, and is one for strangers after that. P-48.
func TestDialog_NewSecret(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		first := w.cfg.Secret
		secrets := func(now config.Secret, former ...config.Secret) {
			w.cfg.Secret, w.cfg.Former = now, former
			w.restart()
		}
		ph := w.behind(simnet.Symmetric, "401", "a.test")
		in, phoneIn := callIn(w.a, ph.at(w.a), ph)
		out, phoneOut := callOut(ph, w.a)
		secrets("the second of secrets", first)
		conversation(in, phoneIn)
		conversation(phoneOut, out)
		later, phoneLater := callIn(w.a, ph.at(w.a), ph)
		secrets("the second of secrets")
		conversation(later, phoneLater)
		for _, s := range []*side{in, phoneIn} {
			s.peer.Send(s.to, s.text("BYE"))
			w.answer(s.peer, 481)
		}
	})
}

// TestDialog_SecondDevice: a call on the second of two phones stays there, also
// when its registration is gone. P-51.
func TestDialog_SecondDevice(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		first, second := w.behind(simnet.FullCone, "401", "a.test"), w.behind(simnet.FullCone, "401", "a.test")
		second.contact = strings.Replace(second.contact, "x8kmhe6a", "second", 1)
		first.at(w.a)
		p, ph := callIn(w.a, second.at(w.a), second)
		first.refresh(w.a) // it is the newest now
		conversation(p, ph)
		second.refresh(w.a, "Expires: 0")
		conversation(p, ph)
	})
}

// TestDialog_NATRebinds: the NAT of a phone gives it another address in the middle of
// calls. What it sends gets through at once, and what its PBX sends follows it when
// it has registered again, to it and no other. P-18 P-51.
func TestDialog_NATRebinds(t *testing.T) {
	for _, kind := range everyNAT() {
		t.Run(kind.String(), func(t *testing.T) {
			inWorld(t, threeTenants, func(w *world) {
				ph, other := w.behind(kind, "401", "a.test"), w.behind(kind, "401", "a.test")
				other.contact = strings.Replace(other.contact, "x8kmhe6a", "other", 1)
				foreign := w.behind(kind, "401", "b.test") // with the same Contact
				in, phoneIn := callIn(w.a, ph.at(w.a), ph)
				phoneOut, out := callOut(ph, w.a)
				other.at(w.a)
				foreign.at(w.b)
				ph.nat.Rebind(w.outside())
				phoneIn.exchange(in, "INFO")
				ph.refresh(w.a)
				conversation(out, phoneOut)
				conversation(in, phoneIn)
			})
		})
	}
}

// TestDialog_PublicContact: who is where its Contact says is not touched, and
// who is not gets an alias. P-20.
func TestDialog_PublicContact(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		public, private := w.public("401", "a.test"), w.behind(simnet.FullCone, "402", "a.test")
		p, ph := callIn(w.a, public.at(w.a), public)
		if p.target != public.uri() {
			t.Errorf("the PBX gets the Contact %s", p.target)
		}
		conversation(p, ph)
		ph, p = callOut(public, w.a)
		if p.target != public.uri() {
			t.Errorf("the PBX gets the Contact %s", p.target)
		}
		conversation(ph, p)
		p, _ = callIn(w.a, private.at(w.a), private)
		if rest, ok := strings.CutPrefix(p.target, private.uri()); !ok || !strings.HasPrefix(rest, ";alias=") {
			t.Errorf("the PBX gets the Contact %s", p.target)
		}
	})
}

// TestDialog_RecordRoute: one, with the proof, on what begins a dialog and on
// nothing else. P-23.
func TestDialog_RecordRoute(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.public("401", "a.test")
		uri := ph.at(w.a)
		for method, want := range map[string]int{"INVITE": 1, "SUBSCRIBE": 1, "REFER": 1, "OPTIONS": 0, "MESSAGE": 0, "NOTIFY": 0} {
			text := w.a.ask(method, uri)
			m := ph.Expect(method)
			if routes := m.All("Record-Route"); len(routes) != want ||
				want > 0 && routes[0] != "<sip:192.0.2.1:5060;lr"+w.proxy.seal.routeParams(m.Get("Call-ID"), w.a.Addr, "a.test")+">" {
				t.Errorf("%s: %q", method, routes)
			}
			ph.Reply(m, 486, "phone")
			got := w.answer(w.a.Peer, 486)
			if method == "INVITE" {
				w.a.Send(w.at, w.another("ACK", text, "To: "+got.Get("To")))
				ph.Expect("ACK")
			}
		}
	})
}

// TestDialog_Challenge: the challenge of an INVITE gets to the phone, and the
// dialog is that of the second INVITE. P-22.
func TestDialog_Challenge(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.behind(simnet.PortRestricted, "401", "a.test")
		ph.at(w.a)
		invite := ph.ask(ph.call("INVITE", "sip:402@a.test"))
		w.a.Reply(w.a.Expect("INVITE"), 401, "pbx", challenge)
		got := w.answer(ph.Peer, 401)
		if diff := cmp.Diff("WWW-Authenticate: "+got.Get("WWW-Authenticate"), challenge); diff != "" {
			t.Errorf("-got +want:\n%s", diff)
		}
		w.a.Expect("ACK")
		ph.ask(w.another("ACK", invite, "To: "+got.Get("To")))
		conversation(callOut(ph, w.a))
	})
}

// TestDialog_RouteBehindUs: with another proxy between us and the phone, a
// request goes along its Route, which stays, and not by the alias.
func TestDialog_RouteBehindUs(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph, edge := w.behind(simnet.FullCone, "401", "a.test"), w.stranger()
		in, _ := callIn(w.a, ph.at(w.a), ph)
		route := "<sip:" + edge.Addr.String() + ";lr;x=y>"
		in.routes = append(in.routes, route, "<sip:further.test;lr>")
		w.a.Send(w.at, in.text("UPDATE"))
		m := edge.Expect("UPDATE")
		if diff := cmp.Diff(m.All("Route"), []string{route, "<sip:further.test;lr>"}); diff != "" || m.URI() != ph.uri() {
			t.Errorf("it arrives for %s with the Routes, -got +want:\n%s", m.URI(), diff)
		}
		edge.Reply(m, 200, "")
		w.a.Status(200)
	})
}
