package peertest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// exposed is a proxy that trusts nobody but its PBX, with more lines of the file.
// Who attacks it leaves requests that nobody ends, so that it need not drain.
func exposed(lines ...string) settings {
	return settings{lines: append(lines, "security: {trusted: []}", "drain: 0s")}
}

// Whoever looks for PBXes and their users, as svmap and svwar do, hears nothing
// unless he knows a domain or a PBX, and not even then under a scanner's name. No PBX and no
// phone hears of him. If he shows where he is, he is banned. P-45.
func TestScan(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(exposed())
	a, h := s.asterisk("PBX", s.pbx(0)), s.udp("u1", s.phone(0))
	h.register("u1", domain(0), "secret")
	x, y := s.udp("scanner", s.stranger()), s.tcp("scanner", s.phone(1))
	for _, host := range []string{s.proxy().String(), s.proxy().Addr().String(), "unknown.test"} {
		for _, method := range []string{"OPTIONS", "REGISTER", "INVITE", "SUBSCRIBE", "MESSAGE"} {
			for _, user := range []string{"100", "u1", "0044123"} {
				x.scan(method, user, host)
				y.scan(method, user, host)
			}
		}
	}
	for _, name := range []string{"friendly-scanner", "sipvicious", "sipcli/v1.8"} {
		x.name = name // which is its User-Agent
		for _, method := range []string{"OPTIONS", "REGISTER", "INVITE"} {
			x.scan(method, "u1", domain(0))
		}
	}
	eventually(t, "the scanner over TCP is banned", func() bool { return len(p.banned()) > 0 })
	if diff := cmp.Diff([]string{y.addr.Addr().String() + "/32"}, p.banned()); diff != "" {
		t.Errorf("bans (-want +got):\n%s", diff)
	}
	p.silent(a.peer, h, x, y)
}

// scan sends a request for a user at a host.
func (p *peer) scan(method, user, host string) {
	uri := fmt.Sprintf("sip:%s@%s", user, host)
	d := p.dialog(uri, uri)
	if method == "REGISTER" {
		d.target = "sip:" + host
	}
	d.request(method)
}

// Who guesses passwords, as svcrack does, is banned as soon as it is proven that
// it is he: over a connection, or because he repeats the nonces that he was sent.
// A PBX that does so is not, nor is the address of a phone that works. P-43 P-44
// P-56.
func TestGuessedPasswords(t *testing.T) {
	t.Parallel()
	const tries = 30 // three times what a ban takes
	guesser := func(s *site) netip.Addr { return s.stranger().Addr() }
	for _, tt := range []struct {
		name   string
		at     func(s *site) netip.Addr
		over   func(s *site, name string, at netip.AddrPort) *peer
		blind  bool // he does not see what he is sent
		banned bool
	}{
		{"over TCP", guesser, (*site).tcp, false, true},
		{"over UDP", guesser, (*site).udp, false, true},
		{"over UDP in another's name", guesser, (*site).udp, true, false},
		{"from a PBX", func(s *site) netip.Addr { return s.pbx(0).Addr() }, (*site).tcp, false, false},
		{"from beside a phone", func(s *site) netip.Addr { return s.phone(0).Addr() }, (*site).tcp, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			p := s.start(exposed())
			a, h := s.asterisk("PBX", s.pbx(0)), s.udp("phone", s.phone(0))
			h.register("401", domain(0), "secret")
			x := tt.over(s, "guesser", netip.AddrPortFrom(tt.at(s), 5070))
			guesses := x.guess("402", tries, tt.blind, func() bool { return len(p.banned()) > 0 })
			var want []string
			if tt.banned {
				want = []string{x.addr.Addr().String() + "/32"}
			}
			if diff := cmp.Diff(want, p.banned()); diff != "" || tt.banned != (guesses < tries) {
				t.Errorf("after %d guesses, bans (-want +got):\n%s", guesses, diff)
			}
			a.rings(a.contact("401"), h, h.contactOf("401"))
			y := tt.over(s, "guesser again", netip.AddrPortFrom(tt.at(s), 5071))
			y.scan("REGISTER", "403", domain(0))
			if !tt.banned {
				y.expect("401 REGISTER")
			}
			p.silent(y, h)
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.refused != guesses {
				t.Errorf("the PBX has refused %d passwords of %d", a.refused, guesses)
			}
		})
	}
}

