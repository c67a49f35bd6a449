package dispatcher

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"
)

// Set is a set of destinations as a [Policy] sees it. It does not change but
// for the counter of Next. It is safe for concurrent use.
type Set struct {
	id      int
	members []Destination // as given, with the states of now
	health  []*health     // of each member
	usable  []Destination // in the order of Destinations
	policy  Policy
	turn    *atomic.Uint64 // shared with the sets of the same id before and after

	// The usable destinations again, prepared for the policies. Each group
	// comes before the next one whatever the policy finds.
	byWeight   []group // those with a weight, those without, each by rising tier
	byPriority []group // the same, each by falling priority and then by tier

	// See slowStart.
	starting   atomic.Bool
	starts     []start
	startsTurn atomic.Uint64
}

// newSet returns the set of members, whose health is in the table; old is the
// one it replaces, or nil.
func (d *Dispatcher) newSet(id int, members []Destination, table map[address]*health, old *Set) *Set {
	s := &Set{id: id, members: slices.Clone(members), policy: d.policyOf(id)}
	if old != nil {
		s.turn = old.turn
	} else {
		s.turn = new(atomic.Uint64)
	}
	for i := range s.members {
		m := &s.members[i]
		h := table[m.address()]
		s.health = append(s.health, h)
		if m.State != Inactive {
			m.State = h.state()
		}
	}
	usable := s.inState(Active)
	if usable == nil && d.cfg.TryIfAllDown {
		usable = s.inState(Probing)
	}
	s.prepare(usable)
	s.findStarts(d.cfg.SlowStart, time.Now())
	return s
}

// inState returns the indices of all members in a state.
func (s *Set) inState(state State) (indices []int) {
	for i := range s.members {
		if s.members[i].State == state {
			indices = append(indices, i)
		}
	}
	return indices
}

// prepare makes the members with these indices the usable ones.
func (s *Set) prepare(indices []int) {
	s.byPriority = s.groups(indices, func(a, b *Destination) int {
		return cmp.Or(compareBool(b.Weight > 0, a.Weight > 0), cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Tier, b.Tier))
	})
	s.byWeight = s.groups(indices, func(a, b *Destination) int { // each as it is by priority now
		return cmp.Or(compareBool(b.Weight > 0, a.Weight > 0), cmp.Compare(a.Tier, b.Tier))
	})
	for i := range s.byWeight {
		s.usable = append(s.usable, s.byWeight[i].dst...)
	}
}

// order is [Dispatcher.Select] of this set; s may be nil.
func (s *Set) order(key string, buf []Destination) ([]Destination, error) {
	switch {
	case s == nil:
		return buf, ErrNoSet
	case len(s.usable) == 0:
		return buf, ErrAllDown
	}
	order := s.policy.Append(buf, s, key)
	if s.starting.Load() {
		s.slowStart(order[len(buf):], key)
	}
	return order, nil
}

// ID returns the number of the set.
func (s *Set) ID() int { return s.id }

// Destinations returns the usable destinations, at least one: those of weight
// 0 last, otherwise the lowest tier first, otherwise the highest priority,
// otherwise as in [Dispatcher.Update]. The slice is shared and must not be changed.
func (s *Set) Destinations() []Destination { return s.usable }

// Next returns 0, 1, 2 and so on, one number for each call. The count goes on
// over updates of the set, so that a round does not start again with each.
func (s *Set) Next() uint64 { return s.turn.Add(1) - 1 }

// group is a run of usable destinations among which a policy decides.
type group struct {
	dst    []Destination
	health []*health
	hashes []uint64  // of each destination's identity
	shares []float64 // 1/weight of each
	sums   []uint64  // running sums of the weights, divided by what they have in common
}

// groups sorts indices of members, and puts those together that are equal.
func (s *Set) groups(indices []int, compare func(a, b *Destination) int) []group {
	of := func(i, j int) int { return compare(&s.members[i], &s.members[j]) }
	slices.SortStableFunc(indices, of)
	var gs []group
	for start := 0; start < len(indices); {
		var dst []Destination
		var healths []*health
		first := indices[start]
		for ; start < len(indices) && of(first, indices[start]) == 0; start++ {
			dst = append(dst, s.members[indices[start]])
			healths = append(healths, s.health[indices[start]])
		}
		gs = append(gs, newGroup(dst, healths))
	}
	return gs
}

// newGroup prepares a group of destinations that all have a weight, or all
// have none and then share equally.
func newGroup(dst []Destination, healths []*health) group {
	g := group{
		dst:    dst,
		health: healths,
		hashes: make([]uint64, len(dst)),
		shares: make([]float64, len(dst)),
		sums:   make([]uint64, len(dst)),
	}
	divisor := 0
	for _, d := range dst {
		divisor = gcd(divisor, max(d.Weight, 1))
	}
	var sum uint64
	for i, d := range dst {
		weight := max(d.Weight, 1)
		sum += uint64(weight / divisor)
		g.hashes[i] = identityHash(d)
		g.shares[i] = 1 / float64(weight)
		g.sums[i] = sum
	}
	return g
}

// scored is a destination of a group, by its index, with a score.
type scored struct {
	score float64
	index int
}

// appendBy appends the group by rising score, equal ones as they are.
func (g *group) appendBy(buf []Destination, score func(index int) float64) []Destination {
	var space [32]scored // on the stack; larger groups allocate
	order := space[:0]
	for i := range g.dst {
		// Insertion sort: sets are small.
		x := scored{score(i), i}
		order = append(order, x)
		at := i
		for ; at > 0 && x.score < order[at-1].score; at-- {
			order[at] = order[at-1]
		}
		order[at] = x
	}
	for _, o := range order {
		buf = append(buf, g.dst[o.index])
	}
	return buf
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
