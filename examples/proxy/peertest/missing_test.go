package peertest

import (
	"fmt"
	"testing"
)

// Nobody is there: the PBX is told so, by whatever it calls and asks, and never
// that all is well (P-15, P-81).
func TestMissingPhone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(settings{tenants: tenants(2)})
	stale := s.play(registers(), s.extension(1), s.board(1)) // of another tenant
	other := s.udp("phone of "+domain(1), s.phone(1))
	for _, uri := range []string{
		fmt.Sprintf("sip:401@%v", s.proxy()),
		fmt.Sprintf("sip:401@%v;rid=AAAAAAAAAAAAAAAAAAAA", s.proxy()),
		fmt.Sprintf("sip:401@%v", s.phone(0)),
		fmt.Sprintf("sip:401@%v", s.phone(1)),
		"sip:401@" + domain(0),
		"sip:401@" + domain(1), // P-13
		stale,
	} {
		b := s.board(0)
		b.dials = uri
		s.play(story{
			pbx.sends("INVITE").sdp(),
			proxy.answers(404),
			pbx.sends("ACK"),
			pbx.sends("OPTIONS"),
			proxy.answers(404),
			pbx.sends("NOTIFY").with("Event: check-sync").withoutDialog(),
			proxy.answers(404),
			pbx.sends("MESSAGE").withoutDialog(),
			proxy.answers(404),
		}, nil, b)
	}
	p.silent(other)
}

// What a PBX is told of a missing phone can be chosen for each set.
func TestMissingPhoneAsConfigured(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(settings{tenants: []tenant{{lines: []string{"lookup: {missing: 480, missing_options: silent}"}}}})
	b := s.board(0)
	b.dials = fmt.Sprintf("sip:401@%v", s.proxy())
	s.play(story{pbx.sends("INVITE"), proxy.answers(480), pbx.sends("ACK")}, nil, b)

	a := s.asterisk("pbx", s.pbx(0))
	a.dialog(b.dials, "sip:401@pbx").request("OPTIONS")
	a.dialog("sip:"+s.proxy().String(), "sip:pbx").request("OPTIONS")
	a.expect("200 OPTIONS") // of the one after it
	p.silent(a.peer)
}

// The PBX asks whether the proxy, its trunk, is alive (P-61).
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(settings{})
	b := s.board(0)
	b.dials = fmt.Sprintf("sip:%v", s.proxy())
	s.play(story{pbx.sends("OPTIONS"), proxy.answers(200)}, nil, b)
}

// A source that is no PBX rings no phone and gets no answer, whatever it calls
// and claims to be (P-13, P-14, P-48).
func TestStranger(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		policy string
		status int // of the answer
	}{
		{"dropped", "drop", 0},
		{"refused", "403", 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			p := s.start(settings{lines: []string{"security: {unknown_domain: " + tt.policy + "}"}})
			contact := s.play(registers(), s.extension(0), s.board(0))
			x, h, b := s.udp("stranger", s.stranger()), s.udp("phone", s.phone(0)), s.udp("PBX", s.pbx(0))
			asked := 0
			for _, uri := range []string{
				contact, // as if it had seen it
				fmt.Sprintf("sip:401@%v", s.proxy()),
				fmt.Sprintf("sip:401@%v", s.phone(0)),
				"sip:401@tenant-x.test",
			} {
				for _, method := range []string{"INVITE", "OPTIONS", "NOTIFY", "MESSAGE", "SUBSCRIBE"} {
					asked++
					d := x.dialog(uri, fmt.Sprintf("sip:999@%v", s.pbx(0).Addr()))
					d.routes = []string{fmt.Sprintf("<sip:%v;lr>", s.proxy())}
					d.request(method)
				}
			}
			if tt.status != 0 {
				for range asked {
					x.expect(fmt.Sprint(tt.status))
				}
			}
			p.silent(x, h, b)
		})
	}
}

// A request that pretends to be of a call is not forwarded, wherever its Route
// and its Request-URI lead (P-48).
func TestForgedDialog(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(settings{})
	s.play(registers(), s.extension(0), s.board(0))
	x, h, b := s.udp("stranger", s.stranger()), s.udp("phone", s.phone(0)), s.udp("PBX", s.pbx(0))
	own := fmt.Sprintf("<sip:%v;lr;d=AAAAAAAAAAAA>", s.proxy())
	for _, target := range []string{
		fmt.Sprintf("sip:401@%v", s.phone(0)),
		fmt.Sprintf("sip:401@%v;alias=AAAAAAAAAAAAAAAAAAAAAAAAAAAA", s.phone(0)),
		fmt.Sprintf("sip:999@%v", s.pbx(0)),
	} {
		for _, routes := range [][]string{nil, {own}, {own, fmt.Sprintf("<sip:%v;lr>", s.phone(0))}} {
			d := x.dialog(target, "sip:999@tenant-a.test")
			d.remote += ";tag=x"
			d.routes = routes
			for _, method := range []string{"BYE", "INFO", "NOTIFY"} {
				d.request(method)
				x.expect("481 " + method)
			}
			d.request("ACK")
		}
	}
	p.silent(x, h, b)
}
