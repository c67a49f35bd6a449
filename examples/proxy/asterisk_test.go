package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
)

// What an Asterisk 22 sends through a proxy, but for names and addresses. The
// Route of OPTIONS and CANCEL can stand twice, and not side by side.
const (
	asteriskOptions = `OPTIONS {uri} SIP/2.0
Via: SIP/2.0/UDP {pbx}:5060;rport;branch=z9hG4bKPj{n}
From: <sip:402@{pbx}>;tag=5bab1314-4040-4f50-ab74-b6a8800e5c02
To: <{to}>
Contact: <sip:402@{pbx}:5060>
Call-ID: 9e5ca880-9f3a-4971-8098-{n}
CSeq: 25582 OPTIONS
{route}{route2}Max-Forwards: 70
User-Agent: Asterisk-a
Content-Length:  0

`
	asteriskInvite = `INVITE {uri} SIP/2.0
Via: SIP/2.0/UDP {pbx}:5060;rport;branch=z9hG4bKPj{n}
From: "A 401" <sip:401@{pbx}>;tag=f5d82425-0c8e-4b6a-a3fc-8d066ea43433
To: <{to}>
Contact: <sip:asterisk@{pbx}:5060>
Call-ID: 555d40fb-7b92-48f8-b5bc-{n}
CSeq: 15027 INVITE
{route}Allow: OPTIONS, REGISTER, SUBSCRIBE, NOTIFY, PUBLISH, INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, INFO, REFER, MESSAGE
Supported: 100rel, timer, replaces, norefersub, histinfo
Session-Expires: 1800
Min-SE: 90
Max-Forwards: 70
User-Agent: Asterisk-a
Content-Type: application/sdp
Content-Length:   202

v=0
o=- 488677029 488677029 IN IP4 10.0.1.10
s=Asterisk
c=IN IP4 10.0.1.10
t=0 0
m=audio 20802 RTP/AVP 0 8 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=ptime:20
a=maxptime:140
`
	asteriskCancel = `CANCEL {uri} SIP/2.0
Via: SIP/2.0/UDP {pbx}:5060;rport;branch=z9hG4bKPj{n}
From: "A 401" <sip:401@{pbx}>;tag=f5d82425-0c8e-4b6a-a3fc-8d066ea43433
To: <{to}>
Call-ID: 555d40fb-7b92-48f8-b5bc-{n}
CSeq: 15027 CANCEL
{route}Reason: Q.850;cause=127
{route2}Max-Forwards: 70
User-Agent: Asterisk-a
Content-Length:  0

`
	asteriskNotify = `NOTIFY {uri} SIP/2.0
Via: SIP/2.0/UDP {pbx}:5060;rport;branch=z9hG4bKPj{n}
From: <sip:401@{pbx}>;tag=5a60182a-a5f7-4374-8b09-0fb42e13c29d
To: <{to}>
Contact: <sip:401@{pbx}:5060>
Call-ID: c10660b6-0e3b-474b-9132-{n}
CSeq: 44327 NOTIFY
{route}Subscription-State: terminated
Event: message-summary
Allow-Events: message-summary, presence, dialog, refer
Max-Forwards: 70
User-Agent: Asterisk-a
Content-Type: application/simple-message-summary
Content-Length:    49

Messages-Waiting: yes
Voice-Message: 1/0 (0/0)
`
)

// variant is a way to configure an Asterisk: what it makes of the Contact that
// was registered.
type variant struct {
	name          string
	yaml          string
	rewritten     bool   // rewrite_contact=yes: the proxy's address instead of the host and port
	extension     bool   // Dial(PJSIP/401/sip:401@proxy)
	route, route2 string // of Path or outbound_proxy
}

func variants() []variant {
	const own = "Route: <sip:192.0.2.1:5060;lr>\n"
	return []variant{
		{name: "own, plain", yaml: threeTenants},
		{name: "own, rewrite", yaml: threeTenants, rewritten: true},
		{name: "own, path", yaml: threeTenants, route: own, route2: own},
		{name: "own, extension", yaml: threeTenants, extension: true},
		{name: "rewrite", yaml: preserving, rewritten: true},
		{name: "path", yaml: preserving, route: own, route2: own},
		{name: "obproxy", yaml: preserving, route: own, route2: own},
		{name: "endpoint's obproxy", yaml: preserving, route: own},
		{name: "rewrite+path", yaml: preserving, rewritten: true, route: own, route2: own},
		{name: "extension", yaml: preserving, extension: true},
	}
}

