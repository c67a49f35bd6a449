package peertest

import (
	"fmt"
	"sync"
	"time"
)

// traffic is what a tenant does while something else happens: its phones and its
// PBX call each other, and the phones refresh their registrations.
type traffic struct {
	s      *site
	board  *asterisk
	pbx    *station // the same
	phones []*station

	pending sync.WaitGroup
	mu      sync.Mutex
	done    int
	faults  []error
}

// traffic returns that of the first tenant, with n phones that are registered.
func (s *site) traffic(n int) *traffic {
	s.t.Helper()
	tr := &traffic{s: s, board: s.asterisk("PBX", s.pbx(0))}
	tr.pbx = tr.board.station()
	for i := range n {
		p := s.phoneStation(fmt.Sprint("u", i), s.phone(i))
		tr.phones = append(tr.phones, p)
		tr.begin(p.signOn)
	}
	tr.finish()
	return tr
}

// begin begins something that must not fail.
func (tr *traffic) begin(f func() error) { tr.pending.Go(func() { tr.note(f()) }) }

func (tr *traffic) note(err error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.done++
	if err != nil {
		tr.faults = append(tr.faults, err)
	}
}

// run has so many calls a second begin in each direction, and each phone refresh
// each second, until stop is called.
func (tr *traffic) run(perSecond int) (stop func()) {
	done := make(chan struct{})
	var running sync.WaitGroup
	every := func(d time.Duration, f func(i int)) {
		running.Go(func() {
			ticker := time.NewTicker(d)
			defer ticker.Stop()
			for i := 0; ; i++ {
				select {
				case <-ticker.C:
					f(i)
				case <-done:
					return
				}
			}
		})
	}
	every(time.Second/time.Duration(perSecond), func(i int) {
		tr.begin(func() error { return tr.callsOut(i % len(tr.phones)) })
		tr.begin(func() error { return tr.callsIn((i + 1) % len(tr.phones)) })
	})
	for _, p := range tr.phones {
		every(time.Second, func(int) { tr.note(p.signOn()) })
	}
	return func() {
		close(done)
		running.Wait()
	}
}

// callsOut lets a phone call by way of the PBX.
func (tr *traffic) callsOut(i int) error {
	p := tr.phones[i]
	return p.talk("sip:9@"+domain(0), "sip:"+p.name+"@"+domain(0))
}

// callsIn lets the PBX call a phone.
func (tr *traffic) callsIn(i int) error {
	return tr.pbx.talk(tr.board.stored(tr.phones[i].name)[0], fmt.Sprintf("sip:999@%v", tr.pbx.addr.Addr()))
}

// finish waits for the end of all that has begun, and fails the test if anything
// of it went wrong. It returns how much there was.
func (tr *traffic) finish() int {
	tr.s.t.Helper()
	tr.pending.Wait()
	for _, err := range tr.faults[:min(10, len(tr.faults))] {
		tr.s.t.Error(err)
	}
	if n := len(tr.faults); n > 0 {
		tr.s.t.Fatalf("%d of %d calls and registrations failed", n, tr.done)
	}
	return tr.done
}
