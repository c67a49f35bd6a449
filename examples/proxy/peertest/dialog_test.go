package peertest

import (
	"fmt"
	"testing"
)

// caller is the phone of a tenant that calls extension 9.
func (s *site) caller(i int) *end {
	e := s.extension(i)
	e.dials = "sip:9@" + domain(i)
	return e
}

// nameless is the PBX of a tenant as it is in calls of phones: Asterisk's
// Contact has no user then.
func (s *site) nameless(i int) *end {
	e := s.board(i)
	e.contact = "sip:" + e.at.String()
	return e
}

// join makes one story of several.
func join(parts ...story) story {
	var all story
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// calls is a call that is up.
func calls(from, to actor) story {
	return story{
		from.sends("INVITE").sdp(),
		to.answers(180),
		to.answers(200).sdp(),
		from.sends("ACK"),
	}
}

// hangsUp ends it.
func hangsUp(from, to actor) story {
	return story{from.sends("BYE").with("Reason: Q.850;cause=16"), to.answers(200)}
}

// inDialog is each request that there is inside a call, in one direction. What
// a proxy must not touch is in it.
func inDialog(from, to actor) story {
	return story{
		from.sends("INVITE").sdp(), // hold, session refresh, direct media
		to.answers(200).sdp(),
		from.sends("ACK"),
		from.sends("UPDATE").with("Session-Expires: 1800;refresher=uac"),
		to.answers(200).with("Session-Expires: 1800;refresher=uac"),
		from.sends("INFO").with("Info-Package: dtmf-relay"),
		to.answers(200),
		from.sends("MESSAGE").sdp(),
		to.answers(200),
		from.sends("OPTIONS").within(),
		to.answers(200),
		from.sends("REFER").with("Refer-To: <sip:402@tenant-a.test?Replaces=1%3Bto-tag%3Dx>", "Referred-By: <sip:401@tenant-a.test>"),
		to.answers(202),
		to.sends("NOTIFY").with("Event: refer", "Subscription-State: active;expires=599"),
		from.answers(200),
		to.sends("NOTIFY").with("Event: refer", "Subscription-State: terminated;reason=noresource"),
		from.answers(481), // as baresip does
	}
}

// reliable is a call with reliable provisional answers, and an offer in PRACK
// (RFC 3262).
func reliable(from, to actor) story {
	return story{
		from.sends("INVITE").sdp().with("Supported: 100rel, timer, replaces"),
		to.answers(183).sdp().with("Require: 100rel", "RSeq: 4711"),
		from.sends("PRACK").sdp().with("RAck: 4711 1 INVITE"),
		to.answers(200).sdp(),
		from.sends("UPDATE").sdp(), // in the early dialog
		to.answers(200).sdp(),
		to.answers(200).to("INVITE"),
		from.sends("ACK"),
	}
}

// challenged is a call that the other side wants a password for.
func challenged(status int) story {
	return story{
		phone.sends("INVITE").sdp(),
		pbx.answers(status),
		phone.sends("ACK"),
		phone.sends("INVITE").authorized("secret").sdp(),
		pbx.answers(180),
		pbx.answers(200).sdp(),
		phone.sends("ACK"),
	}
}

// refusedWith is a call that is not taken: each answer is the callee's own,
// with its own tag (P-27, P-75).
func refusedWith(from, to actor, status int) story {
	return story{
		from.sends("INVITE").sdp(),
		to.answers(180),
		to.answers(status).with("Retry-After: 17"),
		from.sends("ACK"),
	}
}

// Calls in both directions, each request in them in both directions, ended by
// both sides. The phone registers first, and the PBX calls what it got.
func TestCalls(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		story story
	}{
		{"PBX calls, phone hangs up", join(calls(pbx, phone), hangsUp(phone, pbx))},
		{"PBX calls, PBX hangs up", join(calls(pbx, phone), hangsUp(pbx, phone))},
		{"phone calls, phone hangs up", join(calls(phone, pbx), hangsUp(phone, pbx))},
		{"phone calls, PBX hangs up", join(calls(phone, pbx), hangsUp(pbx, phone))},
		{"phone calls, 401, PBX hangs up (P-22, P-75)", join(challenged(401), hangsUp(pbx, phone))},
		{"phone calls, 407, phone hangs up (P-22, P-75)", join(challenged(407), hangsUp(phone, pbx))},
		{"PBX calls, PBX requests (P-18)", join(calls(pbx, phone), inDialog(pbx, phone), hangsUp(pbx, phone))},
		{"PBX calls, phone requests (P-18)", join(calls(pbx, phone), inDialog(phone, pbx), hangsUp(phone, pbx))},
		{"phone calls, PBX requests (P-18)", join(calls(phone, pbx), inDialog(pbx, phone), hangsUp(pbx, phone))},
		{"phone calls, phone requests (P-18)", join(calls(phone, pbx), inDialog(phone, pbx), hangsUp(phone, pbx))},
		{"PBX calls, 100rel (P-74)", join(reliable(pbx, phone), hangsUp(pbx, phone))},
		{"phone calls, 100rel (P-74)", join(reliable(phone, pbx), hangsUp(phone, pbx))},
		{"PBX calls, phone is busy (P-27)", refusedWith(pbx, phone, 486)},
		{"PBX calls, phone declines (P-27)", refusedWith(pbx, phone, 603)},
		{"phone calls, nobody is there (P-27)", refusedWith(phone, pbx, 480)},
		{"PBX calls, phone signs off meanwhile (P-51)", join(calls(pbx, phone), story{
			phone.sends("REGISTER").with("Expires: 0"),
			pbx.answers(200),
		}, inDialog(pbx, phone), hangsUp(pbx, phone))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.start(settings{})
			p, b := s.caller(0), s.board(0)
			if tt.story[0].from == phone {
				b = s.nameless(0)
			}
			s.play(join(registers(), tt.story), p, b)
		})
	}
}