// uri returns the Request-URI for what was registered.
func (v *variant) uri(registered string) string {
	switch {
	case v.extension:
		return "sip:401@192.0.2.1:5060"
	case v.rewritten:
		return strings.Replace(registered, "@192.168.1.10:5060", "@192.0.2.1:5060", 1)
	}
	return registered
}

// send sends a message as v writes it, and returns it.
func (v *variant) send(p *pbx, template, uri, n string) siptestx.Message {
	text := strings.NewReplacer("{uri}", uri, "{to}", strings.Replace(uri, ":5060", "", 1), "{n}", n,
		"{pbx}", p.Addr.Addr().String(), "{route}", v.route, "{route2}", v.route2).Replace(template)
	text = strings.ReplaceAll(text, "\n", "\r\n")
	p.Send(p.w.at, text)
	return siptestx.Message{Text: text}
}

// arrives checks that a message gets to the phone with its Contact as the
// Request-URI, without our Routes, and else as it was.
func (ph *phone) arrives(sent siptestx.Message) siptestx.Message {
	ph.w.Helper()
	m := ph.Expect(sent.Method())
	if m.URI() != ph.uri() {
		ph.w.Errorf("%s arrives for %s, want %s", sent.Method(), m.URI(), ph.uri())
	}
	rest := func(m siptestx.Message) string {
		_, rest, _ := strings.Cut(m.Without("Via", "Record-Route", "Route", "Max-Forwards", "Max-Breadth"), "\r\n")
		return rest
	}
	if diff := cmp.Diff(rest(m), rest(sent)); diff != "" {
		ph.w.Errorf("%s has changed: -got +want:\n%s", sent.Method(), diff)
	}
	if len(m.All("Route")) > 0 || m.Get("Max-Forwards") != "69" || m.Get("Max-Breadth") != "60" || len(m.All("Via")) != 2 {
		ph.w.Errorf("%s arrives as\n%s", sent.Method(), m.Head())
	}
	return m
}

// TestAsterisk plays what each configuration of an Asterisk sends to extension
// 401, which all three tenants have, at one and the same private Contact
// behind NATs. P-13 P-17 P-29 P-49.
func TestAsterisk(t *testing.T) {
	for _, v := range variants() {
		t.Run(v.name, func(t *testing.T) {
			inWorld(t, v.yaml, func(w *world) {
				phones := map[*pbx]*phone{}
				uris := map[*pbx]string{}
				for i, p := range []*pbx{w.a, w.b, w.c} {
					phones[p] = w.behind(simnet.PortRestricted, "401", p.domain)
					phones[p].contact = strings.Replace(phones[p].contact, "x8kmhe6a", fmt.Sprintf("of-%d", i), 1)
					uris[p] = v.uri(phones[p].at(p))
				}
				for p, ph := range phones {
					v.play(p, ph, uris[p])
				}
			})
		})
	}
}

// play has all messages of the variant arrive at the phone.
func (v *variant) play(p *pbx, ph *phone, uri string) {
	p.w.Helper()
	ph.Reply(ph.arrives(v.send(p, asteriskOptions, uri, "1"+p.domain)), 200, "phone")
	p.Status(200)
	ph.Reply(ph.arrives(v.send(p, asteriskNotify, uri, "2"+p.domain)), 481, "phone") // as baresip does
	p.Status(481)

	invite := v.send(p, asteriskInvite, uri, "3"+p.domain)
	at := ph.arrives(invite)
	ph.Reply(at, 180, "phone")
	p.w.answer(p.Peer, 180)
	v.send(p, asteriskCancel, uri, "3"+p.domain)
	p.Status(200) // to the CANCEL
	cancel := ph.Expect("CANCEL")
	if cancel.URI() != ph.uri() || cancel.Get("Via") != at.Get("Via") || cancel.Get("Reason") != "Q.850;cause=127" || len(cancel.All("Route")) > 0 {
		p.w.Errorf("the CANCEL arrives as\n%s", cancel.Text)
	}
	ph.Reply(cancel, 200, "phone")
	ph.Reply(at, 487, "phone")
	ph.Expect("ACK")
	got := p.Status(487)
	p.Send(p.w.at, p.w.another("ACK", invite.Text, "To: "+got.Get("To")))

	call, phone := p.side(), ph.side()
	text := p.request("INVITE", uri)
	if v.route != "" {
		text = p.request("INVITE", uri, strings.TrimSpace(v.route))
	}
	call.dial(phone, text)
	if v.route2 != "" { // path: the Path once more, behind the Record-Route
		call.routes = append(call.routes, "<sip:192.0.2.1:5060;lr>")
	}
	conversation(call, phone)
}
