package peertest

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// Two PBXes behind one address, as behind a NAT, are told apart by their ports: each
// reaches the phones of its own tenant, by the proxy's address as well (P-12, P-63).
func TestTwoPBXesOfOneAddress(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	second := netip.AddrPortFrom(s.pbx(0).Addr(), 5080)
	p := s.start(settings{tenants: []tenant{{}, {pbxes: []string{fmt.Sprintf("{uri: \"sip:%v\"}", second)}}}})
	boards := [2]func() *end{
		func() *end { return s.board(0) },
		func() *end { return &end{at: second, user: "999"} },
	}
	var contacts [2]string
	for i := range 2 {
		contacts[i] = s.play(registers(), s.extension(i), boards[i]())
	}
	p.wantBindings(2)
	for i := range 2 {
		other := s.udp("the other phone", s.phone(1-i))
		for _, uri := range []string{fmt.Sprintf("sip:401@%v", s.proxy()), contacts[i], "sip:401@" + domain(i)} {
			s.rings(s.extension(i), boards[i](), uri)
		}
		for _, uri := range []string{contacts[1-i], "sip:401@" + domain(1-i)} {
			s.gone(boards[i](), uri)
		}
		other.wantNothing()
		other.close()
	}
}

// Fifty tenants have the same extension, with the same Contact user. Each PBX
// reaches its own phone by whatever it knows, and nobody else's (P-12, P-13).
func TestFiftyTenants(t *testing.T) {
	t.Parallel()
	const count = 50
	for name, register := range map[string]string{"own": "{}", "preserve": "{contact: preserve}", "path": "{contact: preserve, path: on}"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			at := func(base, i int) netip.AddrPort { return netip.AddrPortFrom(s.host(base+i), 5060) }
			domain := func(i int) string { return fmt.Sprintf("tenant-%d.test", i) }
			all := make([]tenant, count)
			for i := range all {
				all[i] = tenant{domains: []string{domain(i)}, pbxes: []string{fmt.Sprintf("{uri: \"sip:%v\"}", at(100, i))}}
			}
			p := s.start(settings{tenants: all, lines: []string{"register: " + register, quiet}})
			boards, phones := make([]*asterisk, count), make([]*peer, count)
			for i := range all {
				boards[i], phones[i] = s.asterisk(fmt.Sprint("PBX ", i), at(100, i)), s.udp(fmt.Sprint("phone ", i), at(150, i))
				phones[i].register("401", domain(i), "secret")
			}
			p.wantBindings(count)
			for i, a := range boards {
				contact := a.contact("401")
				for _, uri := range []string{contact, fmt.Sprintf("sip:401@%v", s.proxy()), "sip:401@" + domain(i)} {
					a.rings(uri, phones[i], phones[i].contactOf("401"))
				}
				other := boards[(i+1)%count]
				if name == "own" { // else it is an address, and whoever is there is not theirs
					other.misses(contact, 404)
				}
				other.misses("sip:401@"+domain(i), 404)
			}
			p.silent(phones...)
		})
	}
}

// A PBX whose tenant may gets to the PBX of another tenant by its domain, and to no
// phone there; what it misses in its own domain does not come back to it. Others
// may not (P-16, P-30, P-81).
func TestHairpin(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	may := []string{"lookup: {hairpin: on}"}
	p := s.start(settings{tenants: []tenant{{lines: may}, {}}})
	boards, phones := [2]*asterisk{}, [2]*peer{}
	for i := range 2 {
		boards[i], phones[i] = s.asterisk(fmt.Sprint("PBX ", i), s.pbx(i)), s.udp(fmt.Sprint("phone ", i), s.phone(i))
		phones[i].register("401", domain(i), "secret")
	}
	converse(boards[0].calls(boards[1], "sip:401@"+domain(1)))
	boards[0].misses("sip:402@"+domain(0), 404)
	boards[1].misses("sip:401@"+domain(0), 404)
	p.silent(phones[0], phones[1], boards[0].peer, boards[1].peer)
}

// calls has a call another PBX by the proxy.
func (a *asterisk) calls(b *asterisk, uri string) (caller, callee *dialog) {
	a.t.Helper()
	caller = a.dial(uri)
	callee = b.accept(b.expect("INVITE"), "sip:"+b.addr.String())
	caller.expect("200 INVITE")
	caller.ack()
	b.expect("ACK")
	return caller, callee
}

// A PBX with an address that nobody knows rings the only phone of that name that
// there is, if that is allowed, which is logged each time; and nobody by a name that
// two tenants have (P-13).
func TestUnknownSource(t *testing.T) {
	t.Parallel()
	for _, allowed := range []bool{false, true} {
		t.Run(fmt.Sprint(allowed), func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			lines, want := []string{"security: {unknown_domain: 403}"}, 0
			if allowed {
				lines[0], want = "security: {unknown_domain: 403, unknown_source: unique}", 2
			}
			p := s.start(settings{tenants: tenants(2), lines: lines})
			var phones [3]*peer
			for i, user := range []string{"401", "401", "402"} {
				phones[i] = s.udp(fmt.Sprint("phone ", i), s.phone(i))
				if i < 2 {
					s.asterisk(fmt.Sprint("PBX ", i), s.pbx(i))
				}
				phones[i].register(user, domain(i%2), "secret")
			}
			x := s.asterisk("stranger", s.stranger())
			x.misses(fmt.Sprintf("sip:401@%v", s.proxy()), 403)
			uri := fmt.Sprintf("sip:402@%v", s.proxy())
			if !allowed {
				x.misses(uri, 403)
			}
			for range want {
				x.rings(uri, phones[2], phones[2].contactOf("402"))
			}
			if got := strings.Count(p.errors.String(), "stranger rings a phone"); got != want {
				t.Errorf("it is logged %d times", got)
			}
			p.silent(phones[:]...)
		})
	}
}

// A new secret, with the old one among the former_secrets, ends no call and lets the
// PBX call by what it knows; without, what was made with the old one counts no more
// (P-48).
func TestNewSecret(t *testing.T) {
	t.Parallel()
	for _, kept := range []bool{true, false} {
		t.Run(fmt.Sprint("former ", kept), func(t *testing.T) {
			t.Parallel()
			s, d := newSite(t), newDatabase(t)
			p := s.start(settings{lines: d.lines()})
			a, h := s.asterisk("PBX", s.pbx(0)), s.udp("phone", s.phone(0))
			h.shown = "sip:401@" + private
			h.register("401", domain(0), "secret")
			contact := a.contact("401")
			in, out := make([]*dialog, 2), make([]*dialog, 2)
			in[0], in[1] = a.takes(contact, h)
			out[0], out[1] = a.takenFrom(h)
			d.wantRows(registered(h, "401", domain(0)))
			p.stop()

			text, err := os.ReadFile(p.config)
			if err != nil {
				t.Fatal(err)
			}
			fresh := "secret: another secret for these tests\n"
			if kept {
				fresh += "former_secrets: [a secret for these tests]\n"
			}
			changed := strings.Replace(string(text), "secret: a secret for these tests\n", fresh, 1)
			if err := os.WriteFile(p.config, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
			p.run()
			a.rings(contact, h, h.contactOf("401")) // it is in the table
			if !kept {
				in[0].request("BYE")
				a.expect("481 BYE")
				p.silent(h)
				return
			}
			converse(in[0], in[1])
			converse(out[0], out[1])
		})
	}
}
