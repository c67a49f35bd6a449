// Package dispatcher selects which PBX of a set takes a request, and watches
// which of them are alive.
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
// # Health
//
// A destination goes down after Config.Fall failures in a row, of the requests
// that the program reports with [Attempt.Report] and of the probes of
// [Dispatcher.Run], and comes back after Config.Rise probes in a row that found
// it alive. Requests that succeed do not bring it back: a proxy sends none to
// what is down. The health is that of a PBX, whatever the sets it is in: it is
// probed once, and goes down in all of them, though Select may see that in one
// set a moment before it does in another.
//
// A failure is judged once. Of an attempt the first report counts; attempts from
// before a destination went down or came back do not count at all; and of those
// that fail within a second, as all requests of a connection do that breaks, one
// counts.
//
// The package knows no DNS. A PBX whose name has several addresses is given as
// one destination for each address, with the address in the URI, so that each
// has its own health.
//
// Selecting takes no locks and does not allocate if the caller lends the
// buffer.
package dispatcher

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Errors of [Dispatcher.Select] and [Dispatcher.Peek].
var (
	// ErrNoSet reports a set without destinations, usable or not.
	ErrNoSet = errors.New("dispatcher: no such set")

	// ErrAllDown reports a set without a usable destination.
	ErrAllDown = errors.New("dispatcher: all destinations are down")
)

// Config configures a [Dispatcher]. The zero Config selects by [Affinity], and
// probes nothing.
type Config struct {
	// Policy orders the destinations. Nil is that of Affinity.
	Policy Policy

	// Sets has the policies of the sets that do not use Policy, by set id.
	Sets map[int]Policy

	// Fall is how many failures in a row take a destination down; 2 if less
	// than 1.
	Fall int

	// Rise is how many probes in a row must find a destination alive that is
	// down to bring it back; 1 if less than 1.
	Rise int

	// SlowStart is how long a destination that comes back takes to get its full
	// share of the requests. The share grows evenly from nothing; what is
	// withheld goes to what would be next. 0 is no time.
	SlowStart time.Duration

	// TryIfAllDown makes all destinations of a set usable that are not
	// [Inactive], if none is [Active]. Otherwise Select has ErrAllDown then.
	TryIfAllDown bool

	// Ping sends a probe, such as an OPTIONS request, to URI from Socket of d
	// and returns the status of the final response, or why there is none. It
	// must return when ctx ends, and is called concurrently, but for one d only
	// once at a time. Nil probes nothing; see [Dispatcher.Run].
	Ping func(ctx context.Context, d Destination) (status int, err error)

	// Interval is the time between two probes of a destination; 30 seconds if 0
	// or less.
	Interval time.Duration

	// Timeout is how long Ping may take; 4 seconds if 0 or less.
	Timeout time.Duration

	// Alive tells of the status of a response to a probe whether it comes from
	// a PBX that works. Nil takes all but 408 and 5xx for a sign of life, and
	// 501: a PBX that does not know OPTIONS, or does not let us, is not dead.
	// OpenSIPS takes 200 unless told otherwise.
	Alive func(status int) bool

	// OnTransition is told when a destination goes down or comes back, but not
	// of what an operator does. See [Event]. Nil for nobody.
	OnTransition func(Event)
}

// Dispatcher keeps the destinations of all sets and selects among them. It is
// safe for concurrent use.
type Dispatcher struct {
	cfg   Config
	table atomic.Pointer[table]

	// mu guards what follows, all fields of each health that say so, and who
	// replaces the table.
	mu         sync.Mutex
	events     []Event // not yet told
	delivering bool
}

// table is what Update replaces as a whole. It is not changed, but for the sets
// of a PBX that goes down or comes back.
type table struct {
	sets    map[int]*atomic.Pointer[Set]
	in      map[*health][]int // ids of its sets, in order
	health  map[address]*health
	targets []target
}

// set returns a set as it is now; nil if there is none.
func (t *table) set(id int) *Set {
	if p := t.sets[id]; p != nil {
		return p.Load()
	}
	return nil
}

