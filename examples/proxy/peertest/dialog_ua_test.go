package peertest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// dialog is a call, or whatever else shares a Call-ID, as one of its sides
// knows it (RFC 3261 section 12).
type dialog struct {
	p             *peer
	callID        string
	local, remote string // From and To of our requests
	target        string // Request-URI of our requests
	routes        []string
	cseq          int
	branch        string // Via of the last INVITE
}

// dialog begins with a request to uri.
func (p *peer) dialog(uri, from string) *dialog {
	return &dialog{
		p: p, callID: fmt.Sprintf("%d@%v", serial.Add(1), p.addr.Addr()),
		local: fmt.Sprintf("<%s>;tag=%s", from, p.tag()), remote: "<" + uri + ">", target: uri,
	}
}

// request sends a request. Extra are header fields.
func (d *dialog) request(method string, extra ...string) {
	d.cseq++
	d.write(method, d.cseq, d.p.via(), extra)
}

// write sends a request that is complete.
func (d *dialog) write(method string, cseq int, via string, extra []string) {
	d.p.send(d.text(method, cseq, via, extra))
}

// text is what write sends.
func (d *dialog) text(method string, cseq int, via string, extra []string) string {
	body := ""
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s SIP/2.0\r\n%s\r\nMax-Forwards: 70\r\n", method, d.target, via)
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\n", d.local, d.remote, d.callID, cseq, method)
	for _, r := range d.routes {
		fmt.Fprintf(&b, "Route: %s\r\n", r)
	}
	if method == "INVITE" {
		d.branch, body = via, d.p.sdp()
	}
	if !slices.ContainsFunc(extra, func(f string) bool { return strings.HasPrefix(f, "Contact:") }) {
		own := fmt.Sprintf("sip:%s@%v", user(uriOf(d.local)), d.p.addr)
		extra = append(extra, "Contact: <"+cmp.Or(d.p.shown, own)+">")
	}
	return b.String() + rest(body, append(extra, "User-Agent: "+d.p.name))
}

// expect waits for a final answer, and takes from it what a caller must.
func (d *dialog) expect(kind string) *message {
	d.p.t.Helper()
	m := d.p.expect(kind)
	d.learn(m)
	return m
}

// learn takes from the first 2xx of a call where the rest of it goes.
func (d *dialog) learn(m *message) {
	if m.status()/100 == 2 && m.method() == "INVITE" && len(d.routes) == 0 {
		d.remote, d.target = m.get("To"), m.contact()
		d.routes = m.all("Record-Route")
		slices.Reverse(d.routes)
	}
}

// ack acknowledges the 2xx of the last INVITE.
func (d *dialog) ack() { d.write("ACK", d.cseq, d.p.via(), nil) }

// refused acknowledges another answer of the last INVITE.
func (d *dialog) refused(m *message) {
	d.remote = m.get("To")
	d.write("ACK", d.cseq, d.branch, nil)
}

// refusal waits for the answer that ends the call, and returns its status.
func (d *dialog) refusal() int {
	d.p.t.Helper()
	m := d.p.await("refusal", func(m *message) bool {
		return m.get("Call-ID") == d.callID && m.method() == "INVITE" && m.status() >= 300
	})
	d.refused(m)
	return m.status()
}

// call begins a call.
func (p *peer) call(uri, from string) *dialog {
	d := p.dialog(uri, from)
	d.request("INVITE")
	return d
}

// accept answers an INVITE with 200. Contact is what the peer shows as its
// own.
func (p *peer) accept(m *message, contact string) *dialog {
	p.reply(m, 200, "Contact: <"+contact+">")
	return &dialog{
		p: p, callID: m.get("Call-ID"),
		local: m.get("To") + ";tag=" + p.tag(), remote: m.get("From"),
		target: m.contact(), routes: m.all("Record-Route"),
	}
}

// contactOf is the Contact by which the peer registers as the phone of a user.
func (p *peer) contactOf(name string) string {
	return cmp.Or(p.shown, fmt.Sprintf("sip:%s@%v;transport=%s", name, p.addr, strings.ToLower(p.network)))
}

// register registers the peer as the phone of a user. Extra are header fields.
func (p *peer) register(name, domain, password string, extra ...string) {
	p.t.Helper()
	d := p.registration(name, domain)
	fields := append(extra, "Contact: <"+p.contactOf(name)+">")
	d.request("REGISTER", fields...)
	d.request("REGISTER", append(fields, d.credentials(d.expect("401 REGISTER"), password))...)
	d.expect("200 REGISTER")
}

// registration is what REGISTERs for a user belong to.
func (p *peer) registration(name, domain string) *dialog {
	aor := "sip:" + name + "@" + domain
	d := p.dialog(aor, aor)
	d.target = "sip:" + domain
	return d
}

// credentials is the header field that answers the challenge to a REGISTER.
func (d *dialog) credentials(challenge *message, password string) string {
	name, asked := user(uriOf(d.local)), digestParams(challenge.get("WWW-Authenticate"))
	response := digest(digest(name, asked["realm"], password), asked["nonce"], "00000001", "c", "auth",
		digest("REGISTER", d.target))
	return fmt.Sprintf(`Authorization: Digest username="%s",realm="%s",nonce="%s",uri="%s",`+
		`response="%s",algorithm=MD5,qop=auth,nc=00000001,cnonce="c",opaque="%s"`,
		name, asked["realm"], asked["nonce"], d.target, response, asked["opaque"])
}
