package main

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
	"github.com/sipward/sipward/location"
)

// phone plays a phone.
type phone struct {
	*siptestx.Peer
	w            *world
	host         *simnet.Host
	nat          *simnet.NAT    // nil if it is behind none
	to           netip.AddrPort // where it sends to
	user, domain string
	contact      string   // header field value
	fields       []string // of its REGISTERs
	callID       string
	cseq         int
}

// lan is the address that every phone behind NAT has.
var lan = netip.MustParseAddr("192.168.1.10")

// behind returns a phone behind a NAT of its own.
func (w *world) behind(kind simnet.NATType, user, domain string) *phone {
	w.Helper()
	nat := w.net.NewNAT(simnet.NATConfig{Type: kind, Outside: []netip.Addr{w.outside()}})
	ph := w.phoneOn(nat.NewHost(lan), user, domain)
	ph.nat = nat
	return ph
}

// public returns a phone on the Internet.
func (w *world) public(user, domain string) *phone {
	w.Helper()
	return w.phoneOn(w.net.NewHost(w.outside()), user, domain)
}

func (w *world) phoneOn(h *simnet.Host, user, domain string) *phone {
	w.Helper()
	return w.phoneFrom(h, siptestx.UDP(w, h, 5060), user, domain)
}

// overTCP returns a phone behind NAT that has a connection to the proxy.
func (w *world) overTCP(user, domain string) *phone {
	w.Helper()
	nat := w.net.NewNAT(simnet.NATConfig{Type: simnet.PortRestricted, Outside: []netip.Addr{w.outside()}})
	h := nat.NewHost(lan)
	ph := w.phoneFrom(h, siptestx.Dial(w, h, w.at), user, domain)
	ph.nat = nat
	ph.contact = fmt.Sprintf("<sip:%s-0x55777cf2d400@%s:5060;transport=tcp>", user, lan)
	return ph
}

func (w *world) phoneFrom(h *simnet.Host, p *siptestx.Peer, user, domain string) *phone {
	w.serial++
	return &phone{
		Peer: w.peer(p), w: w, host: h, to: w.at, user: user, domain: domain,
		contact: fmt.Sprintf("<sip:%s-0x55777cf2d400@%s;line=x8kmhe6a>", user, p.Addr),
		callID:  fmt.Sprintf("registration%d", w.serial),
		cseq:    42443,
	}
}

// uri returns the URI of the phone's Contact.
func (ph *phone) uri() string { return uriOf(ph.contact) }

// aor returns the URI of what it registers.
func (ph *phone) aor() string { return "sip:" + ph.user + "@" + ph.domain }

// registerText writes its next REGISTER. There is no rport in its Via (P-08).
func (ph *phone) registerText(fields ...string) string {
	ph.cseq++
	own := []string{
		"From: <" + ph.aor() + ">;tag=r",
		"To: <" + ph.aor() + ">",
		"Call-ID: " + ph.callID,
		fmt.Sprintf("CSeq: %d REGISTER", ph.cseq),
		"Contact: " + ph.contact,
		"Expires: 3600",
	}
	return siptestx.Edit(ph.text("REGISTER", "sip:"+ph.domain, append(own, ph.fields...)...), fields...)
}

// text writes a request. Its branch and Call-ID are unlike those of a phone
// with the same address behind another NAT.
func (ph *phone) text(method, uri string, fields ...string) string {
	ph.w.serial++
	network, _, _ := strings.Cut(strings.TrimPrefix(ph.Request(method, uri), method+" "+uri+" SIP/2.0\r\nVia: SIP/2.0/"), " ")
	own := []string{
		fmt.Sprintf("Via: SIP/2.0/%s %s;branch=z9hG4bK-phone%d", network, ph.Addr, ph.w.serial),
		fmt.Sprintf("Call-ID: phone%d", ph.w.serial),
	}
	return siptestx.Edit(ph.Request(method, uri, own...), fields...)
}

// ask sends a text to the proxy.
func (ph *phone) ask(text string) string {
	ph.w.Helper()
	ph.Send(ph.to, text)
	return text
}

// register registers the phone at p, which challenges it, and returns what p
// and the phone got in the end.
func (ph *phone) register(p *pbx, fields ...string) (atPBX, atPhone siptestx.Message) {
	ph.w.Helper()
	ph.ask(ph.registerText(fields...))
	p.challenge()
	ph.Status(401)
	return ph.refresh(p, fields...)
}

// refresh registers with credentials.
func (ph *phone) refresh(p *pbx, fields ...string) (atPBX, atPhone siptestx.Message) {
	ph.w.Helper()
	auth := `Authorization: Digest username="` + ph.user + `", realm="asterisk", nonce="1795325083/039e", response="981e24c2"`
	ph.ask(ph.registerText(append([]string{auth}, fields...)...))
	atPBX = p.grant()
	return atPBX, ph.Status(200)
}

// at registers the phone and returns the URI that p knows it by.
func (ph *phone) at(p *pbx) string {
	ph.w.Helper()
	m, _ := ph.register(p)
	return uriOf(m.Get("Contact"))
}

// tokenOf returns the token in a Contact of ours.
func tokenOf(uri string) string {
	_, token, _ := strings.Cut(uri, ";rid=")
	return token
}

// call is what a request from the phone to another user of its domain is.
func (ph *phone) call(method, uri string, fields ...string) string {
	own := []string{
		"From: <" + ph.aor() + ">;tag=phone",
		"To: <" + uri + ">",
		"Contact: " + ph.contact,
	}
	return siptestx.Edit(ph.text(method, uri, own...), fields...)
}

// sameBinding compares all there is in a binding.
func sameBinding(a, b location.Binding) bool { return a == b }
