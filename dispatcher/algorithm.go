package dispatcher

import (
	"fmt"
	"strings"
)

// Algorithm is a policy with a name, together with the part of a request that
// it wants as its key. Those that OpenSIPS has too can be given by its numbers,
// although its hashes pick other destinations. The zero Algorithm is Affinity,
// and so is a value that is none of the constants.
type Algorithm uint8

// The algorithms. In all of them a destination of weight 0 comes last, and among
// the others one of a higher [Destination.Tier] after those of a lower one.
const (
	// Affinity hashes the AOR, which is that of To in a REGISTER and of
	// From in other requests of a phone. See HashCallID for how.
	Affinity Algorithm = iota

	// RoundRobin gives each destination as many requests in a row as its
	// weight says, then goes on to the next. Weights 50 and 100 are the same as
	// 1 and 2. OpenSIPS' number is 4.
	RoundRobin

	// HashCallID hashes the Call-ID. Like all hashes here it is weighted
	// rendezvous hashing over the usable destinations: each has keys in
	// proportion to its weight, and if one fails, comes, goes or changes its
	// weight, only keys move that it loses or gets. OpenSIPS' number is 0.
	HashCallID

	// HashFrom hashes the URI of From. OpenSIPS' number is 1.
	HashFrom

	// HashTo hashes the URI of To. OpenSIPS' number is 2.
	HashTo

	// HashRequestURI hashes the Request-URI. OpenSIPS' number is 3.
	HashRequestURI

	// Random draws by weight. OpenSIPS' number is 6.
	Random

	// Priority selects the highest priority and fails over to the next
	// lower one. Higher is first as in OpenSIPS, where its number is 8; other
	// than there, destinations of the same priority and tier take turns as in
	// RoundRobin.
	Priority

	// LeastCalls selects the destination with the fewest calls, as counted by
	// [Dispatcher.Begin], for its weight: with 50 and 100 the second gets two
	// calls for each of the first. Among equals it draws. As in the load
	// balancer of OpenSIPS, what others send there, and the calls that the
	// destination makes itself, do not count unless they are begun here.
	LeastCalls

	// LeastLatency selects the destination that answers first, probes and
	// requests alike. Those that are slower than the fastest by no more than a
	// quarter and a millisecond count as equal, and it draws among them by
	// weight. One that has not answered yet comes before all others. Without
	// probes, the slower ones keep the latency that they had.
	LeastLatency

	numAlgorithms int = iota
)

// Key is a part of a request to select by. The caller extracts it.
type Key uint8

// The keys.
const (
	KeyNone       Key = iota // the key is ignored
	KeyAOR                   // user@domain of the phone, in one spelling
	KeyCallID                // Call-ID, as written
	KeyFrom                  // user@host of From, in one spelling
	KeyTo                    // user@host of To, in one spelling
	KeyRequestURI            // user@host of the Request-URI, in one spelling
)

// spec is all there is to know of an algorithm.
type spec struct {
	name   string
	number string // of OpenSIPS, or empty
	key    Key
	policy Policy
}

// spec returns the spec of a.
func (a Algorithm) spec() spec {
	switch a {
	case RoundRobin:
		return spec{"round-robin", "4", KeyNone, roundRobin{}}
	case HashCallID:
		return spec{"hash-callid", "0", KeyCallID, hash{}}
	case HashFrom:
		return spec{"hash-from", "1", KeyFrom, hash{}}
	case HashTo:
		return spec{"hash-to", "2", KeyTo, hash{}}
	case HashRequestURI:
		return spec{"hash-ruri", "3", KeyRequestURI, hash{}}
	case Random:
		return spec{"random", "6", KeyNone, newRandom()}
	case Priority:
		return spec{"priority", "8", KeyNone, priorityOrder{}}
	case LeastCalls:
		return spec{"least-calls", "", KeyNone, leastCalls{}}
	case LeastLatency:
		return spec{"least-latency", "", KeyNone, leastLatency{}}
	}
	return spec{"affinity", "", KeyAOR, hash{}}
}

// ParseAlgorithm returns the algorithm with a name ("affinity", "round-robin",
// "hash-callid", "hash-from", "hash-to", "hash-ruri", "random", "priority",
// "least-calls", "least-latency") or with a number of OpenSIPS. It refuses 9 and
// 10, which mean different things in OpenSIPS and Kamailio, like everything it
// does not know.
func ParseAlgorithm(s string) (Algorithm, error) {
	var names []string
	for a := range Algorithm(numAlgorithms) {
		spec := a.spec()
		if s != "" && (s == spec.name || s == spec.number) {
			return a, nil
		}
		names = append(names, spec.name)
	}
	return 0, fmt.Errorf("dispatcher: unknown algorithm %q, want one of %s", s, strings.Join(names, ", "))
}

// Policy returns the policy of the algorithm. It is stateless and may be used
// by several dispatchers.
func (a Algorithm) Policy() Policy { return a.spec().policy }

// Key returns what the algorithm wants as the key of [Dispatcher.Select].
func (a Algorithm) Key() Key { return a.spec().key }

// String returns the name of the algorithm.
func (a Algorithm) String() string { return a.spec().name }

// MarshalText returns the name of the algorithm.
func (a Algorithm) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText is [ParseAlgorithm].
func (a *Algorithm) UnmarshalText(text []byte) (err error) {
	*a, err = ParseAlgorithm(string(text))
	return err
}
