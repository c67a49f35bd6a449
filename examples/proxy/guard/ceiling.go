package guard

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"
)

// Resource is what a tenant can have too much of.
type Resource uint8

// The resources.
const (
	Registrations Resource = iota
	Calls
	CallRate

	resources = iota
)

// String returns a word for metrics and logs.
func (r Resource) String() string {
	switch r {
	case Registrations:
		return "registrations"
	case Calls:
		return "calls"
	case CallRate:
		return "call_rate"
	}
	return "unknown"
}

// Resources returns all resources, for counters that must exist from the start.
func Resources() []Resource {
	all := make([]Resource, resources)
	for i := range all {
		all[i] = Resource(i)
	}
	return all
}

// CeilingError says that a tenant has all that it may have. For registrations the
// answer is 403: to come again is of no use until somebody else is gone. For calls
// it is 503 with a Retry-After.
type CeilingError struct {
	Resource Resource
	Set      int
	Most     int // how many it may have; of the rate 0
}

// Error implements error.
func (e *CeilingError) Error() string {
	switch e.Resource {
	case Registrations:
		return fmt.Sprintf("guard: set %d has its %d registered users", e.Set, e.Most)
	case Calls:
		return fmt.Sprintf("guard: set %d has its %d calls", e.Set, e.Most)
	}
	return fmt.Sprintf("guard: set %d begins calls too fast", e.Set)
}

// Ceiling is what a tenant may have. The zero Ceiling is none.
type Ceiling struct {
	Registrations int   // AORs with a binding; no limit if 0
	Calls         int   // at a time; no limit if 0
	Rate          Limit // calls begun; no limit if zero
}

// Ceilings holds the tenants, by their set id, to what they may have. All methods
// may be called concurrently, with the present time. To ask takes nothing: who
// only tries must not use up what is there for others. Those who ask at the same
// moment may get some too many.
//
// Calls are counted in memory, from when there is a ceiling. After a restart,
// those in progress do not count.
type Ceilings struct {
	start time.Time
	mu    sync.Mutex
	all   ceiling
	own   map[int]ceiling
	used  map[int]*usage
	calls map[string]*seat // by what the caller knows them by
	swept time.Time
}

// ceiling is a [Ceiling] with a valid Rate.
type ceiling struct {
	Ceiling
	rate rate
}

// usage is what one tenant has.
type usage struct {
	calls int
	begun bucket
}

// seat is what calls with the same ID have taken.
type seat struct {
	set, calls int
	until      time.Time
}

// NewCeilings returns Ceilings without any.
func NewCeilings() *Ceilings {
	return &Ceilings{start: time.Now(), used: map[int]*usage{}, calls: map[string]*seat{}}
}

// Set replaces the ceilings: own by set id, all for other sets. What is in use
// stays, over the new ceiling or not. The error joins what is wrong; nothing has
// changed then.
func (c *Ceilings) Set(all Ceiling, own map[int]Ceiling) error {
	var errs []error
	valid := func(set string, in Ceiling) ceiling {
		r, err := in.Rate.rate("Rate of "+set, Limit{Rate: -1})
		if in.Registrations < 0 || in.Calls < 0 {
			err = errors.Join(err, fmt.Errorf("guard: ceiling of %s is negative", set))
		}
		errs = append(errs, err)
		return ceiling{in, r}
	}
	newAll, newOwn := valid("all sets", all), map[int]ceiling{}
	for set, in := range own {
		newOwn[set] = valid(fmt.Sprintf("set %d", set), in)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all, c.own = newAll, newOwn
	c.drop(func(s *seat) bool { return c.of(s.set).Calls == 0 })
	maps.DeleteFunc(c.used, func(set int, u *usage) bool { return u.calls == 0 && c.of(set).rate == rate{} })
	return nil
}

// of needs the lock, as all below that is not exported.
func (c *Ceilings) of(set int) ceiling {
	if own, ok := c.own[set]; ok {
		return own
	}
	return c.all
}

func (c *Ceilings) usage(set int) *usage {
	u := c.used[set]
	if u == nil {
		u = &usage{}
		c.used[set] = u
	}
	return u
}

// Register returns nil if one more AOR may register. Registered tells how many
// have, and is not called if any number may; it may be late by some. The error is
// a [CeilingError].
func (c *Ceilings) Register(set int, registered func() int) error {
	c.mu.Lock()
	most := c.of(set).Registrations
	c.mu.Unlock()
	if most == 0 || registered() < most {
		return nil
	}
	return &CeilingError{Registrations, set, most}
}

// Call returns nil if a call may begin. Those from nobody we know, neither a PBX
// nor a registered phone, get half of what there is. The error is a
// [CeilingError].
func (c *Ceilings) Call(set int, known bool, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	limit, share := c.of(set), half
	if known {
		share = whole
	}
	if limit.Calls > 0 {
		if n := (limit.Calls*share + whole - 1) / whole; !c.room(set, n, now) {
			return &CeilingError{Calls, set, n}
		}
	}
	if limit.rate != (rate{}) && !c.tokens(set).left(c.since(now), int64(share)) {
		return &CeilingError{CallRate, set, 0}
	}
	return nil
}

// room reports whether a set has fewer calls than most.
func (c *Ceilings) room(set, most int, now time.Time) bool {
	u := c.usage(set)
	if u.calls < most {
		return true
	}
	if now.Sub(c.swept) < time.Second { // a flood must not have us search each time
		return false
	}
	c.swept = now
	c.drop(func(s *seat) bool { return !s.until.After(now) })
	return u.calls < most
}

// drop ends the calls of which gone is true.
func (c *Ceilings) drop(gone func(*seat) bool) {
	maps.DeleteFunc(c.calls, func(_ string, s *seat) bool {
		if !gone(s) {
			return false
		}
		c.used[s.set].calls -= s.calls
		return true
	})
}

func (c *Ceilings) tokens(set int) tokens { return tokens{c.of(set).rate, &c.usage(set).begun} }

func (c *Ceilings) since(now time.Time) int64 { return int64(now.Sub(c.start)) }

// Begin takes a call for an INVITE outside a dialog, until it is told of its end,
// or at last until then. Several with the same id are as many calls, of the set of
// the first one. It reports whether the set has a ceiling, so that the end
// matters. Id is copied.
func (c *Ceilings) Begin(set int, id string, until, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	limit := c.of(set)
	if limit.Calls == 0 && limit.rate == (rate{}) {
		return false
	}
	c.tokens(set).take(c.since(now))
	if limit.Calls == 0 {
		return true
	}
	s := c.calls[id]
	if s == nil {
		s = &seat{set: set}
		c.calls[strings.Clone(id)] = s // which may be a part of a message
	}
	s.calls++
	s.until = until
	c.usage(s.set).calls++
	return true
}

// Fail ends a call whose INVITE has a final response that is not 2xx, or will have
// none. If that is a challenge, 401 or 407, no call was begun.
func (c *Ceilings) Fail(set int, id string, status int, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if status == 401 || status == 407 {
		c.tokens(set).giveBack(c.since(now), 1)
	}
	c.end(id)
}

// End ends a call that was hung up. One that is not counted is none.
func (c *Ceilings) End(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(id)
}

func (c *Ceilings) end(id string) {
	s := c.calls[id]
	if s == nil {
		return
	}
	c.used[s.set].calls--
	if s.calls--; s.calls == 0 {
		delete(c.calls, id)
	}
}
