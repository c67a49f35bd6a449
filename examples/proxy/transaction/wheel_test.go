package transaction

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// alarm is the owner of a timer that notes when it expires.
type alarm struct {
	mu    sync.Mutex
	wheel *wheel
	timer timer
	due   time.Time
	fired []time.Time
}

func (a *alarm) expire(t *timer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.wheel.claim(t) {
		a.fired = append(a.fired, time.Now())
	}
}

func (a *alarm) start(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.due = time.Now().Add(d)
	a.wheel.start(&a.timer, d, a)
}

func (a *alarm) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.due = time.Time{}
	a.wheel.stop(&a.timer)
}

// onWheel calls f with a wheel that turns.
func onWheel(t *testing.T, f func(t *testing.T, w *wheel)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := newWheel()
		var wg sync.WaitGroup
		wg.Go(func() { w.run(ctx) })
		f(t, w)
		if n := w.len(); n != 0 {
			t.Errorf("%d timers are left", n)
		}
		cancel()
		wg.Wait()
	})
}

// Timers of any length fire once, never early and at most two ticks late,
// whatever ran before: the wheel may have stood still.
func TestWheel_Exact(t *testing.T) {
	onWheel(t, func(t *testing.T, w *wheel) {
		for range 300 {
			var alarms []*alarm
			for range rand.IntN(30) {
				a := &alarm{wheel: w}
				// Up to three turns of the wheel.
				a.start(time.Duration(rand.Int64N(int64(3 * slots * tick))))
				alarms = append(alarms, a)
				time.Sleep(time.Duration(rand.Int64N(int64(tick))))
			}
			time.Sleep(3*slots*tick + time.Duration(rand.Int64N(int64(time.Hour))))
			synctest.Wait()
			for _, a := range alarms {
				if len(a.fired) != 1 {
					t.Fatalf("fired %d times", len(a.fired))
				}
				if late := a.fired[0].Sub(a.due); late < 0 || late > 2*tick {
					t.Fatalf("fired %v late", late)
				}
			}
		}
	})
}

// A timer that was stopped does not fire; one that was started anew fires at
// its new time only.
func TestWheel_StopAndRestart(t *testing.T) {
	onWheel(t, func(t *testing.T, w *wheel) {
		a := &alarm{wheel: w}
		a.stop() // the zero timer
		for _, d := range []time.Duration{0, -time.Second, time.Second, 25 * time.Second} {
			a.fired = nil
			a.start(d)
			a.stop()
			time.Sleep(time.Minute)
			synctest.Wait()
			if len(a.fired) != 0 {
				t.Fatalf("stopped timer of %v fired", d)
			}
			a.start(d)
			a.start(40 * time.Second)
			time.Sleep(39 * time.Second)
			a.start(2 * time.Second)
			time.Sleep(time.Minute)
			synctest.Wait()
			if len(a.fired) != 1 || a.fired[0].Before(a.due) {
				t.Fatalf("timer of %v started anew fired %d times", d, len(a.fired))
			}
		}
	})
}

// A timer that is stopped or started anew after the wheel has taken it off, and
// before its owner has claimed it, does not fire.
func TestWheel_ClaimRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWheel()
		a, b, c := &alarm{wheel: w}, &alarm{wheel: w}, &alarm{wheel: w}
		for _, x := range []*alarm{a, b, c} {
			x.start(time.Second)
		}
		time.Sleep(2 * time.Second)
		due, busy := w.turn(nil)
		if len(due) != 3 || busy {
			t.Fatalf("%d timers are due and busy is %v, want 3 and false", len(due), busy)
		}
		a.stop()
		b.start(time.Second)
		for _, timer := range due {
			timer.owner.expire(timer)
			timer.owner.expire(timer) // a claim holds once
		}
		if len(a.fired) != 0 || len(b.fired) != 0 || len(c.fired) != 1 {
			t.Errorf("fired %d, %d and %d times, want 0, 0 and 1", len(a.fired), len(b.fired), len(c.fired))
		}
		time.Sleep(2 * time.Second)
		if due, _ = w.turn(due[:0]); len(due) != 1 || due[0] != &b.timer {
			t.Errorf("%d timers are due, want the one started anew", len(due))
		}
	})
}

// Timers that many goroutines start and stop while the wheel turns. It is for
// the race detector.
func TestWheel_Concurrent(t *testing.T) {
	onWheel(t, func(t *testing.T, w *wheel) {
		alarms := make([]*alarm, 20)
		for i := range alarms {
			alarms[i] = &alarm{wheel: w}
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 500 {
					a := alarms[rand.IntN(len(alarms))]
					if rand.IntN(3) == 0 {
						a.stop()
					} else {
						a.start(time.Duration(rand.Int64N(int64(4 * tick))))
					}
					time.Sleep(time.Duration(rand.Int64N(int64(tick))))
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		for _, a := range alarms {
			if n := len(a.fired); n > 0 && !a.due.IsZero() && a.fired[n-1].Before(a.due) {
				t.Errorf("the last start fired %v early", a.due.Sub(a.fired[n-1]))
			}
		}
	})
}

// An empty wheel costs nothing: its goroutine sleeps.
func TestWheel_Idle(t *testing.T) {
	onWheel(t, func(t *testing.T, w *wheel) {
		a := &alarm{wheel: w}
		a.start(time.Second)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		before := w.now
		time.Sleep(time.Hour)
		synctest.Wait()
		if w.now != before {
			t.Error("the empty wheel turned")
		}
	})
}

func BenchmarkWheel(b *testing.B) {
	w := newWheel()
	others := make([]alarm, 100_000) // as of 3,000 calls per second
	for i := range others {
		w.start(&others[i].timer, time.Duration(rand.Int64N(int64(32*time.Second))), &others[i])
	}
	var a alarm
	b.ReportAllocs()
	for b.Loop() {
		w.start(&a.timer, 32*time.Second, &a)
		w.start(&a.timer, 500*time.Millisecond, &a)
		w.stop(&a.timer)
	}
}
