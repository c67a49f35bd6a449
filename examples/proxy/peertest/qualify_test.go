package peertest

import (
	"testing"
)

// An Asterisk sends its first OPTIONS to a phone often before its 200 to the
// REGISTER. It waits, reaches the phone, and has the phone's own answer (P-15).
func TestQualifyOvertakesRegistration(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		lines []string
		odd   bool
	}{
		{"own Contact", nil, false},
		{"phone's Contact, rewritten", preserve, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.start(settings{tenants: []tenant{{lines: tt.lines}}})
			e, b := s.extension(0), s.board(0)
			if tt.odd {
				e = s.odd(0, 0, "401")
				b.dials = s.rewritten(e.contact)
			}
			qualify := pbx.sends("OPTIONS")
			s.play(story{
				phone.sends("REGISTER"),
				pbx.answers(401),
				phone.sends("REGISTER").authorized("secret"),
				leaves(qualify),
				pbx.grants(60),
				arrives(qualify),
				phone.answers(200).to("OPTIONS").with("Allow: INVITE, ACK, BYE"),
			}, e, b)
		})
	}
}

// What waited for a registration that is then refused is answered that nobody
// is there.
func TestQualifyOvertakesRefusal(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(settings{})
	b := s.board(0)
	qualify := pbx.sends("OPTIONS")
	s.play(story{
		phone.sends("REGISTER"),
		leaves(qualify),
		pbx.answers(403).to("REGISTER"),
		proxy.answers(404).to("OPTIONS"),
	}, s.extension(0), b)
	p.wantBindings(0)
}

// A phone that does not answer is not answered for: Asterisk takes any answer
// for a sign of life (P-15). The PBX hears nothing at all.
func TestNobodyAnswersForADeadPhone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(settings{lines: []string{"timers: {t1: 10ms, t2: 20ms, branch: 100ms}"}})
	contact := s.play(registers(), s.extension(0), s.board(0))
	a, h := s.udp("pbx", s.pbx(0)), s.udp("phone", s.phone(0))
	a.dialog(contact, "sip:401@"+s.pbx(0).Addr().String()).request("OPTIONS")
	h.expect("OPTIONS")
	eventually(t, "the proxy gives up", func() bool {
		return p.state().Relay.Transactions.Clients == 0
	})
	p.silent(a)
}
