package peertest

import (
	"fmt"
	"testing"
)

// rings is a story in which the PBX calls and the phone rings.
func rings() story {
	return story{
		pbx.sends("INVITE"),
		phone.answers(486),
		pbx.sends("ACK"),
	}
}

// rings checks that the phone can be called.
func (s *site) rings(e *end, b *end, contact string) {
	s.t.Helper()
	b.dials = contact
	s.play(rings(), e, b)
}

// gone checks that nobody is there any more.
func (s *site) gone(b *end, contact string) {
	s.t.Helper()
	b.dials = contact
	s.play(story{pbx.sends("INVITE"), proxy.answers(404), pbx.sends("ACK")}, nil, b)
}

// A phone that signs off is forgotten at once, in both ways that there are,
// though the answer of the PBX has no Contact (P-02, P-03).
func TestDeregister(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		fields []string
	}{
		{"expires", []string{"Expires: 0"}},
		{"star", []string{"Contact: *", "Expires: 0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			p := s.start(settings{tenants: tenants(2)})
			other := s.play(registers(), s.extension(1), s.board(1))
			contact := s.play(registers(), s.extension(0), s.board(0))
			s.rings(s.extension(0), s.board(0), contact)
			s.play(story{
				phone.sends("REGISTER").with(tt.fields...),
				pbx.answers(401),
				phone.sends("REGISTER").with(tt.fields...).authorized("secret"),
				pbx.answers(200),
			}, s.extension(0), s.board(0))
			p.wantBindings(1)
			s.gone(s.board(0), contact)
			s.rings(s.extension(1), s.board(1), other)
		})
	}
}

// Star is for all phones of the extension, and for no other.
func TestStarClearsTheExtension(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(settings{})
	for i := range 2 {
		s.play(registers(), s.odd(i, 0, "402"), s.board(0))
	}
	kept := s.play(registers(), s.extension(2).of(0), s.board(0))
	p.wantBindings(3)
	s.play(story{
		phone.sends("REGISTER").with("Contact: *", "Expires: 0"),
		pbx.answers(200),
	}, s.odd(1, 0, "402"), s.board(0))
	p.wantBindings(1)
	s.rings(s.extension(2).of(0), s.board(0), kept)
}

// of moves a phone to another tenant.
func (e *end) of(tenant int) *end { e.domain = domain(tenant); return e }

// What a PBX does not accept changes nothing: no phone appears by it, and none
// disappears (P-72).
func TestRefusedREGISTER(t *testing.T) {
	t.Parallel()
	for _, status := range []int{401, 403, 404, 480, 503, 603} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			p := s.start(settings{})
			refused := func(fields ...string) story {
				return story{phone.sends("REGISTER").with(fields...), pbx.answers(status)}
			}
			s.play(refused(), s.extension(0), s.board(0))
			p.wantBindings(0)
			contact := s.play(registers(), s.extension(0), s.board(0))
			s.play(refused(), s.extension(0), s.board(0))
			s.play(refused("Expires: 0"), s.extension(0), s.board(0))
			s.play(refused("Contact: *", "Expires: 0"), s.extension(0), s.board(0))
			p.wantBindings(1)
			s.rings(s.extension(0), s.board(0), contact)
		})
	}
}

// A phone with a wrong password is asked again and again, as an Asterisk does,
// and is never there. With the right one it is.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(settings{})
	a := s.asterisk("pbx-0", s.pbx(0)) // the name that stories know
	st := story{phone.sends("REGISTER"), pbx.answers(401)}
	for range 5 {
		st = append(st, phone.sends("REGISTER").authorized("guess"), pbx.answers(401))
	}
	e := s.extension(0)
	s.play(st, e, nil)
	p.wantBindings(0)
	a.mu.Lock()
	if a.refused != 5 {
		t.Errorf("the PBX has refused %d passwords, want 5", a.refused)
	}
	a.mu.Unlock()
	s.play(story{
		phone.sends("REGISTER"),
		pbx.answers(401),
		phone.sends("REGISTER").authorized("secret"),
		pbx.grants(3600),
	}, e, nil)
	p.wantBindings(1)
}

// The PBX says how long a phone is there, whatever the phone asked for (P-04).
func TestGrantedExpiry(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(settings{})
	e, b := s.extension(0), s.board(0)
	contact := s.play(story{
		phone.sends("REGISTER").with("Expires: 3600"),
		pbx.grants(1),
	}, e, b)
	eventually(t, "the binding expires", func() bool { return p.state().Bindings == 0 })
	s.gone(b, contact)
}

// A phone that registers again, from another NAT port, remains one phone: the
// PBX keeps one Contact, and calls reach the new port.
func TestNATRebinding(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(settings{})
	a := s.asterisk("pbx-0", s.pbx(0))
	e := s.extension(0)
	e.shown = private
	register := func() {
		s.play(story{
			phone.sends("REGISTER"),
			pbx.answers(401),
			phone.sends("REGISTER").authorized("secret"),
			pbx.grants(3600),
		}, e, nil)
	}
	register()
	before := a.contact("401")
	e.at = s.phone(1)
	register()
	if got := a.stored("401"); len(got) != 1 || got[0] != before {
		t.Errorf("the PBX has %q, want only %s", got, before)
	}
	p.wantBindings(1)
	old := s.udp("old port", s.phone(0))
	a.close()
	s.rings(e, s.board(0), before)
	p.silent(old)
}
