package peertest

import "testing"

// canceled is a call that its caller gives up while it rings. The 200 to the
// CANCEL is the proxy's, the 487 that of the phone (RFC 3261 section 16.10).
// What Asterisk says about the reason gets through (P-60).
func canceled(from, to actor) story {
	return story{
		from.sends("INVITE").sdp(),
		to.answers(180),
		from.sends("CANCEL").with(`Reason: SIP;cause=200;text="Call completed elsewhere"`),
		arrives(proxy.answers(200).to("CANCEL")),
		leaves(to.answers(200).to("CANCEL")),
		to.answers(487).to("INVITE"),
		from.sends("ACK"),
	}
}

// glare is a call that is answered at the moment when it is given up: the
// caller has a call then, and ends it (RFC 3261 section 9.1).
func glare(from, to actor) story {
	return join(story{
		from.sends("INVITE").sdp(),
		to.answers(180),
		from.sends("CANCEL"),
		arrives(proxy.answers(200).to("CANCEL")),
		leaves(to.answers(200).to("CANCEL")),
		to.answers(200).sdp().to("INVITE"),
		from.sends("ACK"),
	}, hangsUp(from, to))
}

func TestCancel(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		story story
	}{
		{"PBX gives up", canceled(pbx, phone)},
		{"phone gives up", canceled(phone, pbx)},
		{"PBX gives up, phone has answered", glare(pbx, phone)},
		{"phone gives up, PBX has answered", glare(phone, pbx)},
		{"PBX gives up twice", join(canceled(pbx, phone), story{
			pbx.sends("INVITE").sdp(),
			phone.answers(180),
			pbx.sends("CANCEL"),
			arrives(proxy.answers(200).to("CANCEL")),
			leaves(phone.answers(200).to("CANCEL")),
			phone.answers(487).to("INVITE"),
			pbx.sends("ACK"),
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.start(settings{})
			s.play(join(registers(), tt.story), s.caller(0), s.board(0))
		})
	}
}
