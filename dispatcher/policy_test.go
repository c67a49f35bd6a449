package dispatcher_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sipward/sipward/dispatcher"
)

func TestRoundRobin(t *testing.T) {
	tests := []struct {
		name    string
		weights []int
		want    string // first choices
	}{
		{"one", []int{5}, "aaa"},
		{"equal", []int{1, 1, 1}, "abcabca"},
		{"as often in a row as its weight", []int{2, 1, 3}, "aabcccaabccc"},
		{"common divisor", []int{50, 100, 50}, "abbcabbc"},
		{"weight 0 is left out", []int{0, 2, 0, 1}, "bbdbbd"},
		{"weight 0 shares equally if there is nothing else", []int{0, 0}, "abab"},
		{"highest weight", []int{math.MaxInt32, math.MaxInt32}, "abab"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDispatcher(t, dispatcher.RoundRobin.Policy(), weighted(tt.weights...))
			var got strings.Builder
			for range tt.want {
				got.WriteString(first(t, d, ""))
			}
			if got.String() != tt.want {
				t.Errorf("selected %q, want %q", &got, tt.want)
			}
		})
	}
}

func TestRoundRobin_Failover(t *testing.T) {
	d := newDispatcher(t, dispatcher.RoundRobin.Policy(), weighted(1, 0, 1, 1))
	for _, want := range []string{"a c d b", "c d a b", "d a c b", "a c d b"} {
		if got := order(t, d, ""); got != want {
			t.Errorf("order %q, want %q", got, want)
		}
	}
}

// With few calls and many reloads a round that began again with each reload
// would give all calls to the first destination.
func TestRoundRobin_GoesOnOverUpdates(t *testing.T) {
	dst := weighted(1, 1, 1)
	d := newDispatcher(t, dispatcher.RoundRobin.Policy(), dst)
	var got strings.Builder
	for range 6 {
		got.WriteString(first(t, d, ""))
		update(t, d, dst)
	}
	if got.String() != "abcabc" {
		t.Errorf("selected %q, want abcabc", &got)
	}
}

// Sets take turns on their own.
func TestRoundRobin_PerSet(t *testing.T) {
	dst := weighted(1, 1)
	for i := range dst {
		other := dst[i]
		other.SetID = 20
		dst = append(dst, other)
	}
	d := newDispatcher(t, dispatcher.RoundRobin.Policy(), dst)
	for _, want := range []string{"a b", "b a", "a b"} {
		for _, id := range []int{setID, 20} {
			got, err := d.Select(id, "", nil)
			if err != nil || names(got) != want {
				t.Errorf("set %d: %q, %v, want %q", id, names(got), err, want)
			}
		}
	}
}

func TestPriority(t *testing.T) {
	dst := weighted(1, 2, 1, 1, 0)
	for i, priority := range []int{5, 10, 10, -1, 99} {
		dst[i].Priority = priority
	}
	d := newDispatcher(t, dispatcher.Priority.Policy(), dst)
	// Higher first, by turns among equals, weight 0 last whatever its priority.
	for _, want := range []string{"b c a d e", "b c a d e", "c b a d e", "b c a d e"} {
		if got := order(t, d, ""); got != want {
			t.Errorf("order %q, want %q", got, want)
		}
	}
	dst[1].State, dst[2].State = dispatcher.Inactive, dispatcher.Probing
	d = newDispatcher(t, dispatcher.Priority.Policy(), dst)
	if got, want := order(t, d, ""), "a d e"; got != want {
		t.Errorf("order %q, want %q", got, want)
	}
}

func TestRandom_Distribution(t *testing.T) {
	const n = 60_000
	rnd := rand.New(rand.NewPCG(5, 6))
	d := newDispatcher(t, dispatcher.RandomPolicy(rnd.Uint64), weighted(1, 2, 0, 3))
	firsts, seconds := map[string]int{}, map[string]int{}
	for range n {
		s := strings.Fields(order(t, d, ""))
		firsts[s[0]]++
		if s[0] == "d" {
			seconds[s[1]]++
		}
	}
	expectShares(t, firsts, n, map[string]float64{"a": 1. / 6, "b": 2. / 6, "d": 3. / 6})
	// Failover is by weight too.
	expectShares(t, seconds, firsts["d"], map[string]float64{"a": 1. / 3, "b": 2. / 3})
}

func TestRandom_Default(t *testing.T) {
	d := newDispatcher(t, dispatcher.Random.Policy(), weighted(1, 1))
	seen := map[string]bool{}
	for range 200 { // all equal: once in 2^199 runs
		seen[first(t, d, "same key")] = true
	}
	if len(seen) != 2 {
		t.Errorf("selected only %v of two in 200 draws", seen)
	}
}

// expectShares checks counts out of n against probabilities, give or take five
// standard deviations.
func expectShares(t *testing.T, counts map[string]int, n int, want map[string]float64) {
	t.Helper()
	total := 0
	for name, p := range want {
		mean, sigma := p*float64(n), math.Sqrt(p*(1-p)*float64(n))
		if got := float64(counts[name]); math.Abs(got-mean) > 5*sigma {
			t.Errorf("%s was chosen %.0f times of %d, want %.0f ± %.0f", name, got, n, mean, 5*sigma)
		}
		total += counts[name]
	}
	if total != n {
		t.Errorf("%v: %d of %d choices are not accounted for", counts, n-total, n)
	}
}
