package peertest

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// asterisk is a PBX that does with registrations what an Asterisk does: it
// challenges each REGISTER without a good password with another nonce, never
// says 403, remembers Contacts, lists all of them in its 200, and calls
// exactly what it has stored. It answers OPTIONS.
type asterisk struct {
	*peer
	password string // of all users; "" for none
	contacts map[string][]stored
	nonces   map[string]bool // of its challenges
	refused  int             // REGISTERs with a wrong password
}

// stored is a Contact as it was registered.
type stored struct {
	uri     string
	expires string
}

// asterisk returns a PBX at an address.
func (s *site) asterisk(name string, at netip.AddrPort) *asterisk {
	s.t.Helper()
	return s.udp(name, at).asterisk()
}

// asterisk makes a PBX of a peer.
func (p *peer) asterisk() *asterisk {
	a := &asterisk{peer: p, password: "secret", contacts: map[string][]stored{}, nonces: map[string]bool{}}
	a.mu.Lock()
	a.auto = a.serve
	a.mu.Unlock()
	return a
}

// serve answers what the test need not see. The peer is locked meanwhile.
func (a *asterisk) serve(m *message) bool {
	switch {
	case m.status() != 0:
		return false
	case m.method() == "REGISTER":
		a.register(m)
	case m.method() == "OPTIONS":
		a.reply(m, 200)
	default:
		return false
	}
	return true
}

func (a *asterisk) register(m *message) {
	given := m.get("Authorization")
	if !a.authentic(m) {
		if given != "" {
			a.refused++
		}
		nonce := fmt.Sprintf("%d/%x", time.Now().Unix(), serial.Add(1))
		a.nonces[nonce] = true
		a.reply(m, 401, `WWW-Authenticate: Digest realm="asterisk",nonce="`+nonce+`",opaque="16d64c966998b490",algorithm=MD5,qop="auth"`)
		return
	}
	aor := user(uriOf(m.get("To")))
	for _, contact := range m.all("Contact") {
		a.store(aor, contact, m.get("Expires"))
	}
	extra := []string{"Date: " + time.Now().UTC().Format(time.RFC1123)}
	for _, c := range a.contacts[aor] {
		extra = append(extra, fmt.Sprintf("Contact: <%s>;expires=%s", c.uri, c.expires))
	}
	a.reply(m, 200, extra...)
}

// store does what one Contact asks for.
func (a *asterisk) store(aor, contact, expires string) {
	if contact == "*" {
		delete(a.contacts, aor)
		return
	}
	if e := param(contact, "expires"); e != "" {
		expires = e
	}
	if expires == "" {
		expires = "3600"
	}
	uri := uriOf(contact)
	a.contacts[aor] = slices.DeleteFunc(a.contacts[aor], func(c stored) bool { return c.uri == uri })
	if expires != "0" {
		a.contacts[aor] = append(a.contacts[aor], stored{uri, expires})
	}
}

// authentic checks the password (RFC 2617 section 3.2.2), and that the challenge
// was its own. Like Asterisk, it does not compare the uri with the Request-URI.
func (a *asterisk) authentic(m *message) bool {
	if a.password == "" {
		return true
	}
	given := digestParams(m.get("Authorization"))
	secret := digest(user(uriOf(m.get("To"))), "asterisk", a.password)
	asked := digest(m.method(), given["uri"])
	want := digest(secret, given["nonce"], given["nc"], given["cnonce"], "auth", asked)
	return given["response"] == want && a.nonces[given["nonce"]]
}

// digestParams returns the parameters of a challenge or of what answers it.
func digestParams(value string) map[string]string {
	params := map[string]string{}
	_, rest, _ := strings.Cut(value, " ")
	for p := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		params[name] = strings.Trim(value, `"`)
	}
	return params
}

func digest(parts ...string) string {
	sum := md5.Sum([]byte(strings.Join(parts, ":")))
	return hex.EncodeToString(sum[:])
}

// stored returns the Contacts of a user.
func (a *asterisk) stored(user string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var uris []string
	for _, c := range a.contacts[user] {
		uris = append(uris, c.uri)
	}
	return uris
}

// contact waits until a phone is registered and returns the Contact.
func (a *asterisk) contact(user string) string {
	a.t.Helper()
	var uris []string
	eventually(a.t, a.name+" has a Contact of "+user, func() bool {
		uris = a.stored(user)
		return len(uris) > 0
	})
	return uris[0]
}

// dial calls a Contact, as Dial(PJSIP/…) does.
func (a *asterisk) dial(uri string) *dialog {
	return a.call(uri, fmt.Sprintf("sip:999@%v", a.addr.Addr()))
}

// rings calls a Contact and checks that the phone h rings, called by the
// Contact that it has registered itself. The phone is busy.
func (a *asterisk) rings(uri string, h *peer, contact string) {
	a.t.Helper()
	d := a.dial(uri)
	m := h.expect("INVITE")
	if m.uri() != contact {
		a.t.Errorf("%s is called as %s, want %s", h.name, m.uri(), contact)
	}
	h.reply(m, 486)
	d.refused(d.expect("486 INVITE"))
	h.expect("ACK")
}

// misses calls a Contact and checks that the call is refused with a status.
func (a *asterisk) misses(uri string, status int) {
	a.t.Helper()
	if got := a.dial(uri).refusal(); got != status {
		a.t.Errorf("call to %s: %d, want %d", uri, got, status)
	}
}

// trusts lets all users register without a password.
func (a *asterisk) trusts() *asterisk {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.password = ""
	return a
}
