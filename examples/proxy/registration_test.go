package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/registrar"
)

// TestRegister registers extension 401 of three tenants, phones that all have
// the same Contact behind different NATs. P-03 P-08 P-21 P-23.
func TestRegister(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		seen := map[string]bool{}
		for _, p := range []*pbx{w.a, w.b, w.c} {
			ph := w.behind(simnet.PortRestricted, "401", p.domain)
			sent, got := ph.register(p)
			uri := uriOf(sent.Get("Contact"))
			if want := "sip:401@192.0.2.1:5060;rid=" + tokenOf(uri); uri != want || len(tokenOf(uri)) != 20 {
				t.Errorf("the PBX gets the Contact %q", uri)
			}
			if seen[tokenOf(uri)] {
				t.Error("two phones have the same token")
			}
			seen[tokenOf(uri)] = true
			if got, want := got.Get("Contact"), ph.contact+";expires=3599"; got != want {
				t.Errorf("the phone gets the Contact\n%s want\n%s", got, want)
			}
			if via := got.Get("Via"); !strings.Contains(via, ";received=203.0.113.") || !strings.Contains(via, ";rport=4") {
				t.Errorf("the phone gets the Via %q", via)
			}
			if len(sent.All("Record-Route"))+len(got.All("Record-Route")) > 0 {
				t.Error("there is a Record-Route")
			}
			bs := w.bound("401", p.domain)
			if len(bs) != 1 || bs[0].Contact != ph.uri() || bs[0].Registrar != "sip:"+p.Addr.String() {
				t.Errorf("stored: %+v", bs)
			}
		}
	})
}

// TestRegister_TokenIsStable: a phone stays the same to its PBX when it
// refreshes, comes from a new NAT port and starts anew. P-03.
func TestRegister_TokenIsStable(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph, other := w.behind(simnet.Symmetric, "401", "a.test"), w.public("401", "a.test")
		uri := ph.at(w.a)
		if other.at(w.a) == uri {
			t.Error("two phones of one AOR have the same token")
		}
		flow := func() string {
			for _, b := range w.bound("401", "a.test") {
				if b.Contact == ph.uri() {
					return b.Flow.Remote.String()
				}
			}
			return ""
		}
		before := flow()
		for _, change := range []func(){func() {}, func() { ph.nat.Rebind() }, func() { ph.callID, ph.cseq = "anew", 1 }, w.restart} {
			change()
			m, _ := ph.refresh(w.a)
			if got := uriOf(m.Get("Contact")); got != uri {
				t.Errorf("the PBX gets %q, before %q", got, uri)
			}
		}
		if after := flow(); after == before || after == "" {
			t.Errorf("the flow was %s and is %s", before, after)
		}
	})
}

// TestRegister_ParametersStay: what the phone says of its Contact gets to the
// PBX, and what the PBX says of it to the phone: instance and reg-id (RFC 5626), GRUUs
// (RFC 5627) and a Service-Route (RFC 3608). P-21.
func TestRegister_ParametersStay(t *testing.T) {
	const params = `;q=0.5;+sip.instance="<urn:uuid:20a220ed-91cb-e3a8-aa10-e850c3079534>";reg-id=1;expires=60`
	inWorld(t, threeTenants, func(w *world) {
		ph := w.public("401", "a.test")
		bare := ph.contact
		ph.contact = `"Desk, \"1\"" ` + bare + params
		ph.ask(ph.registerText("Expires:", "Supported: path, outbound, gruu"))
		m := w.a.Expect("REGISTER")
		uri := uriOf(m.Get("Contact"))
		if got, want := m.Get("Contact"), "<"+uri+">"+params; got != want {
			t.Errorf("the PBX gets\n%s want\n%s", got, want)
		}
		if got := m.Get("Supported"); got != "path, outbound, gruu" {
			t.Errorf("the PBX gets Supported: %s", got)
		}
		const granted = `;expires=59;q=0.5;pub-gruu="sip:401@a.test;gr=urn:uuid:20a2";temp-gruu="sip:tgruu.7hs==@a.test;gr", <sip:elsewhere@10.9.9.9>;expires=7`
		others := []string{"Date: Sun, 22 Nov 2026 05:24:43 GMT", "Require: outbound", "Flow-Timer: 120",
			"Service-Route: <sip:p2.a.test;lr>, <sip:s1.a.test;lr>", "P-Associated-URI: <sip:+15551234@a.test>"}
		w.a.Reply(m, 200, "pbx", append(others, `Contact: "x" <`+uri+`>`+granted)...)
		got := ph.Status(200)
		if got, want := got.Get("Contact"), `"x" `+bare+granted; got != want {
			t.Errorf("the phone gets\n%s want\n%s", got, want)
		}
		for _, line := range others {
			if !strings.Contains(got.Text, "\r\n"+line+"\r\n") {
				t.Errorf("%s is lost", line)
			}
		}
	})
}

