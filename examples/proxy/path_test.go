package main

import (
	"strings"
	"testing"

	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
)

// pathModes are the ways to have a Path: beside the phone's own Contact, or beside
// one of ours.
var pathModes = map[string]string{
	"own":      "register: {path: on}",
	"preserve": "register: {path: on, contact: preserve}",
}

// message has p send a MESSAGE, and returns how the phone gets it.
func (p *pbx) message(ph *phone, uri string, fields ...string) siptestx.Message {
	p.w.Helper()
	p.ask("MESSAGE", uri, fields...)
	m := ph.Expect("MESSAGE")
	ph.Reply(m, 200, "phone")
	p.w.answer(p.Peer, 200)
	return m
}

// byPath registers a phone and returns how its PBX calls it, which has kept the Path.
func byPath(p *pbx, ph *phone) (uri, route string) {
	p.w.Helper()
	m, _ := ph.register(p)
	return uriOf(m.Get("Contact")), "Route: " + m.Get("Path")
}

// TestPath_Register: the PBX gets one Path of ours, of which it is told that it is
// allowed, before what others have put there. Asterisk answers 420 else.
func TestPath_Register(t *testing.T) {
	inWorld(t, "register: {path: on, contact: preserve}"+threeTenants, func(w *world) {
		ph := w.behind(simnet.PortRestricted, "401", "a.test")
		m, answer := ph.register(w.a, "Supported: gruu")
		path := m.Get("Path")
		if !strings.HasPrefix(path, "<sip:401@192.0.2.1:5060;lr;rid=") || len(m.All("Path")) != 1 || strings.Join(m.All("Supported"), ", ") != "path, gruu" {
			t.Errorf("PBX gets\n%s", m.Text)
		}
		if m.Get("Contact") != ph.contact || uriOf(answer.Get("Contact")) != ph.uri() {
			t.Errorf("not the Contact of the phone in\n%s\nor\n%s", m.Text, answer.Text)
		}
		m, _ = ph.refresh(w.a, "Supported: path, gruu", "Path: <sip:203.0.113.9;lr>")
		if strings.Join(m.All("Path"), ", ") != path+", <sip:203.0.113.9;lr>" || len(m.All("Supported")) != 1 {
			t.Errorf("then it gets\n%s", m.Text)
		}
		m, _ = ph.refresh(w.a, "Contact:") // a question, which registers nothing
		if m.Get("Path") != "" {
			t.Errorf("a question has a Path\n%s", m.Text)
		}
	})
}

// TestPath_SameExtension: of two tenants of one PBX with the same extension, and the
// same phone at the same address behind different NATs, the one is called whose Path
// it is, with every method of a dialog, where Asterisk repeats the Path behind the
// Record-Route. P-01 P-18 P-49.
func TestPath_SameExtension(t *testing.T) {
	for mode, yaml := range pathModes {
		for _, kind := range everyNAT() {
			t.Run(mode+" "+kind.String(), func(t *testing.T) {
				inWorld(t, yaml+sharedPBX, func(w *world) {
					phones := []*phone{w.behind(kind, "401", "a.test"), w.behind(kind, "401", "b.test"), w.overTCP("401", "b.test")}
					type way struct{ uri, route string }
					ways := make([]way, len(phones))
					for i, ph := range phones {
						ways[i].uri, ways[i].route = byPath(w.a, ph)
					}
					for i, ph := range phones {
						caller, callee := w.a.side(), ph.side()
						caller.dial(callee, w.a.request("INVITE", ways[i].uri, ways[i].route))
						caller.routes = append(caller.routes, strings.TrimPrefix(ways[i].route, "Route: "))
						conversation(caller, callee)
					}
				})
			})
		}
	}
}

// TestPath_TwoContacts: the Path of a REGISTER with two Contacts is that of both.
func TestPath_TwoContacts(t *testing.T) {
	inWorld(t, pathModes["preserve"]+threeTenants, func(w *world) {
		ph := w.public("401", "a.test")
		second := strings.Replace(ph.uri(), "401-", "other-", 1)
		ph.fields = []string{"Contact: <" + second + ">"}
		_, route := byPath(w.a, ph)
		for _, uri := range []string{ph.uri(), second} {
			if m := w.a.message(ph, uri, route); m.URI() != uri {
				t.Errorf("%s gets to %s", uri, m.URI())
			}
		}
	})
}

// TestPath_Refused: a Path names a phone to its PBX only, as long as it is
// registered. What is left of one that was changed names nobody. P-48 P-61.
func TestPath_Refused(t *testing.T) {
	inWorld(t, pathModes["preserve"]+threeTenants, func(w *world) {
		ph := w.behind(simnet.PortRestricted, "401", "a.test")
		uri, route := byPath(w.a, ph)
		otherUser := strings.Replace(route, "401@", "402@", 1)
		changed := strings.Replace(route, ";rid=", ";rid=A", 1)
		theirs, _ := byPath(w.b, w.behind(simnet.PortRestricted, "401", "b.test"))
		for _, tt := range []struct {
			p          *pbx
			uri, route string
		}{{w.b, uri, route}, {w.b, theirs, route}, {w.c, uri, route}, {w.a, uri, otherUser}, {w.a, uri, changed}, {w.a, "sip:401@a.test", changed}} {
			tt.p.ask("MESSAGE", tt.uri, tt.route)
			w.answer(tt.p.Peer, 404)
		}
		stranger := w.stranger()
		stranger.Send(w.at, stranger.Request("MESSAGE", uri, route))
		ph.ask(ph.registerText("Expires: 0"))
		w.a.grant()
		ph.Status(200)
		w.a.ask("MESSAGE", uri, route)
		w.answer(w.a.Peer, 404)
		w.silence()
	})
}

// TestPath_BehindProxy: the Path of a proxy before the phone is used once, whether
// the PBX keeps it or not.
func TestPath_BehindProxy(t *testing.T) {
	inWorld(t, pathModes["preserve"]+threeTenants, func(w *world) {
		ph := w.public("401", "a.test")
		edge := "<sip:" + ph.Addr.String() + ";lr>"
		ph.fields = []string{"Path: " + edge}
		m, _ := ph.register(w.a)
		for _, routes := range [][]string{m.All("Path"), m.All("Path")[:1]} {
			if got := w.a.message(ph, ph.uri(), "Route: "+strings.Join(routes, ", ")); strings.Join(got.All("Route"), ", ") != edge {
				t.Errorf("%q arrives with %q", routes, got.All("Route"))
			}
		}
	})
}

// TestPath_Switched: what a set had before it got the mode goes on to work.
func TestPath_Switched(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.behind(simnet.PortRestricted, "401", "a.test")
		before := ph.at(w.a)
		w.reconfigure(nil, "register: {path: on}"+threeTenants)
		w.a.message(ph, before)
		m, _ := ph.refresh(w.a)
		if token := tokenOf(before); token == "" || !strings.Contains(m.Get("Path"), token) {
			t.Errorf("token %s, the PBX gets\n%s", token, m.Text)
		}
	})
}