// An ACK that forgot the route of its dialog reaches who answered (P-24): some
// phones and PBXes do not copy the Record-Route.
func TestACKWithoutRoute(t *testing.T) {
	t.Parallel()
	for _, from := range []actor{pbx, phone} {
		t.Run(fmt.Sprint(from), func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.start(settings{})
			to := 1 - from
			s.play(join(registers(), story{
				from.sends("INVITE").sdp(),
				to.answers(200).sdp(),
				from.sends("ACK").withoutRoute(),
			}, hangsUp(to, from)), s.caller(0), s.board(0))
		})
	}
}

// Phones and PBXes talk outside of calls, too: about voice mail, in a
// subscription (RFC 6665) and without one, and in text (RFC 3428). A phone may
// refuse, as baresip does; the PBX hears that.
func TestOutsideOfCalls(t *testing.T) {
	t.Parallel()
	const event = "Event: message-summary"
	for _, tt := range []struct {
		name  string
		story story
	}{
		{"subscription", story{
			phone.sends("SUBSCRIBE").with(event, "Expires: 600"),
			pbx.answers(401),
			phone.sends("SUBSCRIBE").with(event, "Expires: 600").authorized("secret"),
			pbx.answers(200).with("Expires: 600"),
			pbx.sends("NOTIFY").with(event, "Subscription-State: active;expires=600").sdp(),
			phone.answers(200),
			phone.sends("SUBSCRIBE").with(event, "Expires: 0"),
			pbx.answers(200).with("Expires: 0"),
			pbx.sends("NOTIFY").with(event, "Subscription-State: terminated;reason=timeout"),
			phone.answers(200),
		}},
		{"NOTIFY", story{
			pbx.sends("NOTIFY").withoutDialog().with(event, "Subscription-State: terminated").sdp(),
			phone.answers(481),
			pbx.sends("NOTIFY").withoutDialog().with("Event: check-sync"),
			phone.answers(200),
		}},
		{"MESSAGE", story{
			pbx.sends("MESSAGE").withoutDialog().sdp(),
			phone.answers(200),
			phone.sends("MESSAGE").withoutDialog().sdp(),
			pbx.answers(202),
		}},
		{"PUBLISH", story{
			phone.sends("PUBLISH").withoutDialog().with("Event: presence", "SIP-If-Match: dx200xyz").sdp(),
			pbx.answers(200).with("SIP-ETag: kwj449x", "Expires: 1800"),
			pbx.sends("PUBLISH").withoutDialog().with("Event: presence").sdp(),
			phone.answers(489),
		}},
		{"OPTIONS", story{
			pbx.sends("OPTIONS"),
			phone.answers(200).with("Allow: INVITE, ACK, BYE, CANCEL"),
			phone.sends("OPTIONS"),
			pbx.answers(200).with("Allow: INVITE, ACK, BYE, CANCEL"),
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.start(settings{})
			p := s.caller(0)
			p.shown = private
			s.play(join(registers(), tt.story), p, s.board(0))
		})
	}
}

// Both sides may have the proxy as their outbound proxy, so that its Route is
// in all of their requests, in those of a call twice and not side by side. None
// of it is left when the proxy has been passed (P-24, P-29).
func TestPreloadedRoutes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		story story
	}{
		{"PBX calls", join(calls(pbx, phone), inDialog(pbx, phone), inDialog(phone, pbx), hangsUp(pbx, phone))},
		{"phone calls", join(challenged(401), inDialog(pbx, phone), inDialog(phone, pbx), hangsUp(phone, pbx))},
		{"PBX calls, 100rel", join(reliable(pbx, phone), hangsUp(phone, pbx))},
		{"PBX gives up", canceled(pbx, phone)},
		{"phone gives up", canceled(phone, pbx)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.start(settings{})
			p, b := s.caller(0), s.board(0)
			p.preloads, b.preloads = true, true
			s.play(join(registers(), tt.story), p, b)
		})
	}
}
