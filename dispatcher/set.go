package dispatcher

import (
	"cmp"
	"slices"
	"sync/atomic"
)

// Set is a set of destinations as a [Policy] sees it. It does not change but
// for the counter of Next. It is safe for concurrent use.
type Set struct {
	id      int
	members []Destination // as given
	usable  []Destination // in the order of Destinations
	policy  Policy
	turn    *atomic.Uint64 // shared with the sets of the same id before and after

	// The usable destinations again, prepared for the policies. Each group
	// comes before the next one whatever the policy finds.
	byWeight   []group // those with a weight, those without
	byPriority []group // the same, each by falling priority
}

// newSet returns the set of members; old is the one it replaces, or nil.
func newSet(id int, members []Destination, policy Policy, old *Set) *Set {
	s := &Set{id: id, members: members, policy: policy}
	if old != nil {
		s.turn = old.turn
	} else {
		s.turn = new(atomic.Uint64)
	}
	for _, d := range members {
		if d.State == Active {
			s.usable = append(s.usable, d)
		}
	}
	slices.SortStableFunc(s.usable, func(a, b Destination) int {
		return cmp.Or(compareBool(b.Weight > 0, a.Weight > 0), cmp.Compare(b.Priority, a.Priority))
	})
	s.byWeight = groups(s.usable, func(a, b Destination) bool {
		return (a.Weight > 0) == (b.Weight > 0)
	})
	s.byPriority = groups(s.usable, func(a, b Destination) bool {
		return (a.Weight > 0) == (b.Weight > 0) && a.Priority == b.Priority
	})
	return s
}

// ID returns the number of the set.
func (s *Set) ID() int { return s.id }

// Destinations returns the usable destinations, at least one: those of weight
// 0 last, otherwise the highest priority first, otherwise as in
// [Dispatcher.Update]. The slice is shared and must not be changed.
func (s *Set) Destinations() []Destination { return s.usable }

// Next returns 0, 1, 2 and so on, one number for each call. The count goes on
// over updates of the set, so that a round does not start again with each.
func (s *Set) Next() uint64 { return s.turn.Add(1) - 1 }

// group is a run of usable destinations among which a policy decides.
type group struct {
	dst    []Destination
	hashes []uint64  // of each destination's identity
	shares []float64 // 1/weight of each
	sums   []uint64  // running sums of the weights, divided by what they have in common
}

// groups splits dst where same says that neighbors differ.
func groups(dst []Destination, same func(a, b Destination) bool) []group {
	var gs []group
	for start := 0; start < len(dst); {
		end := start + 1
		for end < len(dst) && same(dst[start], dst[end]) {
			end++
		}
		gs = append(gs, newGroup(dst[start:end:end]))
		start = end
	}
	return gs
}

// newGroup prepares a group of destinations that all have a weight, or all
// have none and then share equally.
func newGroup(dst []Destination) group {
	g := group{
		dst:    dst,
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
