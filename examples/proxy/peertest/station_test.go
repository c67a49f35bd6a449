package peertest

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// station is a peer with many transactions at once. It repeats what is not
// answered, as RFC 3261 section 17 says, and takes every call, so that what is
// lost on the way costs time only, and what is refused is a fault of somebody.
type station struct {
	*peer
	registering *dialog // of a phone

	// Guarded by the peer.
	waiting map[string]chan *message // answers, by branch
	acks    map[string]string        // for 2xx that come again, by Call-ID
	taken   map[string]chan struct{} // calls whose ACK is missing, by Call-ID
	attacks map[string]bool          // requests of an [attack], by kind and Call-ID
}

// The times of a transaction (RFC 3261 section 17.1).
const (
	t1 = 500 * time.Millisecond
	t2 = 4 * time.Second
)

// phoneStation is the phone of a user, who is not registered yet.
func (s *site) phoneStation(name string, at netip.AddrPort) *station {
	s.t.Helper()
	p := s.udp(name, at).station()
	p.registering = p.registration(name, domain(0))
	return p
}

// station makes one of a peer. What that answers by itself it still does.
func (p *peer) station() *station {
	s := &station{peer: p, waiting: map[string]chan *message{}, acks: map[string]string{}, taken: map[string]chan struct{}{}, attacks: map[string]bool{}}
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.auto
	p.auto = func(m *message) bool {
		if m.status() == 0 && strings.HasPrefix(m.get("Call-ID"), attackID) {
			s.attacks[m.kind()+" "+m.get("Call-ID")] = true
		}
		return before != nil && before(m) || s.handle(m)
	}
	return s
}

// handle takes what is not the test's to see. The peer is locked meanwhile.
func (s *station) handle(m *message) bool {
	id := m.get("Call-ID")
	switch kind := m.method(); {
	case m.status() != 0:
		if ch := s.waiting[branchOf(m)]; ch != nil {
			select {
			case ch <- m:
			default: // it has many already
			}
		} else if m.is("200 INVITE") && s.acks[id] != "" {
			s.send(s.acks[id])
		}
	case kind == "INVITE" && strings.HasPrefix(id, attackID):
		s.reply(m, 403)
	case kind == "INVITE":
		s.take(m)
	case kind == "ACK":
		s.settled(id)
	case kind == "END": // see settle
		return false
	default:
		s.settled(id)
		s.reply(m, 200)
	}
	return true
}

// take answers a call, until its ACK is there.
func (s *station) take(m *message) {
	id := m.get("Call-ID")
	if s.taken[id] != nil {
		return
	}
	acked := make(chan struct{})
	s.taken[id] = acked
	s.reply(m, 180)
	contact := fmt.Sprintf("Contact: <sip:%s@%v>", user(m.uri()), s.addr)
	go s.repeat(func() { s.reply(m, 200, contact) }, acked)
}

func (s *station) settled(id string) {
	if ch := s.taken[id]; ch != nil {
		delete(s.taken, id)
		close(ch)
	}
}

// repeat sends something until done is closed, for as long as a transaction lives.
func (s *station) repeat(send func(), done <-chan struct{}) {
	send()
	timer, end := time.NewTimer(t1), time.After(64*t1)
	defer timer.Stop()
	for pause := t1; ; {
		select {
		case <-timer.C:
			send()
			pause = min(2*pause, t2)
			timer.Reset(pause)
		case <-done:
			return
		case <-end:
			return
		case <-s.ended:
			return
		}
	}
}

// ask sends a request in d and returns the final answer, or nil if there is none.
func (s *station) ask(d *dialog, method string, extra ...string) *message {
	d.cseq++
	via := s.via()
	text := d.text(method, d.cseq, via, extra)
	branch, answers := branchOf(parseMessage(text)), make(chan *message, 8)
	s.expects(branch, answers)
	defer s.expects(branch, nil)
	heard := make(chan struct{})
	go s.repeat(func() { s.send(text) }, heard)
	end, final := time.After(64*t1), false
	for heardNothing := true; ; {
		select {
		case m := <-answers:
			final = m.status() >= 200
			if heardNothing && (final || method == "INVITE") {
				heardNothing = false
				close(heard)
			}
			if final {
				return m
			}
		case <-end:
			return nil
		case <-s.ended:
			return nil
		}
	}
}

// expects says where the answers to a request go; to nobody if that is nil.
func (s *station) expects(branch string, answers chan *message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if answers == nil {
		delete(s.waiting, branch)
	} else {
		s.waiting[branch] = answers
	}
}

// ofAttack returns how many requests of an attack came here, by kind.
func (s *station) ofAttack() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := map[string]int{}
	for a := range s.attacks {
		kind, _, _ := strings.Cut(a, " ")
		n[kind]++
	}
	return n
}

func branchOf(m *message) string {
	_, rest, _ := strings.Cut(m.get("Via"), "branch=")
	branch, _, _ := strings.Cut(rest, ";")
	return branch
}

// signOn registers the phone, or refreshes what it has.
func (s *station) signOn() error {
	d := s.registering
	fields := []string{"Contact: <" + s.contactOf(s.name) + ">", "Expires: 600"}
	m := s.ask(d, "REGISTER", fields...)
	if m != nil && m.status() == 401 {
		m = s.ask(d, "REGISTER", append(fields, d.credentials(m, "secret"))...)
	}
	return wanted(m, 200, s.name+": REGISTER")
}

// talk calls somebody, who answers, and hangs up.
func (s *station) talk(uri, from string) error {
	d := s.dialog(uri, from)
	m := s.ask(d, "INVITE")
	if m != nil && m.status() >= 300 {
		d.refused(m)
	}
	if err := wanted(m, 200, s.name+": INVITE "+uri); err != nil {
		return err
	}
	d.learn(m)
	ack := d.text("ACK", d.cseq, s.via(), nil)
	s.mu.Lock()
	s.acks[d.callID] = ack
	s.mu.Unlock()
	s.send(ack)
	return wanted(s.ask(d, "BYE"), 200, s.name+": BYE "+uri)
}

// wanted returns an error unless a final answer has that status.
func wanted(m *message, status int, what string) error {
	switch {
	case m == nil:
		return fmt.Errorf("%s: no answer", what)
	case m.status() != status:
		return fmt.Errorf("%s: %s, want %d", what, m.first, status)
	}
	return nil
}
