package main

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
)

// offerOf is the SDP of who believes to be at addr.
func offerOf(addr fmt.Stringer, extra ...string) string {
	lines := append([]string{
		"v=0", "o=- 1 1 IN IP4 " + addr.String(), "s=-", "c=IN IP4 " + addr.String(), "t=0 0",
		"m=audio 4000 RTP/AVP 0", "a=rtcp:4001 IN IP4 " + addr.String(),
	}, extra...)
	return strings.Join(lines, "\r\n") + "\r\n"
}

// withBody gives a message a body.
func withBody(text, body string) string {
	return siptestx.Edit(text, "Content-Type: application/sdp", "\n"+body)
}

// replyBody answers m with a body.
func (s *side) replyBody(m siptestx.Message, status int, body string) {
	s.w.Helper()
	s.peer.Send(s.to, withBody(m.Reply(status, "callee", "Contact: <"+s.contact+">"), body))
}

// wantBody checks the body of m and its length.
func (w *world) wantBody(m siptestx.Message, want string) {
	w.Helper()
	if m.Body() != want || m.Get("Content-Length") != strconv.Itoa(len(want)) {
		w.Errorf("%s has the body\n%s\nwith Content-Length %s, want\n%s", m.Start(), m.Body(), m.Get("Content-Length"), want)
	}
}

// TestMedia_OfferAndAnswer: with a policy, the addresses of a phone's media are
// repaired alike in offers and answers, in every message that can have them, and
// nothing of a PBX's. Without one no byte of a body changes (P-19, P-26, P-74).
func TestMedia_OfferAndAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		policy   string
		repaired bool
	}{"off": {"off", false}, "auto": {"auto", true}, "force": {"force", true}} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, "nat: {sdp: "+tt.policy+"}"+threeTenants, func(w *world) {
				ph := w.behind(simnet.PortRestricted, "401", "a.test")
				uri := ph.at(w.a)
				outside := w.bound("401", "a.test")[0].Flow.Remote.Addr()
				mine := offerOf(lan)
				seen := mine
				if tt.repaired {
					seen = strings.ReplaceAll(mine, "c=IN IP4 "+lan.String(), "c=IN IP4 "+outside.String())
					seen = strings.ReplaceAll(seen, "a=rtcp:4001 IN IP4 "+lan.String(), "a=rtcp:4001 IN IP4 "+outside.String())
				}
				theirs := offerOf(w.a.Addr.Addr())
				caller, callee := w.a.side(), ph.side()

				// A call in: the offer of the PBX, two answers of the phone.
				w.a.Send(w.at, withBody(w.a.request("INVITE", uri), theirs))
				m := ph.Expect("INVITE")
				w.wantBody(m, theirs)
				callee.replyBody(m, 183, mine)
				w.wantBody(w.answer(w.a.Peer, 183), seen)
				callee.replyBody(m, 200, mine)
				got := w.answer(w.a.Peer, 200)
				w.wantBody(got, seen)
				caller.learn(got, got.Get("From"), got.Get("To"))
				callee.learn(m, got.Get("To"), got.Get("From"))
				caller.callID, callee.callID = m.Get("Call-ID"), m.Get("Call-ID")
				fmt.Sscan(got.Get("CSeq"), &caller.seq)
				caller.ack(callee)

				// In the dialog, whichever method the offer comes in.
				for _, method := range []string{"INVITE", "UPDATE", "PRACK"} {
					ph.Send(ph.to, withBody(callee.text(method), mine))
					m := w.a.Expect(method)
					w.wantBody(m, seen)
					caller.replyBody(m, 200, theirs)
					w.wantBody(w.answer(ph.Peer, 200), theirs)
					if method == "INVITE" {
						callee.ack(caller)
					}
				}
				// An INVITE without an offer: that is in the 200, the answer in the ACK.
				w.a.Send(w.at, caller.text("INVITE"))
				m = ph.Expect("INVITE")
				callee.replyBody(m, 200, mine)
				w.wantBody(w.answer(w.a.Peer, 200), seen)
				w.a.Send(w.at, withBody(caller.text("ACK"), theirs))
				w.wantBody(ph.Expect("ACK"), theirs)
				ph.Send(ph.to, callee.text("INVITE"))
				m = w.a.Expect("INVITE")
				caller.replyBody(m, 200, theirs)
				w.wantBody(w.answer(ph.Peer, 200), theirs)
				ph.Send(ph.to, withBody(callee.text("ACK"), mine))
				w.wantBody(w.a.Expect("ACK"), seen)
				ph.Send(ph.to, withBody(siptestx.Edit(callee.text("ACK"), "Route:"), mine)) // P-24
				w.wantBody(w.a.Expect("ACK"), seen)

				// A call out.
				w.wantBody(ph.offer(w.a, mine), seen)
				w.wantBody(ph.offer(w.a, offerOf(lan, "a=ice-ufrag:x")), offerOf(lan, "a=ice-ufrag:x"))
			})
		})
	}
}

// offer has the phone call with an offer, and returns how that arrives at p,
// which is busy.
func (ph *phone) offer(p *pbx, body string) siptestx.Message {
	ph.w.Helper()
	text := ph.call("INVITE", "sip:402@"+ph.domain)
	ph.Send(ph.to, withBody(text, body))
	m := p.Expect("INVITE")
	p.Reply(m, 486, "pbx")
	got := ph.w.answer(ph.Peer, 486)
	p.Expect("ACK")
	ph.Send(ph.to, ph.w.another("ACK", text, "To: "+got.Get("To")))
	return m
}

// TestMedia_BySet: each set has a policy of its own.
func TestMedia_BySet(t *testing.T) {
	inWorld(t, `
nat: {sdp: auto}
tenants:
  - {setid: 10, domains: [a.test], destinations: [{uri: "sip:10.0.1.10:5060"}], nat: {sdp: off}}
  - {setid: 20, domains: [b.test], destinations: [{uri: "sip:10.0.1.20:5060"}]}
`, func(w *world) {
		for p, repaired := range map[*pbx]bool{w.a: false, w.b: true} {
			ph := w.behind(simnet.PortRestricted, "401", p.domain)
			ph.register(p)
			if got := ph.offer(p, offerOf(lan)).Body() != offerOf(lan); got != repaired {
				t.Errorf("%s: repaired %v, want %v", p.domain, got, repaired)
			}
		}
	})
}
