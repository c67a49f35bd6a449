package guard

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Failure says how a failure is to be told of. The zero Failure is none, or one
// that is not worth it.
type Failure struct {
	// Report tells that it is to be logged, or put into a table: only so many
	// are, of one source and of all.
	Report bool
	// Proven tells that the source is what it says. A packet filter that is fed
	// from the log must go by no other.
	Proven bool
	// Attempts are the failures of the source that a report stands for: this one,
	// and those before it that were not reported. 0 without a report. It may be too
	// low in a flood, and is never too high.
	Attempts int
}

// Failed notes that src has done something wrong. [Guard.Registered] does so for
// registrations itself. Nothing is noted of a trusted source: what that sends is
// never a sign of an attack.
func (g *Guard) Failed(src Source, reason Reason, now time.Time) Failure {
	return g.failed(src, reason, !src.forgeable(), g.since(now))
}

func (g *Guard) failed(src Source, reason Reason, proven bool, now int64) Failure {
	if g.trusted(src) {
		return Failure{}
	}
	n := g.hasher.address(src.Addr.Addr())
	g.count.failures[reason].Add(1)
	if !proven {
		g.count.unproven.Add(1)
	} else if !g.cfg.Live(src) && !g.known.bound(n.network, now) && g.offenders.add(n.network, now) {
		if events := g.bans.earn(n.network, reason, g.cfg.Terms, now); len(events) > 0 {
			g.count.earned.Add(1)
			g.tell(events)
		}
	}
	f := Failure{Report: g.reports.draw(n, now), Proven: proven}
	if f.Report {
		f.Attempts = 1 + g.untold.take(n)
	} else {
		g.untold.add(n)
	}
	return f
}

// reports limits what strangers may have written.
type reports struct {
	each limiter
	all  tokens
}

// newReports lets through what a log watcher needs to tell an attack: some at
// once of each address.
func newReports() reports {
	return reports{
		each: limiter{rate{int64(10 * time.Second), int64(200 * time.Second)}, newBuckets(14)},
		all:  tokens{rate{int64(50 * time.Millisecond), int64(10 * time.Second)}, new(bucket)},
	}
}

func (r *reports) draw(n hashed, now int64) bool { return draw(now, whole, r.each.of(n), r.all) }

// untold counts the failures of addresses that were not reported. One may take the
// place of another, whose count then begins anew.
type untold struct {
	slots [1 << 14]atomic.Uint64 // 40 bits of the hash, 24 of the number
}

const maxUntold = 1<<24 - 1

func (u *untold) of(n hashed) (slot *atomic.Uint64, tag uint64) {
	return &u.slots[n.sum%uint64(len(u.slots))], n.sum &^ maxUntold
}

func (u *untold) add(n hashed) {
	slot, tag := u.of(n)
	for {
		old := slot.Load()
		next := tag | 1
		if old&^maxUntold == tag {
			next = tag | min(old&maxUntold+1, maxUntold)
		}
		if slot.CompareAndSwap(old, next) {
			return
		}
	}
}

// take returns the number of n, which is 0 then.
func (u *untold) take(n hashed) int {
	slot, tag := u.of(n)
	old := slot.Load()
	if old&^maxUntold != tag || !slot.CompareAndSwap(old, tag) {
		return 0
	}
	return int(old & maxUntold)
}

// offenders counts the failures of addresses that have not earned a ban yet.
// Only what is proven gets here, so the others cannot push anybody out.
type offenders struct {
	max    int
	window int64
	mu     sync.Mutex
	lru    *simplelru.LRU[network, offense]
}

type offense struct {
	first int64 // when the window began
	count int
}

const maxOffenders = 16_384

func newOffenders(most int, window time.Duration) *offenders {
	o := &offenders{max: most, window: int64(window)}
	o.lru, _ = simplelru.NewLRU[network, offense](maxOffenders, nil)
	return o
}

// add counts a failure of n, and reports whether there are enough for a ban.
func (o *offenders) add(n network, now int64) bool {
	if o.max < 0 {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	f, ok := o.lru.Get(n)
	if !ok || now-f.first > o.window {
		f = offense{first: now}
	}
	f.count++
	if f.count >= o.max {
		o.lru.Remove(n)
		return true
	}
	o.lru.Add(n, f)
	return false
}

func (o *offenders) forget(n network) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lru.Remove(n)
}
