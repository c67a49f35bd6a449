package guard

import (
	"errors"
	"fmt"
	"maps"
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
	used  map[int]*usage // of the sets with a ceiling
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

// Seat is what a call has taken of its set. It is safe for concurrent use. The
// methods of a nil Seat do nothing.
type Seat struct {
	ceilings *Ceilings
	set      int
	usage    *usage
	ended    bool
}

// NewCeilings returns Ceilings without any.
func NewCeilings() *Ceilings {
	return &Ceilings{start: time.Now(), used: map[int]*usage{}}
}

// Set replaces the ceilings: own by set id, all for other sets. What is in use
// stays, over the new ceiling or not, but for sets that have none now. The error
// joins what is wrong; nothing has changed then.
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
	maps.DeleteFunc(c.used, func(set int, _ *usage) bool { return !c.of(set).ofCalls() })
	return nil
}

// ofCalls reports whether there is something to count of calls.
func (c ceiling) ofCalls() bool { return c.Calls > 0 || c.rate != rate{} }

// of needs the lock, as usage and tokens do.
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
		if n := (limit.Calls*share + whole - 1) / whole; c.usage(set).calls >= n {
			return &CeilingError{Calls, set, n}
		}
	}
	if limit.rate != (rate{}) && !c.tokens(set).left(c.since(now), int64(share)) {
		return &CeilingError{CallRate, set, 0}
	}
	return nil
}

func (c *Ceilings) tokens(set int) tokens { return tokens{c.of(set).rate, &c.usage(set).begun} }

func (c *Ceilings) since(now time.Time) int64 { return int64(now.Sub(c.start)) }

// Begin takes a seat for a call, for an INVITE outside a dialog. It is nil if the
// set has no ceiling for calls.
func (c *Ceilings) Begin(set int, now time.Time) *Seat {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.of(set).ofCalls() {
		return nil
	}
	c.tokens(set).take(c.since(now))
	u := c.usage(set)
	u.calls++
	return &Seat{ceilings: c, set: set, usage: u}
}

// Challenged says that the INVITE was answered with 401 or 407: no call was begun.
func (s *Seat) Challenged(now time.Time) {
	if s == nil {
		return
	}
	c := s.ceilings
	c.mu.Lock()
	defer c.mu.Unlock()
	tokens{c.of(s.set).rate, &s.usage.begun}.giveBack(c.since(now), 1)
}

// End gives the seat back, since the call has ended or will not begin. Only the
// first End counts.
func (s *Seat) End() {
	if s == nil {
		return
	}
	s.ceilings.mu.Lock()
	defer s.ceilings.mu.Unlock()
	if !s.ended {
		s.ended = true
		s.usage.calls-- // which nobody reads if the set has had no ceiling meanwhile
	}
}
