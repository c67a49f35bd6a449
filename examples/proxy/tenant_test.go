package main

import (
	"strings"
	"testing"

	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
)

// outOfDialog are the methods by which a phone can be reached.
func outOfDialog() []string { return []string{"INVITE", "OPTIONS", "NOTIFY", "MESSAGE", "SUBSCRIBE"} }

// reaches has p send a request, which must get to ph and to nobody else.
func (p *pbx) reaches(ph *phone, method, uri string, fields ...string) {
	p.w.Helper()
	text := p.ask(method, uri, fields...)
	m := ph.Expect(method)
	if m.URI() != ph.uri() {
		p.w.Errorf("%s arrives for %s, want %s", method, m.URI(), ph.uri())
	}
	ph.Reply(m, 486, "phone")
	got := p.w.answer(p.Peer, 486)
	if method == "INVITE" {
		p.Send(p.w.at, p.w.another("ACK", text, "To: "+got.Get("To")))
		ph.Expect("ACK")
	}
	p.w.quiet()
}

// refused has p send a request, which must be answered with status and get to
// nobody.
func (p *pbx) refused(status int, method, uri string, fields ...string) siptestx.Message {
	p.w.Helper()
	text := p.ask(method, uri, fields...)
	got := p.w.answer(p.Peer, status)
	if method == "INVITE" {
		p.Send(p.w.at, p.w.another("ACK", text, "To: "+got.Get("To")))
	}
	p.w.quiet()
	return got
}

// TestToken_NamesThePhone: of two phones on one extension the one rings that
// the token is of. P-49.
func TestToken_NamesThePhone(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		one, two := w.behind(simnet.PortRestricted, "401", "a.test"), w.public("401", "a.test")
		first, second := one.at(w.a), two.at(w.a)
		for _, method := range outOfDialog() {
			w.a.reaches(one, method, first)
			w.a.reaches(two, method, second)
		}
		one.nat.Rebind()
		one.refresh(w.a)
		w.a.reaches(one, "INVITE", first)
	})
}

// TestToken_Refused: a token that is not exactly that of a phone of this tenant
// rings nobody, whatever else the request says. P-13 P-15.
func TestToken_Refused(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		uri := w.behind(simnet.PortRestricted, "401", "a.test").at(w.a)
		other := w.behind(simnet.PortRestricted, "401", "b.test").at(w.b)
		w.public("402", "a.test").at(w.a)
		last := uri[len(uri)-1]
		uris := []string{
			other,
			uri[:len(uri)-1],
			uri + "A",
			uri[:len(uri)-1] + string(last^1),
			strings.TrimSuffix(uri, tokenOf(uri)),
			strings.TrimSuffix(uri, "="+tokenOf(uri)),
			strings.ToUpper(uri),
			strings.Replace(uri, "sip:401@", "sip:402@", 1),
			strings.Replace(uri, "sip:401@", "sip:403@", 1),
		}
		for _, bad := range uris {
			for _, method := range outOfDialog() {
				w.a.refused(404, method, bad, "To: <sip:401@a.test>", `From: <sip:401@a.test>;tag=1`)
			}
		}
		if got, want := w.decided(route.UnknownToken), uint64(len(uris)*len(outOfDialog())); got != want {
			t.Errorf("%d unknown tokens, want %d", got, want)
		}
		for _, p := range []*pbx{w.b, w.c} {
			p.refused(404, "INVITE", uri)
		}
	})
}

// TestProxyItself: a PBX that asks the proxy is answered, and told what it may ask. P-61.
func TestProxyItself(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		w.a.refused(200, "OPTIONS", "sip:192.0.2.1:5060")
		for _, method := range []string{"INVITE", "NOTIFY", "FOO"} {
			if got := w.a.refused(405, method, "sip:192.0.2.1:5060").Get("Allow"); got != "OPTIONS" {
				t.Errorf("%s: Allow is %q", method, got)
			}
		}
	})
}

// sharedPBX has three domains and two sets at one address.
const sharedPBX = `
tenants:
  - {setid: 10, domains: [a.test, d.test], destinations: [{uri: "sip:10.0.1.10:5060"}]}
  - {setid: 20, domains: [b.test], destinations: [{uri: "sip:10.0.1.10:5060"}]}
  - {setid: 30, domains: [c.test], destinations: [{uri: "sip:10.0.1.30:5060"}]}
`

