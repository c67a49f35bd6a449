package dispatcher_test

import (
	"strings"
	"testing"

	"github.com/sipward/sipward/dispatcher"
)

// tiered returns destinations a, b, c and so on of weight 1 with these tiers.
func tiered(tiers ...int) []dispatcher.Destination {
	dst := weighted(make([]int, len(tiers))...)
	for i := range dst {
		dst[i].Weight, dst[i].Tier = 1, tiers[i]
	}
	return dst
}

// Whatever the algorithm, a tier comes after those below it, and what drains last.
func TestTiers(t *testing.T) {
	dst := append(tiered(2, 1, 0, 1, 0), pbx("f", 0))
	for _, name := range []string{"affinity", "round-robin", "hash-callid", "random", "priority", "least-calls", "least-latency"} {
		t.Run(name, func(t *testing.T) {
			a, err := dispatcher.ParseAlgorithm(name)
			if err != nil {
				t.Fatal(err)
			}
			d := newDispatcher(t, a.Policy(), dst)
			seconds := map[string]bool{}
			for range 50 {
				got := strings.Fields(order(t, d, "user@a.test"))
				two, four := got[0]+got[1], got[2]+got[3]
				if two != "ce" && two != "ec" || four != "bd" && four != "db" || got[4]+got[5] != "af" {
					t.Fatalf("order %v", got)
				}
				seconds[four] = true
			}
			if a.Key() == dispatcher.KeyNone && len(seconds) != 2 {
				t.Errorf("in the second tier always the same")
			}
		})
	}
}

// The turns of a tier are not those of others.
func TestTiers_RoundRobin(t *testing.T) {
	d := newDispatcher(t, dispatcher.RoundRobin.Policy(), tiered(0, 1, 0, 1))
	for _, want := range []string{"a c b d", "c a d b", "a c b d"} {
		if got := order(t, d, ""); got != want {
			t.Errorf("order %q, want %q", got, want)
		}
	}
}

// The algorithm Priority has the stand-ins of one priority before the next one.
func TestTiers_Priority(t *testing.T) {
	dst := tiered(0, 1, 0, 1)
	dst[0].Priority, dst[1].Priority = -1, -1
	d := newDispatcher(t, dispatcher.Priority.Policy(), dst)
	if got, want := order(t, d, ""), "c d a b"; got != want {
		t.Errorf("order %q, want %q", got, want)
	}
	d = newDispatcher(t, dispatcher.RoundRobin.Policy(), dst)
	if got, want := order(t, d, ""), "c a d b"; got != want {
		t.Errorf("order %q by turns, want %q", got, want)
	}
}

// Only who is left is asked for.
func TestTiers_Down(t *testing.T) {
	dst := tiered(0, 1, 2)
	dst[0].State = dispatcher.Probing
	d := newDispatcher(t, nil, dst)
	if got, want := order(t, d, "user@a.test"), "b c"; got != want {
		t.Errorf("order %q, want %q", got, want)
	}
}
