package peertest

import (
	"path/filepath"
	"testing"

	"github.com/sipward/sipward/internal/mysqltest"
)

// A proxy that is killed and started again knows the phones that it has told
// that they are registered, whether the database knew them or not. Each PBX
// rings its own.
func TestRegistrationOutlivesTheProxy(t *testing.T) {
	t.Parallel()
	server := mysqltest.New(t)
	for _, tt := range []struct {
		name    string
		lines   []string
		written bool
	}{
		{"own Contact, in the journal", nil, false},
		{"own Contact, in the database", nil, true},
		{"phone's Contact, in the journal", preserve, false},
		{"phone's Contact, in the database", preserve, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, d := newSite(t), databaseOn(t, server)
			p := s.start(settings{tenants: []tenant{{lines: tt.lines}, {lines: tt.lines}}, lines: d.lines()})
			unlock := func() {}
			if !tt.written {
				unlock = d.lock()
			}
			var boards [2]*asterisk
			var phones [2]*peer
			var contacts, rows [2]string
			for i := range 2 {
				boards[i] = s.asterisk("PBX of "+domain(i), s.pbx(i))
				phones[i] = s.udp("phone of "+domain(i), s.phone(i))
				phones[i].register("401", domain(i), "secret")
				contacts[i] = boards[i].contact("401")
				if tt.lines != nil {
					contacts[i] = s.rewritten(contacts[i])
				}
				rows[i] = registered(phones[i], "401", domain(i))
			}
			if tt.written {
				d.wantRows(rows[:]...)
			}
			p.crash()
			unlock()
			if !tt.written {
				d.wantRows()
			}

			p.run()
			for i, h := range phones {
				boards[i].rings(contacts[i], h, h.contactOf("401"))
			}
			d.wantRows(rows[:]...)
			p.silent(phones[:]...)
		})
	}
}

// What the database had, and somebody else has removed from it since, does not
// come back with a proxy that is killed and started again.
func TestRemovedPhoneStaysRemoved(t *testing.T) {
	t.Parallel()
	server := mysqltest.New(t)
	for _, tt := range []struct {
		name   string
		remove func(p *proxyProcess, d *database, h *peer)
	}{
		{"by an operator", func(p *proxyProcess, _ *database, _ *peer) {
			code, stdout, stderr := command(p.t, "location", "rm", "-config", p.config, "401@"+domain(0))
			if code != 0 {
				p.t.Errorf("location rm: exit code %d\n%s%s", code, stdout, stderr)
			}
		}},
		{"by another proxy", func(p *proxyProcess, d *database, h *peer) {
			s := newSite(p.t)
			s.start(settings{tenants: p.site.sharing(), lines: d.lines()})
			h.proxy = s.proxy()
			h.register("401", domain(0), "secret", "Expires: 0")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, d := newSite(t), databaseOn(t, server)
			p := s.start(settings{tenants: s.sharing(), lines: d.lines()})
			a, h := s.asterisk("PBX", s.pbx(0)), s.udp("phone", s.phone(0))
			h.register("401", domain(0), "secret")
			contact := a.contact("401")
			d.wantRows(registered(h, "401", domain(0)))
			tt.remove(p, d, h)
			d.wantRows()

			p.crash()
			p.run()
			a.misses(contact, 404)
			d.wantRows()
			p.silent(h)
		})
	}
}

// The proxy is killed under load, and started again, more than once. What it has
// told phones holds.
func TestRestartUnderLoad(t *testing.T) {
	t.Parallel()
	s, d := newSite(t), newDatabase(t)
	p := s.start(settings{lines: append(d.lines(), quiet)})
	a, c := s.asterisk("PBX", s.pbx(0)).trusts(), s.crowd(s.phone(0), domain(0))
	stop := c.work(200)
	for _, i := range []int{98, 198, 298} {
		c.enter(100)
		c.registered(i)
		p.crash()
		p.run()
		m := c.registered(i)
		a.rings(a.contact(m.user), c.peer, m.contact)
	}
	stop()
	eventually(t, "all is written", func() bool { return p.state().Location.Pending == 0 })
	c.check(d.rows())
	c.wantNothing()
}

// The proxy is killed and started again while the database is down: phones that
// came meanwhile ring, of others it does not say that they are missing, and what
// was accepted is in the database when that is back.
func TestRestartDuringOutage(t *testing.T) {
	t.Parallel()
	s, d := newSite(t), newDatabase(t)
	p := s.start(settings{lines: d.lines()})
	p.complains = true
	a := s.asterisk("PBX", s.pbx(0))
	users := []string{"stays", "leaves", "comes", "refreshes", "returns", "unseen"}
	phones, contacts := map[string]*peer{}, map[string]string{}
	register := func(user string, fields ...string) {
		t.Helper()
		phones[user].register(user, domain(0), "secret", fields...)
	}
	rings := func(user string) {
		t.Helper()
		a.rings(contacts[user], phones[user], phones[user].contactOf(user))
	}
	for i, user := range users {
		phones[user] = s.udp(user, s.phone(i))
	}
	wantRows := func(users ...string) {
		t.Helper()
		var rows []string
		for _, user := range users {
			rows = append(rows, registered(phones[user], user, domain(0)))
		}
		d.wantRows(rows...)
	}
	for _, user := range []string{"stays", "leaves", "refreshes", "returns"} {
		register(user)
		contacts[user] = a.contact(user)
	}
	d.inherit("unseen", domain(0), phones["unseen"])
	contacts["unseen"] = "sip:unseen@" + domain(0)
	wantRows("stays", "leaves", "refreshes", "returns", "unseen")

	d.server.Stop(t)
	register("leaves", "Expires: 0")
	register("comes")
	register("returns", "Expires: 0")
	register("returns")
	contacts["comes"], contacts["returns"] = a.contact("comes"), a.contact("returns")
	p.crash()
	p.boot()
	if status, text := p.readyz(); status != 503 {
		t.Errorf("/readyz says %d and\n%s", status, text)
	}
	rings("comes")
	rings("returns")
	a.misses(contacts["unseen"], 503)
	register("refreshes")
	rings("refreshes")

	d.server.Start(t)
	p.becomesReady()
	wantRows("stays", "comes", "refreshes", "returns", "unseen")
	for _, user := range []string{"stays", "comes", "refreshes", "returns", "unseen"} {
		rings(user)
	}
	a.misses(contacts["leaves"], 404)
	p.silent(phones["leaves"])
}