// guess tries to register as a user, so many times or until stop says so, and
// returns how often it has tried. Whoever is blind makes up what the answers tell.
func (p *peer) guess(name string, tries int, blind bool, stop func() bool) (n int) {
	p.t.Helper()
	d, contact := p.registration(name, domain(0)), "Contact: <"+p.contactOf(name)+">"
	d.request("REGISTER", contact)
	challenge := p.expect("401 REGISTER")
	for ; n < tries && !stop(); n++ {
		if blind {
			challenge = parseMessage("SIP/2.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"asterisk\",nonce=\"made up\"\r\n\r\n")
		}
		d.request("REGISTER", contact, d.credentials(challenge, fmt.Sprint("guess", n)))
		challenge = p.expect("401 REGISTER")
	}
	return n
}

// banned returns the networks that are banned.
func (p *proxyProcess) banned() []string {
	p.t.Helper()
	var bans []struct{ Prefix string }
	p.tells("/bans", &bans)
	var all []string
	for _, b := range bans {
		all = append(all, b.Prefix)
	}
	slices.Sort(all)
	return all
}

// Who scans and who guesses passwords is told of in the tables, by the address that
// the requests came from, and in the log, by lines that a log watcher can go by. Not
// even at level debug does the log have anything of the passwords. P-43 P-44 P-78 P-83.
func TestAttackersAreTold(t *testing.T) {
	t.Parallel()
	s, d := newSite(t), newDatabase(t)
	p := s.start(exposed(d.lines()...))
	s.asterisk("PBX", s.pbx(0))
	h, x := s.udp("guesser", s.phone(0)), s.udp("friendly-scanner", s.stranger())
	h.guess("402", 3, false, func() bool { return false })
	h.register("402", domain(0), "secret") // which is no failure
	x.scan("OPTIONS", "100", domain(0))
	x.name = "eyeBeam"
	x.scan("INVITE", "0044123", "unknown.test")

	want := []string{
		fmt.Sprintf("402 %s %v 401 guesser", domain(0), h.addr),
		fmt.Sprintf("402 %s %v 401 guesser", domain(0), h.addr),
		fmt.Sprintf("402 %s %v 401 guesser", domain(0), h.addr),
		fmt.Sprintf("%s %v OPTIONS scanner_detected friendly-scanner", domain(0), x.addr),
		fmt.Sprintf("unknown.test %v INVITE domain_not_found eyeBeam", x.addr),
	}
	var got []string
	holds(patience, func() bool {
		got = append(d.texts("SELECT CONCAT(username, ' ', domain, ' ', source_ip, ':', source_port, ' ', response_code, ' ', user_agent) FROM failed_registrations ORDER BY id"),
			d.texts("SELECT CONCAT(domain, ' ', source_ip, ':', source_port, ' ', method, ' ', reason, ' ', user_agent) FROM door_knock_attempts ORDER BY id")...)
		return len(got) >= len(want)
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	p.silent(x)
	log := p.errors.String()
	for line, times := range map[string]int{ // what bans are made of is said to be proven, as it is for who repeats a nonce
		fmt.Sprintf(`msg="registration failed: 402@%s from %v response 401 Unauthorized"`, domain(0), h.addr):        3,
		fmt.Sprintf(`msg="door knock (unproven): %s from %v reason scanner_detected"`, domain(0), x.addr):            1,
		fmt.Sprintf(`msg="door knock (unproven): unknown.test from %v reason domain_not_found"`, x.addr):             1,
		fmt.Sprintf(`msg="phone registered" aor=402@%s contact="%s" src=%v `, domain(0), h.contactOf("402"), h.addr): 1,
	} {
		if n := strings.Count(log, line); n != times {
			t.Errorf("%d times in the log, want %d: %s", n, times, line)
		}
	}
	for _, secret := range []string{"Digest ", "nonce=", "response=", "cnonce"} {
		if i := strings.Index(log, secret); i >= 0 {
			t.Errorf("%q is in the log:\n%s", secret, log[max(0, i-200):min(len(log), i+200)])
		}
	}
}

// texts returns what a query has in its only column.
func (d *database) texts(query string) (all []string) {
	d.t.Helper()
	found, err := d.db.QueryContext(d.t.Context(), query)
	if err != nil {
		d.t.Fatal(err)
	}
	defer found.Close()
	for found.Next() {
		var text string
		if err := found.Scan(&text); err != nil {
			d.t.Fatal(err)
		}
		all = append(all, text)
	}
	if err := found.Err(); err != nil {
		d.t.Fatal(err)
	}
	return all
}
