package transaction

import (
	"context"
	"sync"
	"time"
)

const (
	fired = -1
	tick  = 20 * time.Millisecond // timers are up to two of them late, and never early
	slots = 1024                  // a turn of the wheel is about 20 s
)

// wheel runs all timers of a [Layer] with one goroutine and no allocation: a
// busy proxy holds hundreds of thousands of them, nearly all stopped or long
// (32 s) before they fire. Timers are links of a list per slot; one that is due
// in a later turn stays until its turn comes.
type wheel struct {
	mu    sync.Mutex
	slot  [slots]*timer // heads of the lists
	now   int64         // the tick that was handled last
	count int
	epoch time.Time
	wake  chan struct{} // tells run that the wheel is not empty any more
}

// timer belongs to the object that embeds it and calls its owner's expire,
// which must take its own lock and then ask [wheel.claim] whether the timer was
// stopped or started anew in between. The zero timer is stopped.
type timer struct {
	next  *timer
	prev  **timer // what points here; nil if stopped
	due   int64   // tick; fired while it waits for its owner
	owner interface{ expire(*timer) }
}

func newWheel() *wheel {
	return &wheel{epoch: time.Now(), wake: make(chan struct{}, 1)}
}

// start makes t fire once in d, instead of whenever it would have fired. The
// owner of a timer is always the same.
func (w *wheel) start(t *timer, d time.Duration, owner interface{ expire(*timer) }) {
	due := int64((time.Since(w.epoch) + d + tick - 1) / tick)
	w.mu.Lock()
	w.unlink(t)
	if t.owner == nil { // once, as run reads it without the lock
		t.owner = owner
	}
	t.due = max(due, w.now+1)
	if w.count == 0 { // the wheel stood still
		w.now = max(w.now, int64(time.Since(w.epoch)/tick))
		t.due = max(due, w.now+1)
	}
	w.link(t)
	first := w.count == 1
	w.mu.Unlock()
	if first {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// len returns how many timers run.
func (w *wheel) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

// stop keeps t from firing.
func (w *wheel) stop(t *timer) {
	w.mu.Lock()
	w.unlink(t)
	t.due = 0
	w.mu.Unlock()
}

// claim reports whether t has fired and was neither stopped nor started since.
func (w *wheel) claim(t *timer) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t.due != fired {
		return false
	}
	t.due = 0
	return true
}

func (w *wheel) link(t *timer) {
	head := &w.slot[t.due%slots]
	t.next, t.prev = *head, head
	if t.next != nil {
		t.next.prev = &t.next
	}
	*head = t
	w.count++
}

func (w *wheel) unlink(t *timer) {
	if t.prev == nil {
		return
	}
	*t.prev = t.next
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.next, t.prev = nil, nil
	w.count--
}

// run fires timers until ctx is done.
func (w *wheel) run(ctx context.Context) {
	var due []*timer
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		ticker := time.NewTicker(tick)
		for busy := true; busy; {
			select {
			case <-ctx.Done():
				ticker.Stop()
				return
			case <-ticker.C:
			}
			due, busy = w.turn(due[:0])
			for i, t := range due {
				t.owner.expire(t)
				due[i] = nil
			}
		}
		ticker.Stop()
	}
}

// turn moves the wheel to the present, and takes off what is due. Busy is
// false if the wheel is empty.
func (w *wheel) turn(due []*timer) (_ []*timer, busy bool) {
	present := int64(time.Since(w.epoch) / tick)
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.now < present {
		w.now++
		for t := w.slot[w.now%slots]; t != nil; {
			next := t.next
			if t.due <= w.now {
				w.unlink(t)
				t.due = fired
				due = append(due, t)
			}
			t = next
		}
	}
	return due, w.count > 0
}
