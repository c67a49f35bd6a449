package peertest

import (
	"fmt"
	"testing"
)

// preserve is the set that gets the phones' own Contacts, and calls them at the
// proxy's address as an Asterisk with rewrite_contact does.
var preserve = []string{"register: {contact: preserve}"}

// odd is a phone whose Contact has a user of its own making, and
// parameters that it wants to see again (P-49).
func (s *site) odd(i, tenant int, ext string) *end {
	e := &end{at: s.phone(i), user: ext, domain: domain(tenant), password: "secret"}
	e.contact = fmt.Sprintf("sip:402-0x55777cf2d400@%v;line=k2x;ob", s.phone(i))
	return e
}

// rewritten is what an Asterisk calls that puts the source of the REGISTER into
// the Contact.
func (s *site) rewritten(contact string) string {
	return fmt.Sprintf("sip:%s@%v", user(contact), s.proxy())
}

// The PBX gets the phone's own Contact, and rings the phone with what its
// configuration makes of that: the proxy's address (rewrite_contact), or the
// phone's by way of the proxy (outbound_proxy).
func TestPreservedContact(t *testing.T) {
	t.Parallel()
	for _, rewrite := range []bool{true, false} {
		t.Run(fmt.Sprintf("rewritten=%v", rewrite), func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.start(settings{tenants: []tenant{{lines: preserve}}})
			e, b := s.odd(0, 0, "402"), s.board(0)
			contact := s.play(registers(), e, b)
			if contact != e.contact {
				t.Errorf("the PBX got Contact %s, want %s", contact, e.contact)
			}
			b.dials = contact
			if rewrite {
				b.dials = s.rewritten(contact)
			}
			s.play(join(calls(pbx, phone), inDialog(pbx, phone), hangsUp(pbx, phone)), e, b)
			s.play(canceled(pbx, phone), e, b)
		})
	}
}

// Phones of different tenants may have the same user in their Contacts. Each
// PBX rings its own.
func TestSameContactUserInTwoTenants(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(settings{tenants: []tenant{{lines: preserve}, {lines: preserve}}})
	var contacts [2]string
	for i := range 2 {
		contacts[i] = s.play(registers(), s.odd(i, i, "402"), s.board(i))
	}
	p.wantBindings(2)
	for i := range 2 {
		other := s.udp("the other phone", s.phone(1-i))
		b := s.board(i)
		b.dials = s.rewritten(contacts[i])
		s.play(answered(), s.odd(i, i, "402"), b)
		other.wantNothing()
		other.close()
	}
}

// Two extensions of one tenant with the same user in their Contacts cannot be
// told apart by it: none rings, and the PBX is told so (P-12). By extension
// they can.
func TestSameContactUserInOneTenant(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(settings{tenants: []tenant{{lines: preserve}}})
	b := s.board(0)
	for i, ext := range []string{"402", "403"} {
		b.dials = s.rewritten(s.play(registers(), s.odd(i, 0, ext), s.board(0)))
	}
	p.wantBindings(2)
	second := s.udp("403", s.phone(1))

	b.dials = fmt.Sprintf("sip:402@%v", s.proxy())
	s.play(answered(), s.odd(0, 0, "402"), b)

	first := s.udp("402", s.phone(0))
	b.dials = s.rewritten("sip:402-0x55777cf2d400@x")
	s.play(story{pbx.sends("INVITE"), proxy.answers(404), pbx.sends("ACK")}, nil, b)
	if got := p.state().Decisions["ambiguous"]; got != 1 {
		t.Errorf("%d decisions were ambiguous, want 1", got)
	}
	p.silent(first, second)
}

// Two phones of one extension ring together, and the one that does not answer
// is told that the other did (P-60).
func TestTwoPhonesOfOneExtension(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(settings{tenants: []tenant{{lines: preserve}}})
	b := s.board(0)
	for i := range 2 {
		s.play(registers(), s.odd(i, 0, "402"), s.board(0))
	}
	loser := s.udp("loser", s.phone(1))
	b.dials = fmt.Sprintf("sip:402@%v", s.proxy())
	call := s.begin(join(calls(pbx, phone), hangsUp(phone, pbx)), s.odd(0, 0, "402"), b)
	invite := loser.expect("INVITE")
	loser.reply(invite, 100) // before any answer it could not be canceled
	cancel := loser.expect("CANCEL")
	if want := `SIP;cause=200;text="Call completed elsewhere"`; cancel.get("Reason") != want {
		t.Errorf("CANCEL has Reason %q, want %q", cancel.get("Reason"), want)
	}
	loser.reply(cancel, 200)
	loser.reply(invite, 487)
	loser.expect("ACK")
	call.wait()
}

// With the proxy's own Contacts, each of two phones of one extension that have
// the same user in their Contact is called by itself.
func TestOwnContactTellsPhonesApart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(settings{})
	var contacts [2]string
	for i := range 2 {
		contacts[i] = s.play(registers(), s.odd(i, 0, "402"), s.board(0))
	}
	if contacts[0] == contacts[1] {
		t.Fatalf("both phones are %s for the PBX", contacts[0])
	}
	for i := range 2 {
		other := s.udp("the other phone", s.phone(1-i))
		b := s.board(0)
		b.dials = contacts[i]
		s.play(answered(), s.odd(i, 0, "402"), b)
		other.wantNothing()
		other.close()
	}
}
