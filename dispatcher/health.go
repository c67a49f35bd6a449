package dispatcher

import (
	"fmt"
	"sync/atomic"
	"time"
)

// health is what is known of a PBX, whatever the sets that it is in.
type health struct {
	calls    atomic.Int64
	latency  atomic.Int64 // smoothed, in nanoseconds; 0 if it never answered
	failures atomic.Uint64
	probed   atomic.Bool // a probe is on its way
	troubled atomic.Bool // down, or there is a streak: a success changes that

	// The rest is guarded by mu of the Dispatcher.
	watched bool // not Inactive in all its sets
	down    bool
	streak  int       // signs in a row that speak against down
	failed  time.Time // when the last failure counted
	since   time.Time // of watched and down
	back    time.Time // when it was last taken into service again
	cause   string    // of down
}

// state returns the state of a destination that no operator has switched off.
func (h *health) state() State {
	if h.down {
		return Probing
	}
	return Active
}

// watch takes the PBX into service, or out of it, if an operator wants that.
func (h *health) watch(on bool, now time.Time) {
	isNew := h.since.IsZero()
	if h.watched == on && !isNew {
		return
	}
	h.watched, h.since, h.streak, h.cause = on, now, 0, ""
	if !on {
		h.down = false
	}
	if on && !isNew {
		h.back = now
	}
	h.troubled.Store(h.down)
}

// sample smooths a latency into that of the PBX. Of two at the same time one
// may get lost.
func (h *health) sample(latency time.Duration) {
	const smoothing = 8
	now, old := int64(latency), h.latency.Load()
	if old != 0 {
		now = old + (now-old)/smoothing
	}
	h.latency.Store(now)
}

// sign is what became of a request or probe.
type sign struct {
	probe  bool
	began  time.Time
	status int   // of the response
	err    error // why there is none
	alive  bool  // what that means
}

// cause says it in words.
func (s *sign) cause() string {
	what := "request"
	if s.probe {
		what = "probe"
	}
	if s.err != nil {
		return fmt.Sprintf("%s: %v", what, s.err)
	}
	return fmt.Sprintf("%s: %d", what, s.status)
}

// judge lets a sign of life, or of death, count.
func (d *Dispatcher) judge(h *health, s sign) {
	if s.alive { // else the fastest would be who refuses everything
		h.sample(time.Since(s.began))
		if !h.troubled.Load() {
			return
		}
	} else {
		h.failures.Add(1)
	}
	if d.count(h, &s) {
		d.deliver()
	}
}

// count counts a sign, and reports whether that took h down or brought it back.
func (d *Dispatcher) count(h *health, s *sign) (turned bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if !h.counts(s, now) {
		return false
	}
	defer func() { h.troubled.Store(h.down || h.streak > 0) }()
	if s.alive != h.down {
		h.streak = 0
		return false
	}
	need := d.cfg.Rise
	if !s.alive {
		need, h.failed = d.cfg.Fall, now
	}
	if h.streak++; h.streak < need {
		return false
	}
	d.turn(h, s.cause(), now)
	return true
}

// counts reports whether a sign is one that counts.
func (h *health) counts(s *sign, now time.Time) bool {
	const oneFailure = time.Second // what fails within it fails of one cause
	switch {
	case !h.watched, s.began.Before(h.since):
		return false
	case h.down:
		return s.probe
	}
	return s.alive || now.Sub(h.failed) >= oneFailure
}

// turn takes h down or brings it back, in all sets.
func (d *Dispatcher) turn(h *health, cause string, now time.Time) {
	h.down, h.streak, h.since, h.cause = !h.down, 0, now, cause
	if !h.down {
		h.back = now
	}
	d.rebuild(h)
}
