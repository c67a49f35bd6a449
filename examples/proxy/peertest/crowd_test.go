package peertest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// crowd is many phones of a tenant behind one socket. All of them register and
// refresh, and every fourth signs off and comes back.
type crowd struct {
	*peer
	domain string

	// Guarded by the peer.
	members []*member
	answers int
	faults  []string // answers that no phone should get
}

// member is a phone of a crowd.
type member struct {
	user, contact, callID string
	leaves                bool // each second time

	// The last REGISTER.
	cseq          int
	expires       int    // that it asks for
	open          string // its text, until it is answered
	began, resent time.Time

	accepted accepted
}

// accepted is what came of the last REGISTER that was answered with 200.
type accepted struct {
	cseq          int
	bound         bool // it was no removal
	after, before int64
}

// crowd returns a crowd without members.
func (s *site) crowd(at netip.AddrPort, domain string) *crowd {
	s.t.Helper()
	c := &crowd{peer: s.udp("crowd", at), domain: domain}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.auto = c.answered
	return c
}

// enter adds members.
func (c *crowd) enter(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range n {
		i := len(c.members)
		user := fmt.Sprint("u", i)
		c.members = append(c.members, &member{
			user: user, contact: c.contactOf(user), callID: fmt.Sprintf("%s@%v", user, c.addr.Addr()), leaves: i%4 == 3,
		})
	}
}

// work lets the members take turns at so many REGISTERs a second, until stop is
// called. That waits for the last answers.
func (c *crowd) work(perSecond int) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(time.Second / time.Duration(perSecond))
		defer ticker.Stop()
		for next := 0; ; {
			select {
			case <-done:
				return
			case <-ticker.C:
				c.resend()
				next = c.register(next)
			}
		}
	}()
	return func() {
		c.t.Helper()
		close(done)
		<-ended
		eventually(c.t, "all REGISTERs are answered", func() bool { return c.resend() == 0 })
	}
}

// register sends the next REGISTER of the first member from i on that has none
// open, and returns who comes after that.
func (c *crowd) register(i int) (next int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range c.members {
		m := c.members[i]
		i = (i + 1) % len(c.members)
		if m.open == "" {
			m.cseq++
			m.expires = 600
			if m.leaves && m.accepted.bound {
				m.expires = 0
			}
			m.began = time.Now()
			m.open, m.resent = c.textOf(m), m.began
			c.send(m.open)
			break
		}
	}
	return i
}

func (c *crowd) textOf(m *member) string {
	var b strings.Builder
	fmt.Fprintf(&b, "REGISTER sip:%s SIP/2.0\r\n%s\r\nMax-Forwards: 70\r\n", c.domain, c.via())
	fmt.Fprintf(&b, "From: <sip:%[1]s@%[2]s>;tag=%[1]s\r\nTo: <sip:%[1]s@%[2]s>\r\n", m.user, c.domain)
	fmt.Fprintf(&b, "Call-ID: %s\r\nCSeq: %d REGISTER\r\nContact: <%s>\r\n", m.callID, m.cseq, m.contact)
	return b.String() + rest("", []string{fmt.Sprint("Expires: ", m.expires)})
}

// resend sends again what has been open for a while, and returns how many
// REGISTERs are open.
func (c *crowd) resend() (open int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		if m.open == "" {
			continue
		}
		open++
		if now := time.Now(); now.Sub(m.resent) > 500*time.Millisecond {
			m.resent = now
			c.send(m.open)
		}
	}
	return open
}

// answered takes answers to REGISTERs. The peer is locked meanwhile.
func (c *crowd) answered(a *message) bool {
	if a.status() == 0 || a.method() != "REGISTER" {
		return false
	}
	i := slices.IndexFunc(c.members, func(m *member) bool { return m.callID == a.get("Call-ID") })
	if i < 0 {
		return false
	}
	m := c.members[i]
	if m.open == "" || a.get("CSeq") != fmt.Sprint(m.cseq, " REGISTER") {
		return true // that was answered before
	}
	m.open = ""
	c.answers++
	if a.status() != 200 {
		c.faults = append(c.faults, fmt.Sprintf("%s got %s", m.user, a.first))
		return true
	}
	m.accepted = accepted{m.cseq, m.expires > 0, m.began.Unix(), time.Now().Unix()}
	return true
}

// registered waits until a member is there.
func (c *crowd) registered(i int) *member {
	c.t.Helper()
	m := c.members[i]
	eventually(c.t, m.user+" is registered", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return m.accepted.bound
	})
	return m
}

// check fails the test unless the rows are what was accepted last of each
// member, and nothing else, and no member was told anything else.
func (c *crowd) check(rows []row) {
	c.t.Helper()
	of := map[string][]row{}
	for _, r := range rows {
		of[r.aor] = append(of[r.aor], r)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.faults {
		c.t.Error(f)
	}
	for _, m := range c.members {
		aor := m.user + "@" + c.domain
		switch found := of[aor]; {
		case m.accepted.bound && (len(found) != 1 || !m.is(&found[0])):
			c.t.Errorf("%s: rows %+v, want one of\n%+v", aor, found, m)
		case !m.accepted.bound && len(found) > 0:
			c.t.Errorf("%s: rows %+v, but it has signed off", aor, found)
		}
		delete(of, aor)
	}
	for _, found := range of {
		c.t.Errorf("nobody has registered %+v", found)
	}
}

// is reports whether a row has what was accepted last.
func (m *member) is(r *row) bool {
	began := r.expires - 600
	return r.contact == m.contact && r.callID == m.callID && r.cseq == m.accepted.cseq &&
		m.accepted.after <= began && began <= m.accepted.before
}
