package peertest

import (
	"strings"
	"testing"
	"time"

	"github.com/sipward/sipward/internal/mysqltest"
)

// quiet is for proxies with so much to do that each message in the log is too
// much.
const quiet = "log: {level: info, format: text}"

// without is what /readyz says while the database is gone.
const without = "without the database"

// The database goes away under load: for a minute, or in the middle of what it
// does. Phones notice nothing: they register, refresh and sign off, and ring
// when they are called. When it is back it has all that was accepted.
func TestDatabaseOutage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(*mysqltest.Server, testing.TB)
		long time.Duration // so long is a restart, and what makes queues overflow
	}{
		{"stopped for a minute", (*mysqltest.Server).Stop, time.Minute},
		{"killed", (*mysqltest.Server).Kill, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, d := newSite(t), newDatabase(t)
			p := s.start(settings{lines: append(d.lines(), quiet)})
			p.complains = true
			a, c := s.asterisk("PBX", s.pbx(0)).trusts(), s.crowd(s.phone(0), domain(0))
			c.enter(200)
			stop := c.work(100)
			c.registered(198) // so all have come once

			tt.end(d.server, t)
			c.enter(200)
			for end := time.Now().Add(tt.long); time.Now().Before(end); {
				for _, i := range []int{0, 198, 200, 398} { // old and new ones that stay
					m := c.registered(i)
					a.rings(a.contact(m.user), c.peer, m.contact)
				}
				time.Sleep(time.Second / 2) // calls are rare among registrations
			}
			if status, text := p.readyz(); status != 200 || !strings.Contains(text, without) {
				t.Errorf("/readyz says %d and\n%s", status, text)
			}
			pending := p.state().Location.Pending
			d.server.Start(t)
			eventually(t, "the database is used again", func() bool {
				_, text := p.readyz()
				return !strings.Contains(text, without)
			})
			stop()
			eventually(t, "all is written", func() bool { return p.state().Location.Pending == 0 })
			c.check(d.rows())
			c.wantNothing()
			t.Logf("%d REGISTERs were answered, and %d AORs waited for the database", c.answers, pending)
		})
	}
}
