package guard

import (
	"math"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxBans is how many bans there are, with those that have ended and are
	// remembered.
	maxBans = 10_000
	// memory is how long something that is over is remembered: a ban, so that
	// the next takes longer, and that a phone was registered.
	memory = int64(24 * time.Hour)

	forever = math.MaxInt64
)

// bans are the networks that are not served, or were not. None of them has a
// trusted address.
type bans struct {
	start   time.Time
	hasher  hasher
	trusted atomic.Pointer[prefixes]

	// Ends has the time at which the last ban of a bucket's networks ends, or a
	// later one. So hardly anybody but those who are banned looks into the
	// table, which has a lock.
	ends   buckets
	v4, v6 atomic.Uint64 // sizes of networks that are or were banned

	mu    sync.RWMutex
	table map[network]*record
}

// record is a ban as it is kept. It is never changed.
type record struct {
	Ban
	network network
	end     int64
}

func newBans(start time.Time, h hasher) *bans {
	b := &bans{start: start, hasher: h, ends: newBuckets(16), table: map[network]*record{}}
	b.trusted.Store(new(prefixes))
	return b
}

// sizes returns the sizes of the networks of a family, as the type sizes.
func (b *bans) sizes(v6 bool) *atomic.Uint64 {
	if v6 {
		return &b.v6
	}
	return &b.v4
}

// find returns a ban in force for a, one set by hand if there is one. Address is
// the network of a, which most bans are for.
func (b *bans) find(a netip.Addr, address hashed, now int64) (found *record) {
	size, others := sizes(b.sizes(address.v6()).Load()).next()
	for ; size > 0; size, others = others.next() {
		n := address
		if size != address.bits() {
			n = b.hasher.hash(networkOf(a, size, size))
		}
		if b.ends.of(n).debt(now) == 0 {
			continue
		}
		b.mu.RLock()
		r := b.table[n.network]
		b.mu.RUnlock()
		if r != nil && r.end > now && (found == nil || r.Count == 0) {
			found = r
		}
	}
	return found
}

// put adds a ban of n. The events are what to tell of, error or not.
func (b *bans) put(n network, ban Ban, now int64) ([]Event, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.add(n, ban, now)
}

// earn bans n for the term that it has earned, unless it is banned already.
func (b *bans) earn(n network, reason Reason, terms []time.Duration, now int64) []Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	count := 1
	if r := b.table[n]; r != nil && now-memory < r.end {
		if r.end > now {
			return nil
		}
		count = r.Count + 1
	}
	// Others keep the end, so it goes without the monotonic reading.
	until := b.start.Add(time.Duration(now) + terms[min(count, len(terms))-1]).Round(0)
	events, _ := b.add(n, Ban{Until: until, Reason: reason.String(), Count: count}, now) // none if trusted, or without room
	return events
}

// add needs the lock.
func (b *bans) add(n network, ban Ban, now int64) ([]Event, error) {
	ban.Prefix = n.prefix()
	if b.trusted.Load().overlaps(ban.Prefix) {
		return nil, ErrTrusted
	}
	r := &record{Ban: ban, network: n, end: forever}
	if !ban.Until.IsZero() {
		r.end = int64(ban.Until.Sub(b.start))
	}
	var events []Event
	if b.table[n] == nil {
		var ok bool
		if events, ok = b.makeRoom(now); !ok {
			return nil, ErrFull
		}
	}
	b.table[n] = r
	b.sizes(n.v6()).Or(uint64(sizes(0).with(n.bits())))
	b.ends.of(b.hasher.hash(n)).raise(r.end)
	if r.end > now {
		events = append(events, Event{Ban: ban})
	}
	return events, nil
}

// makeRoom makes room for one ban, and reports whether it could: at the cost of
// what was remembered too long, or else of the ban that ends first, but never of
// one set by hand.
func (b *bans) makeRoom(now int64) ([]Event, bool) {
	if len(b.table) < maxBans {
		return nil, true
	}
	var first *record
	for n, r := range b.table {
		if r.end <= now-memory || r.Count == 0 && r.end <= now {
			delete(b.table, n)
		} else if r.Count > 0 && (first == nil || r.end < first.end) {
			first = r
		}
	}
	if len(b.table) < maxBans {
		return nil, true
	}
	if first == nil {
		return nil, false
	}
	delete(b.table, first.network)
	return lifted(nil, first, now), true
}

// lift removes the bans that match.
func (b *bans) lift(now int64, match func(*record) bool) (events []Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for n, r := range b.table {
		if match(r) {
			delete(b.table, n)
			events = lifted(events, r, now)
		}
	}
	return events
}

// lifted adds the event that r is gone, if it was in force.
func lifted(events []Event, r *record, now int64) []Event {
	if r.end <= now {
		return events
	}
	return append(events, Event{Ban: r.Ban, Lifted: true})
}

// trust sets the trusted addresses. A ban that comes at the same time either
// sees them or is seen.
func (b *bans) trust(p prefixes, now int64) []Event {
	b.trusted.Store(&p)
	return b.lift(now, func(r *record) bool { return p.overlaps(r.Prefix) })
}

// all returns the bans that match, in the order of their prefixes.
func (b *bans) all(match func(*record) bool) []Ban {
	var list []Ban
	b.mu.RLock()
	for _, r := range b.table {
		if match(r) {
			list = append(list, r.Ban)
		}
	}
	b.mu.RUnlock()
	slices.SortFunc(list, func(x, y Ban) int { return x.Prefix.Compare(y.Prefix) })
	return list
}
