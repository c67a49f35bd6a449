package guard

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"
)

var (
	// ErrRegistrations is for a tenant with as many registered users as it may
	// have. The answer is 403.
	ErrRegistrations = errors.New("guard: too many registrations")
	// ErrCalls is for a tenant with as many calls as it may have. The answer is
	// 503.
	ErrCalls = errors.New("guard: too many calls")
	// ErrCallRate is for a tenant that begins calls too fast. The answer is 503
	// with a Retry-After of some seconds.
	ErrCallRate = errors.New("guard: too many calls a second")
)

// Ceiling is what a tenant may have. The zero Ceiling is none.
type Ceiling struct {
	Registrations int   // AORs with a binding; no limit if 0
	Calls         int   // at a time; no limit if 0
	Rate          Limit // calls begun; no limit if zero
}

// Ceilings holds the tenants, by their set id, to what they may have. All methods
// may be called concurrently, with the present time.
//
// It counts in memory, and only what has a ceiling. After a restart,
// registrations count as they are refreshed, and calls in progress do not.
type Ceilings struct {
	start time.Time
	mu    sync.Mutex
	all   ceiling
	own   map[int]ceiling
	used  map[int]*usage
}

// ceiling is a [Ceiling] with a valid Rate.
type ceiling struct {
	Ceiling
	rate rate
}

// usage is what one tenant has.
type usage struct {
	aors, calls seats
	begun       bucket
}

// NewCeilings returns Ceilings without any.
func NewCeilings() *Ceilings { return &Ceilings{start: time.Now(), used: map[int]*usage{}} }

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
	maps.DeleteFunc(c.used, func(set int, _ *usage) bool { return c.of(set).Ceiling == Ceiling{} })
	return nil
}

// of needs the lock.
func (c *Ceilings) of(set int) ceiling {
	if own, ok := c.own[set]; ok {
		return own
	}
	return c.all
}

// usage needs the lock.
func (c *Ceilings) usage(set int) *usage {
	u := c.used[set]
	if u == nil {
		u = &usage{aors: newSeats(), calls: newSeats()}
		c.used[set] = u
	}
	return u
}

// Register returns nil if the AOR may register: it is registered already, or
// there is room. The error wraps [ErrRegistrations]. Nothing is taken yet: who
// only asks for a registration must not use up those of others.
func (c *Ceilings) Register(set int, aor string, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	most := c.of(set).Registrations
	if most == 0 || c.usage(set).aors.room(aor, most, now) {
		return nil
	}
	return fmt.Errorf("%w: set %d has %d", ErrRegistrations, set, most)
}

// Registered counts the AOR until its last binding ends; not any more if that is
// not after now.
func (c *Ceilings) Registered(set int, aor string, until, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of(set).Registrations == 0 {
		return
	}
	u := c.usage(set)
	u.aors.leave(aor)
	if until.After(now) {
		u.aors.take(aor, until)
	}
}

// maxCalls is for a tenant whose calls are counted for their rate only.
const maxCalls = 1_000_000

// Call takes a call for an INVITE outside a dialog, until [Ceilings.Ended] or
// at last until then. An INVITE with the same Call-ID is the same call. Those
// from nobody we know, neither a PBX nor a registered phone, get half of what
// there is. The error wraps [ErrCalls] or [ErrCallRate].
func (c *Ceilings) Call(set int, callID string, known bool, until, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	limit := c.of(set)
	if limit.Calls == 0 && limit.rate.each == 0 {
		return nil
	}
	share := half
	if known {
		share = whole
	}
	u := c.usage(set)
	if most := (cmp.Or(limit.Calls, maxCalls) + share - 1) / share; !u.calls.room(callID, most, now) {
		return fmt.Errorf("%w: set %d has %d", ErrCalls, set, most)
	}
	if !u.calls.has(callID, now) {
		begun, at := tokens{limit.rate, &u.begun}, int64(now.Sub(c.start))
		if !begun.left(at, int64(share)) {
			return fmt.Errorf("%w: set %d", ErrCallRate, set)
		}
		begun.take(at)
	}
	u.calls.take(callID, until)
	return nil
}

// Ended gives a call back: when its INVITE has a final response that is not 2xx,
// and when it is over. Status is that response, or 0. If it is a challenge, 401
// or 407, no call was begun.
func (c *Ceilings) Ended(set int, callID string, status int, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.used[set]
	if u == nil || !u.calls.has(callID, now) {
		return
	}
	u.calls.leave(callID)
	if status == 401 || status == 407 {
		tokens{c.of(set).rate, &u.begun}.giveBack(int64(now.Sub(c.start)), 1)
	}
}

// seats are what is taken, each until a time.
type seats struct {
	until map[string]time.Time
	swept time.Time
}

func newSeats() seats { return seats{until: map[string]time.Time{}} }

func (s *seats) has(key string, now time.Time) bool { return s.until[key].After(now) }

// room reports whether key has a seat, or there are fewer than most.
func (s *seats) room(key string, most int, now time.Time) bool {
	if s.has(key, now) || len(s.until) < most {
		return true
	}
	if now.Sub(s.swept) < time.Second { // a flood must not have us search each time
		return false
	}
	s.swept = now
	maps.DeleteFunc(s.until, func(_ string, until time.Time) bool { return !until.After(now) })
	return len(s.until) < most
}

// take keeps a copy of key, which may be a part of a message.
func (s *seats) take(key string, until time.Time) { s.until[strings.Clone(key)] = until }

func (s *seats) leave(key string) { delete(s.until, key) }
