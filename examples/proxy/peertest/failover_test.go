package peertest

import (
	"fmt"
	"net/netip"
	"testing"
)

// pair is a tenant with two PBXes, of which the first is preferred.
func (s *site) pair(lines ...string) settings {
	return settings{
		tenants: []tenant{{pbxes: []string{
			fmt.Sprintf("{uri: \"sip:%v\", priority: 1}", s.pbx(0)),
			fmt.Sprintf("{uri: \"sip:%v\"}", s.pbx(1)),
		}}},
		lines: append(lines, "dispatcher: {probe: never, algorithm: priority}"),
	}
}

// impatient gives up soon what does not answer.
const impatient = "timers: {branch: 2s}"

// A PBX that is gone is replaced by the other one of its set, for REGISTER and
// for calls, and the phone notices nothing but the time (P-34).
func TestDeadPBXIsReplaced(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		dead func(s *site) // what there is in place of the first PBX
	}{
		{"nobody listens", func(*site) {}},
		{"nothing is answered", func(s *site) { s.udp("black hole", s.pbx(0)) }},
		{"503 is answered", func(s *site) { s.answers(s.pbx(0), 503) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			p := s.start(s.pair(impatient))
			tt.dead(s)
			s.play(join(story{
				phone.sends("REGISTER"),
				pbx.grants(60),
			}, calls(phone, pbx), hangsUp(pbx, phone)), s.caller(0), s.nameless(1))
			p.wantBindings(1)
			if got := p.state().Relay.Failovers; got == 0 {
				t.Error("the first PBX was not tried")
			}
		})
	}
}

// answers returns a peer that answers all requests with a status.
func (s *site) answers(at netip.AddrPort, status int) *peer {
	s.t.Helper()
	p := s.udp(fmt.Sprint("always ", status), at)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.auto = func(m *message) bool {
		if m.method() != "ACK" {
			p.reply(m, status)
		}
		return true
	}
	return p
}

// An answer that is about the callee is the answer: the other PBX is not asked
// (P-27), and what it says reaches the phone as it is (P-75).
func TestRefusalIsNoFailure(t *testing.T) {
	t.Parallel()
	for _, status := range []int{401, 404, 480, 486, 603} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			p := s.start(s.pair())
			second := s.udp("second PBX", s.pbx(1))
			s.play(join(registers(), refusedWith(phone, pbx, status)), s.caller(0), s.board(0))
			p.silent(second)
		})
	}
	t.Run("REGISTER 403", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		p := s.start(s.pair())
		second := s.udp("second PBX", s.pbx(1))
		s.play(story{phone.sends("REGISTER"), pbx.answers(403)}, s.caller(0), s.board(0))
		p.wantBindings(0)
		p.silent(second)
	})
}

// When no PBX is left, the phone learns that, too.
func TestAllPBXesFail(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(s.pair(impatient))
	s.answers(s.pbx(1), 503)
	s.play(story{
		phone.sends("INVITE").sdp(),
		proxy.answers(503),
		phone.sends("ACK"),
	}, s.caller(0), nil)
}

// All requests of an extension come to the same PBX of its set: the answer to
// a challenge to the one that asked, and calls to the one that knows the phone
// (P-36). Over many extensions both get their share.
func TestAffinity(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(settings{tenants: []tenant{{pbxes: []string{
		fmt.Sprintf("{uri: \"sip:%v\"}", s.pbx(0)), fmt.Sprintf("{uri: \"sip:%v\"}", s.pbx(1)),
	}}}})
	boards := [2]*asterisk{s.asterisk("first", s.pbx(0)), s.asterisk("second", s.pbx(1))}
	h := s.udp("phone", s.phone(0))
	var share [2]int
	for i := range 20 {
		ext := fmt.Sprint(400 + i)
		h.register(ext, domain(0), "secret")
		home := 0
		if len(boards[0].stored(ext)) == 0 {
			home = 1
		}
		share[home]++
		d := h.call("sip:9@"+domain(0), "sip:"+ext+"@"+domain(0))
		boards[home].reply(boards[home].expect("INVITE"), 486)
		d.refused(d.expect("486 INVITE"))
		boards[home].expect("ACK")
	}
	if share[0] == 0 || share[1] == 0 {
		t.Errorf("the PBXes have %d and %d extensions, want some for both", share[0], share[1])
	}
}