// New returns a Dispatcher without destinations.
func New(cfg Config) *Dispatcher {
	if cfg.Policy == nil {
		cfg.Policy = Affinity.Policy()
	}
	cfg.Sets = maps.Clone(cfg.Sets)
	if cfg.Fall < 1 {
		cfg.Fall = 2
	}
	if cfg.Rise < 1 {
		cfg.Rise = 1
	}
	if cfg.Interval <= 0 {
		cfg.Interval = 30 * time.Second
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 4 * time.Second
	}
	if cfg.Alive == nil {
		cfg.Alive = alive
	}
	if cfg.OnTransition == nil {
		cfg.OnTransition = func(Event) {}
	}
	d := &Dispatcher{cfg: cfg}
	d.table.Store(new(table))
	return d
}

// Update replaces all destinations by dst, which it copies. Selections see
// either the old ones or the new ones, all of them. Round robin goes on where
// it was.
//
// A destination that was there before keeps its health, whether its State is
// [Active] or [Probing] now: a table knows less, and later. State counts for
// what is new, in which case Probing in any set is the state of the PBX, and if
// it is [Inactive], or was until now. The health of what is no longer there is
// forgotten.
//
// It fails, and changes nothing, if a destination is not valid or a set has
// one twice; the error joins all faults.
func (d *Dispatcher) Update(dst []Destination) error {
	if err := validate(dst); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.table.Store(d.newTable(dst, time.Now()))
	return nil
}

// newTable returns the table of dst, which is valid.
func (d *Dispatcher) newTable(dst []Destination, now time.Time) *table {
	old := d.table.Load()
	t := &table{sets: make(map[int]*atomic.Pointer[Set]), in: make(map[*health][]int), health: make(map[address]*health)}
	bySet := make(map[int][]Destination)
	watched := make(map[*health]int) // an operator wants them: places in t.targets
	for _, x := range dst {
		bySet[x.SetID] = append(bySet[x.SetID], x)
		h := t.health[x.address()]
		if h == nil {
			if h = old.health[x.address()]; h == nil {
				h = new(health)
			}
			t.health[x.address()] = h
		}
		if x.State == Inactive {
			continue
		}
		if i, ok := watched[h]; !ok {
			watched[h] = len(t.targets)
			t.targets = append(t.targets, target{x, h, identityHash(x)})
		} else if !x.ProbeDown {
			t.targets[i].ProbeDown = false
		}
		if !h.watched && x.State == Probing {
			h.down = true
		}
	}
	slices.SortFunc(t.targets, func(a, b target) int { return cmp.Compare(a.phase, b.phase) })
	for _, h := range t.health {
		_, on := watched[h]
		h.watch(on, now)
	}
	for _, id := range slices.Sorted(maps.Keys(bySet)) {
		set := d.newSet(id, bySet[id], t.health, old.set(id))
		t.sets[id] = new(atomic.Pointer[Set])
		t.sets[id].Store(set)
		for _, h := range set.health {
			t.in[h] = append(t.in[h], id)
		}
	}
	return t
}

func (d *Dispatcher) policyOf(setID int) Policy {
	if p := d.cfg.Sets[setID]; p != nil {
		return p
	}
	return d.cfg.Policy
}

// Select appends all usable destinations of a set to buf, in the order in
// which to try them, and returns the extended buffer. Only [Active]
// destinations are usable, or if there is none, with Config.TryIfAllDown, those
// that are [Probing]. Those of weight 0 come last: they get requests when all
// others have failed.
//
// The key is what requests of the same kind have in common, as
// [Algorithm.Key] says for the algorithms; policies without one ignore it. Pass
// buf[:0] of a buffer with enough capacity to avoid an allocation; nil is fine.
//
// The error is [ErrNoSet] or [ErrAllDown]; buf comes back as it was then.
func (d *Dispatcher) Select(setID int, key string, buf []Destination) ([]Destination, error) {
	return d.table.Load().set(setID).order(key, buf)
}

// Peek is Select for whoever only wants to know: it takes nobody's turn, so that
// the next Select has the same order, unless its policy draws it or something
// happens in between. It costs a lock and allocations.
func (d *Dispatcher) Peek(setID int, key string, buf []Destination) ([]Destination, error) {
	return d.still(setID).order(key, buf)
}

// still returns a copy of a set with turns of its own; nil if there is no set.
func (d *Dispatcher) still(setID int) *Set {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.table.Load()
	set := t.set(setID)
	if set == nil {
		return nil
	}
	still := d.newSet(setID, set.members, t.health, nil)
	still.turn.Store(set.turn.Load())
	still.startsTurn.Store(set.startsTurn.Load())
	return still
}