// TestRegister_OthersAreRestored: a PBX lists all phones of the AOR, and each
// is told under its own Contact, also to one that only asks. P-21.
func TestRegister_OthersAreRestored(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		one, two := w.public("401", "a.test"), w.behind(simnet.FullCone, "401", "a.test")
		one.at(w.a)
		_, got := two.register(w.a)
		want := []string{one.contact + ";expires=3599", two.contact + ";expires=3599"}
		if diff := cmp.Diff(got.All("Contact"), want); diff != "" {
			t.Errorf("-got +want:\n%s", diff)
		}
		_, got = one.refresh(w.a, "Contact:")
		if diff := cmp.Diff(got.All("Contact"), want); diff != "" {
			t.Errorf("query: -got +want:\n%s", diff)
		}
	})
}

// TestRegister_SeveralContacts: one REGISTER binds two and removes one, from
// one socket, and no two of them are ever confused.
func TestRegister_SeveralContacts(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.public("401", "a.test")
		const first, second, third = "<sip:1@203.0.113.1:5060>", "<sip:2@203.0.113.1:5060>", "<sip:3@203.0.113.1:5060>"
		at := func(contacts ...string) []string {
			ph.contact, ph.fields = contacts[0], []string{"User-Agent: Snom"}
			for _, c := range contacts[1:] {
				ph.fields = append(ph.fields, "Contact: "+c)
			}
			m, _ := ph.refresh(w.a)
			var uris []string
			for _, c := range m.All("Contact") {
				uris = append(uris, uriOf(c))
			}
			return uris
		}
		before := at(first, second)
		if before[0] == before[1] {
			t.Fatal("one token for both")
		}
		for range 3 {
			if diff := cmp.Diff(at(second, first), []string{before[1], before[0]}); diff != "" {
				t.Errorf("refresh: -got +want:\n%s", diff)
			}
		}
		after := at(first+";expires=0", third, second)
		if after[0] != before[0] || after[2] != before[1] || after[1] == before[0] || after[1] == before[1] {
			t.Errorf("%q after %q", after, before)
		}
		var stored []string
		for _, b := range w.bound("401", "a.test") {
			stored = append(stored, b.Contact)
		}
		if len(stored) != 2 || strings.Contains(strings.Join(stored, " "), "sip:1@") {
			t.Errorf("stored: %q", stored)
		}
	})
}

// TestRegister_Remove: by expires=0, and all of them by "*".
func TestRegister_Remove(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		one, two := w.public("401", "a.test"), w.public("401", "a.test")
		uri := one.at(w.a)
		two.at(w.a)
		m, got := one.refresh(w.a, "Expires: 0")
		if got := uriOf(m.Get("Contact")); got != uri {
			t.Errorf("removed %q, was %q", got, uri)
		}
		if diff := cmp.Diff(got.All("Contact"), []string{two.contact + ";expires=3599"}); diff != "" {
			t.Errorf("-got +want:\n%s", diff)
		}
		if bs := w.bound("401", "a.test"); len(bs) != 1 {
			t.Errorf("stored: %+v", bs)
		}
		m, got = two.refresh(w.a, "Contact: *", "Expires: 0")
		if m.Get("Contact") != "*" || len(got.All("Contact")) > 0 || len(w.bound("401", "a.test")) > 0 {
			t.Errorf("after *: %q %q %+v", m.Get("Contact"), got.All("Contact"), w.bound("401", "a.test"))
		}
	})
}

// TestRegister_Preserve: the PBX and the phone get each other's Contacts as
// they are. P-21.
func TestRegister_Preserve(t *testing.T) {
	inWorld(t, preserving, func(w *world) {
		ph := w.behind(simnet.PortRestricted, "401", "a.test")
		ph.contact = `"Desk" ` + ph.contact + `;q=0.5;expires=60`
		sent, _ := ph.register(w.a)
		if sent.Get("Contact") != ph.contact {
			t.Errorf("the PBX gets %q", sent.Get("Contact"))
		}
		ph.ask(ph.registerText())
		const list = `<sip:401@192.0.2.1:5060;rid=of-somebody-else>;expires=59,"x"<sip:401@10.0.0.1>`
		w.a.Reply(w.a.Expect("REGISTER"), 200, "pbx", "Contact: "+list)
		if got := ph.Status(200).Get("Contact"); got != list {
			t.Errorf("the phone gets %q", got)
		}
	})
}

