package dispatcher

import (
	"math/rand/v2"
	"slices"
)

// Policy puts the destinations of a set in order. Implementations must be safe
// for concurrent use and must not block.
type Policy interface {
	// Append appends to buf the destinations of [Set.Destinations] to try, the
	// best first, and returns the extended buffer. It may leave some out. Key
	// is that of [Dispatcher.Select].
	Append(buf []Destination, set *Set, key string) []Destination
}

// PolicyFunc makes a function a [Policy].
type PolicyFunc func(buf []Destination, set *Set, key string) []Destination

// Append returns f(buf, set, key).
func (f PolicyFunc) Append(buf []Destination, set *Set, key string) []Destination {
	return f(buf, set, key)
}

// roundRobin gives each destination as many requests in a row as its weight
// says, then the next one. Failover goes around in the same direction.
type roundRobin struct{}

func (roundRobin) Append(buf []Destination, set *Set, _ string) []Destination {
	turn := set.Next()
	for i := range set.byWeight {
		buf = set.byWeight[i].appendTurn(buf, turn)
	}
	return buf
}

// priorityOrder is round robin within each tier of each priority.
type priorityOrder struct{}

func (priorityOrder) Append(buf []Destination, set *Set, _ string) []Destination {
	turn := set.Next()
	for i := range set.byPriority {
		buf = set.byPriority[i].appendTurn(buf, turn)
	}
	return buf
}

// appendTurn appends the group, starting with the destination whose turn it is.
func (g *group) appendTurn(buf []Destination, turn uint64) []Destination {
	slot := turn % g.sums[len(g.sums)-1]
	first, _ := slices.BinarySearch(g.sums, slot+1) // the first sum above slot
	return append(append(buf, g.dst[first:]...), g.dst[:first]...)
}

// hash is rendezvous hashing of the key.
type hash struct{}

func (hash) Append(buf []Destination, set *Set, key string) []Destination {
	return set.appendRendezvous(buf, keyHash(key))
}

// random is rendezvous hashing of a random number: a permutation in which each
// place is drawn by weight from what is left.
type random struct{ uint64 func() uint64 }

func (r random) Append(buf []Destination, set *Set, _ string) []Destination {
	return set.appendRendezvous(buf, r.uint64())
}

func newRandom() random { return random{rand.Uint64} }
