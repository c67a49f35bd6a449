package location

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Change says what one accepted REGISTER does to an AOR. The parts apply in
// the order of the fields, all of them or none (RFC 3261 section 10.3 step 7).
// Stored bindings that have expired count as absent. The zero Change changes
// nothing.
type Change struct {
	// CallID and CSeq are those of the REGISTER. Reset and Remove are stale if
	// a binding that they would drop has the same Call-ID and a higher CSeq.
	CallID string
	CSeq   uint32

	Reset  bool      // "Contact: *": drop all bindings
	Remove []Binding // expires=0: drop what is [Binding.Same]; only Contact, Instance and RegID are read

	// Put adds bindings or refreshes stored ones. Each replaces all stored
	// bindings that are the [Binding.Same] by instance or Contact; only if
	// there are none, those that are the Same by flow and user agent. It is
	// stale if one of them has its Call-ID and a higher CSeq than it has; an
	// equal CSeq is a repeat and is applied again.
	//
	// Of two Puts that are the Same by instance or Contact the later one
	// counts. Puts of one Change never replace each other by flow and user
	// agent. One that has already expired replaces, and then is dead itself.
	Put []Binding

	// Keep then limits the AOR to this many bindings: the least recently
	// updated ones go, but never one that was just put. 0 keeps all.
	Keep int
}

// Effect is what a [Change] comes to for the stored bindings of one AOR.
// Bindings that are neither in Drop nor replaced stay as they are.
type Effect struct {
	Drop []int   // indexes of stored bindings that go and have no successor, ascending
	Put  []Write // bindings that come, in the order of Change.Put
}

// Write is one binding to be written.
type Write struct {
	Binding  Binding
	Replaces int // index of the stored binding to write over; -1 if it is a new one
}

// Apply returns the stored bindings as they are after e, in no order. It does
// not change stored.
func (e Effect) Apply(stored []Binding) []Binding {
	gone := make([]bool, len(stored))
	for _, i := range e.Drop {
		gone[i] = true
	}
	after := make([]Binding, 0, len(stored)+len(e.Put))
	for _, w := range e.Put {
		if w.Replaces >= 0 {
			gone[w.Replaces] = true
		}
		after = append(after, w.Binding)
	}
	for i, b := range stored {
		if !gone[i] {
			after = append(after, b)
		}
	}
	return after
}

// Resolve works out what c does at the time now, given all stored bindings of
// its AOR; expired ones may be among them and are dropped. The error wraps
// [ErrStale].
//
// This is the whole logic of [Store.Apply]: read, Resolve and write under one
// lock or in one transaction.
func (c Change) Resolve(stored []Binding, now time.Time) (Effect, error) {
	r := resolver{stored: stored, gone: make([]bool, len(stored))}
	for i := range stored {
		r.gone[i] = !stored[i].liveAt(now)
	}
	if c.Reset {
		r.claim(all, &Binding{CallID: c.CallID, CSeq: c.CSeq})
	}
	for _, b := range c.Remove {
		b.CallID, b.CSeq = c.CallID, c.CSeq
		r.claim(byKey, &b)
	}
	puts := r.claimPuts(lastOfSame(c.Put))
	if r.stale {
		return Effect{}, fmt.Errorf("%w: stored CSeq is %d", ErrStale, r.newest)
	}
	puts = slices.DeleteFunc(puts, func(w Write) bool { return !w.Binding.liveAt(now) })
	if c.Keep > 0 {
		r.evict(c.Keep - len(puts))
	}
	return Effect{Drop: r.dropped(puts), Put: puts}, nil
}

// resolver is the state of Resolve.
type resolver struct {
	stored []Binding
	gone   []bool // by index of stored: dropped or replaced
	stale  bool
	newest uint32 // CSeq that made it stale
}

// relation says which stored bindings a claim is for.
type relation int

const (
	all      relation = iota
	byKey             // the Same by instance or Contact
	bySocket          // the Same by flow and user agent
)

// claim marks the stored bindings in relation to b as gone, on behalf of a
// REGISTER with b's Call-ID and CSeq. It returns the index of the first one,
// or -1.
func (r *resolver) claim(rel relation, b *Binding) int {
	first := -1
	for i := range r.stored {
		old := &r.stored[i]
		if r.gone[i] || rel == byKey && !sameKey(old, b) || rel == bySocket && !sameSocket(old, b) {
			continue
		}
		if b.CallID == old.CallID && b.CSeq < old.CSeq {
			r.stale, r.newest = true, old.CSeq
		}
		r.gone[i] = true
		if first < 0 {
			first = i
		}
	}
	return first
}

// claimPuts finds what each of puts replaces. All of them claim by instance and
// Contact first, so that none loses its predecessor to the flow of another.
func (r *resolver) claimPuts(puts []Binding) []Write {
	if len(puts) == 0 {
		return nil
	}
	writes := make([]Write, len(puts))
	for i := range puts {
		writes[i] = Write{puts[i], r.claim(byKey, &puts[i])}
	}
	for i := range writes {
		if writes[i].Replaces < 0 {
			writes[i].Replaces = r.claim(bySocket, &puts[i])
		}
	}
	return writes
}

// lastOfSame returns puts without those that a later one of them stands for.
func lastOfSame(puts []Binding) []Binding {
	superseded := func(i int) bool {
		for j := i + 1; j < len(puts); j++ {
			if sameKey(&puts[i], &puts[j]) {
				return true
			}
		}
		return false
	}
	for i := range puts {
		if !superseded(i) {
			continue
		}
		last := slices.Clone(puts[:i])
		for ; i < len(puts); i++ {
			if !superseded(i) {
				last = append(last, puts[i])
			}
		}
		return last
	}
	return puts
}

// evict marks the least recently updated bindings as gone until at most room
// are left.
func (r *resolver) evict(room int) {
	var left []int
	for i := range r.stored {
		if !r.gone[i] {
			left = append(left, i)
		}
	}
	room = max(room, 0)
	if len(left) <= room {
		return
	}
	slices.SortStableFunc(left, func(i, j int) int {
		a, b := &r.stored[i], &r.stored[j]
		return cmp.Or(a.Updated.Compare(b.Updated), a.Expires.Compare(b.Expires))
	})
	for _, i := range left[:len(left)-room] {
		r.gone[i] = true
	}
}

// dropped returns the indexes that are gone but not replaced by one of puts.
func (r *resolver) dropped(puts []Write) []int {
	for _, w := range puts {
		if w.Replaces >= 0 {
			r.gone[w.Replaces] = false
		}
	}
	var drop []int
	for i, gone := range r.gone {
		if gone {
			drop = append(drop, i)
		}
	}
	return drop
}
