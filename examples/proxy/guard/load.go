package guard

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// calm is how long the load must have been low before all are served again.
const calm = int64(5 * time.Second)

// load is whether the proxy has more to do than it can.
type load struct {
	over atomic.Bool
	mu   sync.Mutex
	busy int64 // when it was not low last
}

// Observe tells how busy the proxy is: how many transactions it holds, and how
// late something ran that was due. It is to be called some times a second. From
// when one of them reaches its bound in [Config] until both have been below half
// of it for 5 s, [Guard.AdmitNew] sends strangers away. It returns whether that is so.
func (g *Guard) Observe(transactions int, delay time.Duration, now time.Time) (overloaded bool) {
	l, at := &g.load, g.since(now)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case transactions >= g.cfg.Transactions || delay >= g.cfg.Delay:
		l.over.Store(true)
		l.busy = at
	case transactions >= g.cfg.Transactions/2 || delay >= g.cfg.Delay/2:
		l.busy = at
	case at-l.busy >= calm:
		l.over.Store(false)
	}
	return l.over.Load()
}

// RetryAfter returns in how many seconds somebody who was refused may come
// again: 5 to 30, lest all come back at once.
func RetryAfter() int { return 5 + rand.IntN(26) }