// TestRegister_RefusedStoresNothing: neither a binding nor its prolongation,
// and every refusal reaches the phone with what it has to say. P-72 P-75.
func TestRegister_RefusedStoresNothing(t *testing.T) {
	for _, registered := range []bool{false, true} {
		inWorld(t, threeTenants, func(w *world) {
			ph := w.public("401", "a.test")
			if registered {
				ph.register(w.a)
			}
			before := w.bound("401", "a.test")
			for _, status := range []int{401, 403, 404, 407, 408, 423, 480, 494, 500, 603} {
				ph.ask(ph.registerText())
				w.a.Reply(w.a.Expect("REGISTER"), status, "pbx", challenge, "Min-Expires: 60", "Contact: "+ph.contact)
				if m := ph.Status(status); "WWW-Authenticate: "+m.Get("WWW-Authenticate") != challenge || m.Get("Min-Expires") != "60" {
					t.Errorf("%d lost something:\n%s", status, m.Text)
				}
			}
			ph.ask(ph.registerText()) // without an answer
			w.a.Expect("REGISTER")
			ph.Status(503)
			w.a.Collect(time.Minute) // the retransmissions
			if diff := cmp.Diff(w.bound("401", "a.test"), before, cmp.Comparer(sameBinding)); diff != "" {
				t.Errorf("-got +want:\n%s", diff)
			}
		})
	}
}

// failing is a store that cannot be written to.
type failing struct{ location.Store }

func (failing) Apply(context.Context, location.AOR, location.Change) error { return errStore }

var errStore = errors.New("disk full")

// TestRegister_StoreFails: the phone does not see a 2xx of what is not stored.
func TestRegister_StoreFails(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		var err error
		if w.proxy.registrar, err = registrar.New(registrar.Config{Store: failing{w.proxy.store}}); err != nil {
			t.Fatal(err)
		}
		ph := w.public("401", "a.test")
		ph.ask(ph.registerText())
		w.a.grant()
		ph.Status(500)
		if bs := w.bound("401", "a.test"); len(bs) > 0 {
			t.Errorf("stored: %+v", bs)
		}
	})
}

// TestRegister_Malformed: what no registrar could accept gets to none.
func TestRegister_Malformed(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.public("401", "a.test")
		for _, fields := range [][]string{
			{"Contact: *"},
			{"Contact: *", "Expires: 60"},
			{"Contact: *", "Contact: <sip:401@192.168.1.10>", "Expires: 0"},
			{"Contact: <sip:401@192.168.1.10"},
			{"Contact: <>"},
		} {
			w.rejected(ph.Peer, ph.registerText(fields...), 400)
		}
		w.rejected(ph.Peer, ph.registerText("To: <sip:a.test>"), 404)
		ph.ask(ph.registerText("To: <sip:401@elsewhere.test>"))
		ph.ask(ph.call("REGISTER", "sip:b.test", "To: <sip:401@a.test>"))
		w.silence()
	})
}

// TestRegister_Limits: as configured, old phones give way to new ones, and no
// binding outlives what the PBX grants. P-02.
func TestRegister_Limits(t *testing.T) {
	inWorld(t, "register: {max_contacts: 2, default_expires: 5m, max_expires: 10m}"+threeTenants, func(w *world) {
		var phones []*phone
		for range 3 {
			ph := w.public("401", "a.test")
			ph.at(w.a)
			phones = append(phones, ph)
			time.Sleep(time.Second)
		}
		bs := w.bound("401", "a.test")
		if len(bs) != 2 || bs[0].Contact != phones[2].uri() || bs[1].Contact != phones[1].uri() {
			t.Errorf("stored: %+v", bs)
		}
		for _, b := range bs {
			if life := b.Expires.Sub(b.Updated); life != 10*time.Minute {
				t.Errorf("it lives %v", life)
			}
		}
		phones[0].ask(phones[0].registerText())
		m := w.a.Expect("REGISTER")
		w.a.Reply(m, 200, "pbx", m.Head()[strings.Index(m.Head(), "Contact:"):strings.Index(m.Head(), "\r\nExpires")]+";expires=60")
		phones[0].Status(200)
		time.Sleep(time.Minute)
		w.a.refused(404, "MESSAGE", uriOf(m.Get("Contact")))
	})
}

// TestRegister_Crowd: phones on connections of their own, so in goroutines of
// their own, register and are called all at once.
func TestRegister_Crowd(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		var phones []*phone
		for i := range 30 {
			phones = append(phones, w.overTCP(fmt.Sprint(400+i%10), "a.test"))
		}
		for range 5 {
			for i, ph := range phones {
				ph.contact = fmt.Sprintf("<sip:%s@%s:5060;transport=tcp;n=%d>", ph.user, lan, i)
				ph.ask(ph.registerText())
			}
			for range phones {
				m := w.a.grant()
				w.a.ask("MESSAGE", uriOf(m.Get("Contact")))
			}
			for _, ph := range phones {
				ph.Status(200)
				m := ph.Expect("MESSAGE")
				if m.URI() != ph.uri() {
					t.Errorf("%s got what is for %s", ph.uri(), m.URI())
				}
				ph.Reply(m, 200, "phone")
			}
			for range phones {
				w.a.Status(200)
			}
		}
	})
}
