package peertest

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/sipward/sipward/internal/mysqltest"
)

// Tenants come, move and go in the database while the proxy runs, and each
// reaches its own phones only.
func TestTenantsOfTheDatabase(t *testing.T) {
	t.Parallel()
	server := mysqltest.New(t)
	for _, tt := range []struct {
		name, line string
		changed    func(*proxyProcess) // waits until the proxy has seen a change
	}{
		{"polled", "reload: 1s", func(p *proxyProcess) {
			p.loads(2) // since one may have been under way
		}},
		{"told by SIGHUP", "reload: 0s", func(p *proxyProcess) {
			p.loads(1, syscall.SIGHUP)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, d := newSite(t), databaseOn(t, server)
			d.command("domain", "add", domain(0), "10")
			d.command("dispatcher", "add", "10", "sip:"+s.pbx(0).String())
			lines := append(d.lines(), tt.line, "security: {unknown_domain: 403}")
			p := s.start(settings{tenants: []tenant{}, lines: lines})
			var boards [3]*asterisk
			var phones [2]*peer
			for i := range boards {
				boards[i] = s.asterisk(fmt.Sprint("PBX ", i), s.pbx(i))
			}
			for i := range phones {
				phones[i] = s.udp("phone of "+domain(i), s.phone(i))
			}
			rings := func(pbx, i int) {
				t.Helper()
				phones[i].register("401", domain(i), "secret")
				boards[pbx].rings(boards[pbx].contact("401"), phones[i], phones[i].contactOf("401"))
			}
			rings(0, 0)

			d.exec("INSERT INTO dispatcher (setid, destination) VALUES (20, ?)", "sip:"+s.pbx(1).String())
			d.exec("INSERT INTO domain (domain, attrs) VALUES (?, 'setid=20')", domain(1)) // P-33
			tt.changed(p)
			rings(1, 1)

			d.command("dispatcher", "add", "30", "sip:"+s.pbx(2).String())
			d.command("domain", "add", domain(1), "30")
			tt.changed(p)
			boards[1].misses(boards[1].contact("401"), 404)
			boards[2].rings("sip:401@"+domain(1), phones[1], phones[1].contactOf("401"))
			rings(2, 1)

			d.command("dispatcher", "rm", "1")
			d.command("domain", "rm", "-force", domain(0))
			tt.changed(p)
			boards[0].misses(boards[0].contact("401"), 403)
			phones[0].dialog("sip:401@"+domain(0), "sip:401@"+domain(0)).request("REGISTER")
			phones[0].expect("403 REGISTER")
			rings(2, 1)
			p.silent(phones[:]...)
		})
	}
}

// Whatever becomes of a tenant, its calls go on, and end when either side hangs
// up.
func TestCallOutlivesItsTenant(t *testing.T) {
	t.Parallel()
	server := mysqltest.New(t)
	for _, tt := range []struct {
		name   string
		change func(s *site, d *database)
	}{
		{"another tenant comes", func(s *site, d *database) {
			d.command("dispatcher", "add", "20", "sip:"+s.pbx(1).String())
			d.command("domain", "add", domain(1), "20")
		}},
		{"moved to another PBX", func(s *site, d *database) {
			d.command("dispatcher", "add", "20", "sip:"+s.pbx(1).String())
			d.command("domain", "add", domain(0), "20")
		}},
		{"PBX removed", func(_ *site, d *database) { d.command("dispatcher", "rm", "1") }},
		{"removed", func(_ *site, d *database) {
			d.command("dispatcher", "rm", "1")
			d.command("domain", "rm", "-force", domain(0))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, d := newSite(t), databaseOn(t, server)
			d.command("domain", "add", domain(0), "10")
			d.command("dispatcher", "add", "10", "sip:"+s.pbx(0).String())
			p := s.start(settings{tenants: []tenant{}, lines: d.lines()})
			a, h := s.asterisk("PBX", s.pbx(0)), s.udp("phone", s.phone(0))
			h.register("401", domain(0), "secret")
			var atPBX, atPhone [2]*dialog // two calls
			for i := range 2 {
				atPBX[i] = a.dial(a.contact("401"))
				atPhone[i] = h.accept(h.expect("INVITE"), "sip:401@"+private)
				atPBX[i].expect("200 INVITE")
				atPBX[i].ack()
				h.expect("ACK")
			}
			tt.change(s, d)
			p.loads(1, syscall.SIGHUP)

			atPBX[0].request("BYE")
			h.reply(h.expect("BYE"), 200)
			a.expect("200 BYE")
			atPhone[1].request("BYE")
			a.reply(a.expect("BYE"), 200)
			h.expect("200 BYE")
		})
	}
}
