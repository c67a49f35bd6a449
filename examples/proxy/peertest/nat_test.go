package peertest

import (
	"strings"
	"testing"
)

// private is the address that phones behind NAT have and believe in.
const private = "192.168.1.10:5060"

// Answers reach a phone behind NAT that does not ask for that, and all requests
// of a call do, in both directions (P-08, P-18, P-24).
func TestPhoneBehindNAT(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		story story
	}{
		{"called", join(calls(pbx, phone), inDialog(pbx, phone), inDialog(phone, pbx), hangsUp(pbx, phone))},
		{"calls", join(calls(phone, pbx), inDialog(pbx, phone), inDialog(phone, pbx), hangsUp(pbx, phone))},
		{"called, 100rel", join(reliable(pbx, phone), hangsUp(pbx, phone))},
		{"calls with a password", join(challenged(401), inDialog(pbx, phone), hangsUp(pbx, phone))},
		{"called, given up", canceled(pbx, phone)},
		{"called, ACK without Route", join(story{
			pbx.sends("INVITE").sdp(),
			phone.answers(200).sdp(),
			pbx.sends("ACK").withoutRoute(),
		}, hangsUp(pbx, phone))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.start(settings{})
			e := s.caller(0)
			e.shown = private
			s.play(join(registers(), tt.story), e, s.board(0))
		})
	}
}

// A call outlives the proxy: killed and started again in the middle of a call,
// it knows nothing any more, and yet what follows in the call reaches a phone
// behind NAT as well as the PBX. The messages themselves tell.
func TestCallOutlivesTheProxy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(settings{})
	e := s.extension(0)
	e.shown = private
	contact := s.play(registers(), e, s.board(0))
	a, h := s.asterisk("pbx", s.pbx(0)), s.udp("phone", s.phone(0))

	atPBX := a.dial(contact)
	invite := h.expect("INVITE")
	atPhone := h.accept(invite, "sip:401@"+private)
	atPBX.expect("200 INVITE")
	atPBX.ack()
	h.expect("ACK")

	p.crash()
	p.run()
	p.wantBindings(0)

	for _, method := range []string{"INFO", "UPDATE", "INVITE"} {
		atPBX.request(method)
		m := h.expect(method)
		if got := m.uri(); got != "sip:401@"+private {
			t.Errorf("%s is for %s, want what the phone calls itself", method, got)
		}
		h.reply(m, 200, "Contact: <sip:401@"+private+">")
		atPBX.expect("200 " + method)
	}
	atPBX.ack()
	h.expect("ACK")
	for _, method := range []string{"INFO", "MESSAGE", "REFER"} {
		atPhone.request(method, "Contact: <sip:401@"+private+">")
		a.reply(a.expect(method), 202)
		atPhone.expect("202 " + method)
	}
	atPBX.request("BYE")
	h.reply(h.expect("BYE"), 200)
	atPBX.expect("200 BYE")
}

// A call follows the phone: behind a NAT that has given it another port, or over
// another connection, it is there again when it has registered, to both sides (P-18,
// P-51). The PBX asks first, with what it has from before.
func TestCallFollowsThePhone(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"UDP", "TCP", "TLS", "WSS"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			ca := s.authority()
			p := s.start(s.onStreams(ca, t.TempDir()))
			appear := func(name string, i int) *peer {
				var h *peer
				switch network {
				case "UDP":
					h = s.udp(name, s.phone(i))
				case "TCP":
					h = s.tcp(name, s.phone(i))
				default:
					h = s.connect(network, name, s.phone(i), ca)
				}
				h.shown = "sip:401@" + private + ";transport=" + strings.ToLower(network)
				h.register("401", domain(0), "secret")
				return h
			}
			a, h := s.asterisk("PBX", s.pbx(0)), appear("phone", 0)
			atPBX, atPhone := a.takes(a.contact("401"), h)
			if network != "UDP" {
				h.close()
			}
			atPhone.p = appear("phone elsewhere", 1)
			converse(atPBX, atPhone)
			p.silent(h)
		})
	}
}
