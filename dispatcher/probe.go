package dispatcher

import (
	"context"
	"math/bits"
	"sort"
	"sync"
	"time"
)

// target is what is probed. Its destination is the first with its health, but with
// the ProbeDown of all of them. A table has its targets by phase.
type target struct {
	Destination
	health *health
	phase  uint64 // when in the interval, in parts of 2^64
}

// Run probes all destinations that are not [Inactive], in all states unless
// [Destination.ProbeDown] says otherwise: each once in an Interval, at a time of
// its own that its URI and Socket determine, so that they spread over it. A probe
// that is still on its way then is not joined by another one.
//
// Without Config.Ping nobody finds out that a destination is alive again. Run
// takes it into service then after one Interval, or two at most, that it has
// been down; the first failure takes it down again.
//
// Run is to be called once. It blocks until ctx ends and all probes have
// returned, which do not count then, and returns nil. Without it nothing comes
// back that went down.
func (d *Dispatcher) Run(ctx context.Context) error {
	var probes sync.WaitGroup
	defer probes.Wait()
	start := time.Now()
	for done := time.Duration(0); ; {
		elapsed := time.Since(start)
		due, wait := d.due(done, elapsed)
		if d.cfg.Ping == nil {
			due, wait = d.table.Load().targets, min(time.Second, d.cfg.Interval)
		}
		for _, t := range due {
			if d.cfg.Ping == nil {
				d.release(t.health)
			} else if d.wanted(t) && t.health.probed.CompareAndSwap(false, true) {
				probes.Go(func() { d.probe(ctx, t) })
			}
		}
		done = elapsed
		// A thousand PBXes need not be a thousand reasons to wake up.
		wait = max(wait, min(atOnce, d.cfg.Interval/4))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// atOnce is the time within which probes that are due are sent together.
const atOnce = 100 * time.Millisecond

// due returns the targets whose times are after done and not after elapsed, both
// counted from the start of Run, and how long it is until there may be others.
func (d *Dispatcher) due(done, elapsed time.Duration) (due []target, wait time.Duration) {
	interval, all := d.cfg.Interval, d.table.Load().targets
	wait = min(interval, time.Second) // Update may have brought new ones
	if len(all) == 0 {
		return nil, wait
	}
	at := func(i int) time.Duration { // counted from the start of a round
		hi, _ := bits.Mul64(all[i%len(all)].phase, uint64(interval))
		return time.Duration(hi)
	}
	next := sort.Search(len(all), func(i int) bool { return at(i) > done%interval })
	for range all {
		ahead := (at(next) - done%interval + interval) % interval // of done
		if ahead == 0 {
			ahead = interval
		}
		if ahead > elapsed-done {
			return due, min(wait, ahead-(elapsed-done))
		}
		due = append(due, all[next%len(all)])
		next++
	}
	return due, wait // all of them, after a long pause
}

// wanted reports whether t is to be probed as it is now.
func (d *Dispatcher) wanted(t target) bool {
	if !t.ProbeDown {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return t.health.down
}

// probe asks t once if it is alive.
func (d *Dispatcher) probe(ctx context.Context, t target) {
	defer t.health.probed.Store(false)
	began := time.Now()
	timeout, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	status, err := d.cfg.Ping(timeout, t.Destination)
	if ctx.Err() != nil {
		return
	}
	d.judge(t.health, sign{
		probe: true, began: began, status: status, err: err,
		alive: err == nil && d.cfg.Alive(status),
	})
}

// alive is the default of Config.Alive.
func alive(status int) bool {
	const timeout, serverError, notImplemented, globalFailure = 408, 500, 501, 600
	return status != timeout && (status < serverError || status >= globalFailure) || status == notImplemented
}

// release takes a destination into service on trial that has been down for long
// enough, as there are no probes.
func (d *Dispatcher) release(h *health) {
	if !h.troubled.Load() {
		return
	}
	d.mu.Lock()
	now := time.Now()
	long := h.watched && h.down && now.Sub(h.since) >= d.cfg.Interval
	if long {
		d.turn(h, "on trial, as nothing is probed", now)
		h.streak = d.cfg.Fall - 1
	}
	d.mu.Unlock()
	if long {
		d.deliver()
	}
}