// A proxy that starts while the database is too slow to be of use does not call
// a phone missing that it cannot know yet, and rings it as soon as it does.
func TestStartWithSlowDatabase(t *testing.T) {
	t.Parallel()
	server := mysqltest.New(t)
	for _, tt := range []struct {
		name  string
		lines []string
		uri   func(s *site, contact string) string
	}{
		{"own Contact", nil, func(_ *site, contact string) string { return contact }},
		{"phone's Contact, rewritten", preserve, (*site).rewritten},
		{"AOR", nil, func(*site, string) string { return "sip:401@" + domain(0) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, d := newSite(t), databaseOn(t, server)
			p := s.start(settings{tenants: []tenant{{lines: tt.lines}}, lines: d.lines()})
			p.complains = true
			a, h := s.asterisk("PBX", s.pbx(0)), s.udp("phone", s.phone(0))
			h.register("401", domain(0), "secret")
			uri := tt.uri(s, a.contact("401"))
			d.wantRows(registered(h, "401", domain(0)))
			p.stop()

			unlock := d.lock()
			p.boot()
			a.misses(uri, 503)
			unlock()
			p.becomesReady()
			a.rings(uri, h, h.contactOf("401"))
		})
	}
}

// A proxy that starts while the database is down serves the tenants of its file,
// and those of the database as soon as it can. Whom it cannot know yet it does
// not call missing.
func TestStartWithoutDatabase(t *testing.T) {
	t.Parallel()
	s, d := newSite(t), newDatabase(t)
	d.command("domain", "add", domain(1), "20")
	d.command("dispatcher", "add", "20", "sip:"+s.pbx(1).String())
	d.server.Stop(t)
	p := s.prepare(settings{lines: d.lines()})
	p.complains = true
	p.boot()
	var boards [2]*asterisk
	var phones [2]*peer
	for i := range 2 {
		boards[i], phones[i] = s.asterisk("PBX of "+domain(i), s.pbx(i)), s.udp("phone of "+domain(i), s.phone(i))
	}
	rings := func(i int) {
		t.Helper()
		phones[i].register("401", domain(i), "secret")
		boards[i].rings(boards[i].contact("401"), phones[i], phones[i].contactOf("401"))
	}
	rings(0)
	boards[0].misses("sip:402@"+domain(0), 503)
	if status, text := p.readyz(); status != 503 || p.state().Tenants != 1 {
		t.Errorf("%d tenants, and /readyz says %d and\n%s", p.state().Tenants, status, text)
	}

	d.server.Start(t)
	p.becomesReady()
	rings(1)
	rings(0)
	boards[0].misses("sip:402@"+domain(0), 404)
	d.wantRows(registered(phones[0], "401", domain(0)), registered(phones[1], "401", domain(1)))
	p.silent(phones[:]...)
}

// Two proxies run side by side for a while, as when one takes over from the
// other, and have one spool. When both were killed, the next one accounts for
// what either of them has accepted.
func TestSpoolOfTwoProxies(t *testing.T) {
	t.Parallel()
	d, spool := newDatabase(t), t.TempDir()
	var sites [2]*site
	var proxies [2]*proxyProcess
	var boards [2]*asterisk
	var phones [2]*peer
	var rows []string
	register := func(i int, user string) {
		t.Helper()
		phones[i].register(user, domain(0), "secret")
		rows = append(rows, registered(phones[i], user, domain(0)))
		boards[i].rings(boards[i].contact(user), phones[i], phones[i].contactOf(user))
	}
	for i := range 2 {
		sites[i] = newSite(t)
		proxies[i] = sites[i].start(settings{lines: d.shared(spool, 0)})
		proxies[i].complains = true
		boards[i] = sites[i].asterisk("PBX", sites[i].pbx(0))
		phones[i] = sites[i].udp("phone", sites[i].phone(0))
		register(i, []string{"401", "402"}[i])
	}
	if dirs, err := filepath.Glob(filepath.Join(spool, "*", "[0-9]")); err != nil || len(dirs) != 2 {
		t.Errorf("journals in %q, %v; want two", dirs, err)
	}
	d.wantRows(rows...)

	d.server.Stop(t)
	for i, p := range proxies {
		register(i, []string{"403", "404"}[i])
		p.crash()
	}
	d.server.Start(t)
	d.wantRows(rows[:2]...)
	proxies[0].run()
	d.wantRows(rows...)
	for i, user := range []string{"403", "404"} {
		boards[0].rings("sip:"+user+"@"+domain(0), phones[i], phones[i].contactOf(user))
	}
	proxies[1].run()
	register(1, "405")
	d.wantRows(rows...)
}
