package locationtest

import (
	"sync"
	"time"
)

// Clock is a clock that stands still until it is told to advance. It always
// shows a whole second, as stores may keep times no finer. Its methods may be
// called concurrently.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a Clock that shows noon of some day.
func NewClock() *Clock {
	return &Clock{now: time.Date(2026, time.March, 14, 12, 0, 0, 0, time.UTC)}
}

// Now returns the time that c shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance sets c forward by d, or back if d is negative. Parts of seconds are
// dropped.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d.Truncate(time.Second))
}
