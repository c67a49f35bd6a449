package simnet

import (
	"os"
	"sync"
	"time"
)

// deadline is a point in time that can be moved, and waited for in a select.
type deadline struct {
	mu     sync.Mutex
	at     time.Time // zero if none
	moves  int       // counts set, so that a late timer knows that it is void
	timer  *time.Timer
	passed chan struct{} // closed when it has passed
}

func newDeadline() deadline { return deadline{passed: make(chan struct{})} }

// set moves the deadline. Who waits already, waits for the new one.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = t
	d.moves++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if isClosed(d.passed) {
		d.passed = make(chan struct{})
	}
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		close(d.passed)
		return
	}
	move := d.moves
	d.timer = time.AfterFunc(left, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.moves == move {
			close(d.passed)
		}
	})
}

// wait returns a channel that is closed when the deadline has passed.
func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.passed
}

// err returns [os.ErrDeadlineExceeded] if the deadline has passed, even if the
// timer is late.
func (d *deadline) err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if isClosed(d.passed) || !d.at.IsZero() && !time.Now().Before(d.at) {
		return os.ErrDeadlineExceeded
	}
	return nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