// TestSharedPBX: tenants whose PBX is the same machine are told apart by the
// token, by what the request names, or not at all. P-12 P-17.
func TestSharedPBX(t *testing.T) {
	inWorld(t, sharedPBX, func(w *world) {
		phones := map[string]*phone{}
		uris := map[string]string{}
		for _, domain := range []string{"a.test", "b.test", "d.test"} {
			ph := w.behind(simnet.PortRestricted, "401", domain)
			ph.contact = strings.Replace(ph.contact, "x8kmhe6a", domain, 1)
			phones[domain], uris[domain] = ph, ph.at(w.a)
		}
		const plain = "sip:401@192.0.2.1:5060"
		for domain, ph := range phones {
			for _, method := range outOfDialog() {
				w.a.reaches(ph, method, uris[domain])
				w.a.reaches(ph, method, plain, "To: <sip:401@"+domain+">")
				w.a.reaches(ph, method, plain, "From: <sip:9@"+domain+">;tag=1")
				w.a.reaches(ph, method, "sip:401@"+domain) // P-16
			}
			w.a.reaches(ph, "INVITE", plain, "P-Asserted-Identity: <sip:9@"+domain+">")
		}
		for _, method := range outOfDialog() {
			w.a.refused(404, method, plain)
			w.a.refused(404, method, "sip:401@c.test")
		}
		if got, want := w.decided(route.Ambiguous), uint64(len(outOfDialog())); got != want {
			t.Errorf("%d are counted as ambiguous, want %d", got, want)
		}
		phones["a.test"].refresh(w.a, "Expires: 0")
		phones["d.test"].refresh(w.a, "Expires: 0")
		w.a.reaches(phones["b.test"], "INVITE", plain) // now it is the only one
	})
}

// TestForward_ToDiffers: after a call forward To names another host than the
// Request-URI; the call is delivered, and counted. P-59.
func TestForward_ToDiffers(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.public("401", "a.test")
		uri := ph.at(w.a)
		w.a.reaches(ph, "INVITE", "sip:401@a.test", "To: <sip:900@elsewhere.test>")
		w.a.reaches(ph, "INVITE", uri, "To: <sip:900@elsewhere.test>")
		if n := w.proxy.view().ToDiffers; n != 1 {
			t.Errorf("%d are counted", n)
		}
	})
}

// TestAbsentPhone: no phone, no 2xx, whatever is asked; and a phone that is
// there but silent is not spoken for. P-15.
func TestAbsentPhone(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.public("401", "a.test")
		uri := ph.at(w.a)
		for _, method := range outOfDialog() {
			w.a.refused(404, method, "sip:499@192.0.2.1:5060")
			w.a.refused(404, method, "sip:499@a.test")
		}
		ph.host.Down()
		for _, method := range []string{"OPTIONS", "NOTIFY", "MESSAGE"} {
			w.a.ask(method, uri)
		}
		w.silence() // no 408 to a non-INVITE
		text := w.a.ask("INVITE", uri)
		got := w.answer(w.a.Peer, 408)
		w.a.Send(w.at, w.another("ACK", text, "To: "+got.Get("To")))
	})
}

// TestAbsentPhone_Silent: as configured, an absent phone is not answered for.
func TestAbsentPhone_Silent(t *testing.T) {
	inWorld(t, "lookup: {missing: 480, missing_options: silent, ambiguous: 485}"+sharedPBX, func(w *world) {
		w.a.ask("OPTIONS", "sip:401@192.0.2.1:5060")
		w.a.ask("OPTIONS", "sip:401@192.0.2.1:5060;rid=x")
		w.silence()
		w.a.refused(480, "INVITE", "sip:401@192.0.2.1:5060")
		w.public("401", "a.test").at(w.a)
		w.public("401", "b.test").at(w.a)
		w.a.refused(485, "MESSAGE", "sip:401@192.0.2.1:5060")
		ph := w.public("402", "a.test") // refused, so held and then missing
		ph.ask(ph.registerText())
		m := w.a.Expect("REGISTER")
		w.a.ask("OPTIONS", uriOf(m.Get("Contact")))
		w.a.Reply(m, 403, "pbx")
		ph.Status(403)
	})
}
