package peertest

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Two proxies have one database. What one of them has accepted, the other sees
// once what it has read itself is too old. Each has a phone of one extension.
func TestTwoProxies(t *testing.T) {
	t.Parallel()
	const maxAge = time.Second
	d := newDatabase(t)
	sites := [2]*site{newSite(t), newSite(t)}
	var phones [2]*peer
	var rows [2]string
	for i, s := range sites {
		s.start(settings{tenants: sites[0].sharing(), lines: d.shared(t.TempDir(), maxAge)})
		phones[i] = s.udp(fmt.Sprint("phone ", i), s.phone(0))
		rows[i] = registered(phones[i], "401", domain(0))
	}
	a := sites[0].asterisk("PBX", sites[0].pbx(0))
	by := func(i int, uri string) string { // calls it by that proxy
		a.proxy = sites[i].proxy()
		return strings.ReplaceAll(uri, sites[1-i].proxy().String(), sites[i].proxy().String())
	}
	aged := func(want ...string) {
		t.Helper()
		d.wantRows(want...)
		time.Sleep(maxAge) // there is nothing else to wait for
	}

	var contacts [2]string
	for i, h := range phones {
		a.misses(by(1-i, "sip:401@"+domain(0)), 404) // which it has read
		h.register("401", domain(0), "secret")
		contacts[i] = a.contact("401")
		a.rings(by(i, contacts[i]), h, h.contactOf("401"))
		aged(rows[i])
		a.rings(by(1-i, contacts[i]), h, h.contactOf("401"))
		h.register("401", domain(0), "secret", "Expires: 0")
		a.misses(by(i, contacts[i]), 404)
		aged()
		a.misses(by(1-i, contacts[i]), 404)
	}
	for _, h := range phones {
		h.register("401", domain(0), "secret")
	}
	aged(rows[:]...)
	for i := range sites {
		for j, h := range phones {
			a.rings(by(i, contacts[j]), h, h.contactOf("401"))
		}
	}
}

// sharing is one tenant whose PBX is that of the site, for the proxies of others
// too.
func (s *site) sharing() []tenant {
	return []tenant{{pbxes: []string{fmt.Sprintf("{uri: \"sip:%v\"}", s.pbx(0))}}}
}

// What an operator removes is gone at once, and nothing else is.
func TestOperatorRemovesPhone(t *testing.T) {
	t.Parallel()
	s, d := newSite(t), newDatabase(t)
	p := s.start(settings{tenants: tenants(2), lines: d.lines()})
	var boards [2]*asterisk
	var phones [2]*peer
	for i := range 2 {
		boards[i], phones[i] = s.asterisk("PBX of "+domain(i), s.pbx(i)), s.udp("phone of "+domain(i), s.phone(i))
		phones[i].register("401", domain(i), "secret")
	}
	d.wantRows(registered(phones[0], "401", domain(0)), registered(phones[1], "401", domain(1)))
	code, stdout, stderr := command(t, "location", "rm", "-config", p.config, "401@"+domain(0))
	if code != 0 || stderr != "" {
		t.Errorf("exit code %d, want 0 and no notes\n%s%s", code, stdout, stderr)
	}
	boards[0].misses(boards[0].contact("401"), 404)
	boards[1].rings(boards[1].contact("401"), phones[1], phones[1].contactOf("401"))
	d.wantRows(registered(phones[1], "401", domain(1)))

	phones[0].register("401", domain(0), "secret")
	boards[0].rings(boards[0].contact("401"), phones[0], phones[0].contactOf("401"))
	p.silent(phones[:]...)
}
