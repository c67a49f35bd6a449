// Package dispatcher selects which PBX of a set takes a request.
//
// A set is a group of destinations that can stand in for each other, usually
// the PBXes of one customer. [Dispatcher.Select] puts those of a set that are
// usable in the order in which to try them: the first is the choice, the
// others are for failover. The order comes from a [Policy]; [Algorithm] has
// those with a name.
//
// Affinity is the default and what registrations need: all requests with the
// same key, the AOR, meet the same PBX, so that a REGISTER with credentials
// comes to the PBX that issued the nonce, and a call to the PBX where its
// caller is registered. It is weighted rendezvous hashing: a destination that
// fails moves its own keys and no others.
//
// Selecting takes no locks and does not allocate if the caller lends the
// buffer.
package dispatcher

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// Errors of [Dispatcher.Select].
var (
	// ErrNoSet reports a set without destinations, usable or not.
	ErrNoSet = errors.New("dispatcher: no such set")

	// ErrAllDown reports a set of which no destination is [Active].
	ErrAllDown = errors.New("dispatcher: all destinations are down")
)

// Config configures a [Dispatcher]. The zero Config selects by [Affinity].
type Config struct {
	// Policy orders the destinations. Nil is that of Affinity.
	Policy Policy

	// Sets has the policies of the sets that do not use Policy, by set id.
	Sets map[int]Policy
}

// Dispatcher keeps the destinations of all sets and selects among them. It is
// safe for concurrent use.
type Dispatcher struct {
	policy   Policy
	policies map[int]Policy

	update sync.Mutex // serializes Update
	sets   atomic.Pointer[map[int]*Set]
}

// New returns a Dispatcher without destinations.
func New(cfg Config) *Dispatcher {
	if cfg.Policy == nil {
		cfg.Policy = Affinity.Policy()
	}
	d := &Dispatcher{policy: cfg.Policy, policies: maps.Clone(cfg.Sets)}
	d.sets.Store(new(map[int]*Set))
	return d
}

// Update replaces all destinations by dst, which it copies. Selections see
// either the old ones or the new ones, all of them. Round robin goes on where
// it was.
//
// It fails, and changes nothing, if a destination is not valid or a set has
// one twice; the error joins all faults.
func (d *Dispatcher) Update(dst []Destination) error {
	if err := validate(dst); err != nil {
		return err
	}
	bySet := make(map[int][]Destination)
	for _, x := range dst {
		bySet[x.SetID] = append(bySet[x.SetID], x)
	}

	d.update.Lock()
	defer d.update.Unlock()
	old := *d.sets.Load()
	sets := make(map[int]*Set, len(bySet))
	for id, members := range bySet {
		sets[id] = newSet(id, members, d.policyOf(id), old[id])
	}
	d.sets.Store(&sets)
	return nil
}

func (d *Dispatcher) policyOf(setID int) Policy {
	if p := d.policies[setID]; p != nil {
		return p
	}
	return d.policy
}

// Select appends all usable destinations of a set to buf, in the order in
// which to try them, and returns the extended buffer. Only [Active]
// destinations are usable, and those of weight 0 come last: they get requests
// when all others have failed.
//
// The key is what requests of the same kind have in common, as
// [Algorithm.Key] says for the algorithms; policies without one ignore it. Pass
// buf[:0] of a buffer with enough capacity to avoid an allocation; nil is fine.
//
// The error is [ErrNoSet] or [ErrAllDown]; buf comes back as it was then.
func (d *Dispatcher) Select(setID int, key string, buf []Destination) ([]Destination, error) {
	set := (*d.sets.Load())[setID]
	switch {
	case set == nil:
		return buf, ErrNoSet
	case len(set.usable) == 0:
		return buf, ErrAllDown
	}
	return set.policy.Append(buf, set, key), nil
}

// Status returns a copy of all destinations, usable or not, by set id and
// then as in Update.
func (d *Dispatcher) Status() []Destination {
	sets := slices.SortedFunc(maps.Values(*d.sets.Load()), func(a, b *Set) int {
		return cmp.Compare(a.id, b.id)
	})
	var all []Destination
	for _, set := range sets {
		all = append(all, set.members...)
	}
	return all
}
