package ua

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/icholy/digest"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// Phone registers an extension, rings when it is called, and answers.
type Phone struct {
	*Agent
	Domain    string
	Extension string
	Password  string
	rings     atomic.Int64
}

// NewPhone returns a phone at addr.
func NewPhone(addr netip.AddrPort, domain, extension, password string) (*Phone, error) {
	p := &Phone{Domain: domain, Extension: extension, Password: password}
	var err error
	p.Agent, err = listen(addr, p.handle)
	return p, err
}

// Rings returns how many calls have made the phone ring.
func (p *Phone) Rings() int { return int(p.rings.Load()) }

func (p *Phone) handle(m *sipmsg.Message) []string {
	contact := fmt.Sprintf("Contact: <sip:%s@%s>", p.Extension, p.addr)
	switch m.Method {
	case "ACK":
		return nil
	case "INVITE":
		p.rings.Add(1)
		return []string{
			respond(m, 180, "Ringing", "phone", contact),
			respond(m, 200, "OK", "phone", contact),
		}
	}
	return []string{respond(m, 200, "OK", "phone")}
}

// Register registers the phone through a proxy, and answers the challenge. It
// returns the status that the registration ended with, and whether there was
// a challenge.
func (p *Phone) Register(ctx context.Context, proxy netip.AddrPort) (status int, challenged bool, err error) {
	uri := "sip:" + p.Domain
	headers := func(seq int, extra string) string {
		return fmt.Sprintf("From: <sip:%[1]s@%[2]s>;tag=r\r\nTo: <sip:%[1]s@%[2]s>\r\nCall-ID: reg-%[3]s\r\nCSeq: %[4]d REGISTER\r\n"+
			"Contact: <sip:%[1]s@%[3]s>\r\nExpires: 60\r\n%[5]s", p.Extension, p.Domain, p.addr, seq, extra)
	}
	start := "REGISTER " + uri + " SIP/2.0"
	m, err := p.request(ctx, proxy, start, headers(1, ""), "")
	if err != nil || m.Status != 401 {
		return statusOf(m), false, err
	}
	text, _ := m.Lookup("WWW-Authenticate")
	chal, err := digest.ParseChallenge(text)
	if err != nil {
		return 401, true, err
	}
	cred, err := digest.Digest(chal, digest.Options{Method: "REGISTER", URI: uri, Username: p.Extension, Password: p.Password})
	if err != nil {
		return 401, true, err
	}
	m, err = p.request(ctx, proxy, start, headers(2, "Authorization: "+cred.String()+"\r\n"), "")
	return statusOf(m), true, err
}

func statusOf(m *sipmsg.Message) int {
	if m == nil {
		return 0
	}
	return m.Status
}

// PBX registers phones of its domain, and calls.
type PBX struct {
	*Agent
	Domain   string
	Password string // of all its extensions
}

// NewPBX returns a PBX at addr.
func NewPBX(addr netip.AddrPort, domain, password string) (*PBX, error) {
	p := &PBX{Domain: domain, Password: password}
	var err error
	p.Agent, err = listen(addr, p.handle)
	return p, err
}

func (p *PBX) handle(m *sipmsg.Message) []string {
	if m.Method != "REGISTER" {
		return []string{respond(m, 200, "OK", "pbx")}
	}
	chal := digest.Challenge{Realm: "asterisk", Nonce: "nonce-of-" + p.Domain, Algorithm: "MD5"}
	if !p.authentic(m, &chal) {
		return []string{respond(m, 401, "Unauthorized", "pbx", "WWW-Authenticate: "+chal.String())}
	}
	return []string{respond(m, 200, "OK", "pbx", "Contact: "+m.Get(sipmsg.Contact)+";expires=60")}
}

// authentic checks the credentials of a REGISTER.
func (p *PBX) authentic(m *sipmsg.Message, chal *digest.Challenge) bool {
	cred, err := digest.ParseCredentials(m.Get(sipmsg.Authorization))
	if err != nil {
		return false
	}
	want, err := digest.Digest(chal, digest.Options{Method: "REGISTER", URI: cred.URI, Username: cred.Username,
		Password: p.Password, Cnonce: cred.Cnonce, Count: cred.Nc})
	return err == nil && want.Response == cred.Response
}

// Call calls uri through a proxy and hangs up when the call is answered. It
// returns the status of the answer; the error is [ErrNoAnswer] if there is none.
func (a *Agent) Call(ctx context.Context, proxy netip.AddrPort, uri string) (int, error) {
	dialog := func(method string, seq int, to string) string {
		return fmt.Sprintf("From: <sip:operator@%[1]s>;tag=c\r\nTo: %[2]s\r\nCall-ID: call-%[3]d-%[1]s\r\nCSeq: %[4]d %[5]s\r\nContact: <sip:operator@%[6]s>\r\n",
			a.addr.Addr(), to, a.addr.Port(), seq, method, a.addr)
	}
	m, err := a.request(ctx, proxy, "INVITE "+uri+" SIP/2.0", dialog("INVITE", 1, "<"+uri+">"), "")
	if err != nil || m.Status >= 300 {
		return statusOf(m), err
	}
	remote, err := sipmsg.ParseNameAddr(m.Get(sipmsg.Contact))
	if err != nil {
		return m.Status, err
	}
	var route strings.Builder
	for i := range m.All(sipmsg.RecordRoute) { // one entry, so the order does not matter
		fmt.Fprintf(&route, "Route: %s\r\n", m.Value(i))
	}
	to := m.Get(sipmsg.To)
	if err := a.send(proxy, "ACK "+remote.URI+" SIP/2.0", route.String()+dialog("ACK", 1, to)); err != nil {
		return m.Status, err
	}
	bye, err := a.request(ctx, proxy, "BYE "+remote.URI+" SIP/2.0", route.String()+dialog("BYE", 2, to), "")
	if err == nil && bye.Status != 200 {
		err = fmt.Errorf("ua: BYE answered %d", bye.Status)
	}
	return m.Status, err
}
