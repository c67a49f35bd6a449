package dispatcher_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/dispatcher"
)

// P-36: the REGISTER without credentials, the one with them, and a later INVITE
// of an AOR meet the same of three boxes. If one fails, only its AORs move, and
// they come back.
func TestAffinity_SticksToOneBox(t *testing.T) {
	dst := weighted(1, 1, 1)
	healthy := newDispatcher(t, nil, dst)
	failed := newDispatcher(t, nil, changed(dst, 1, func(d *dispatcher.Destination) {
		d.State = dispatcher.Probing
	}))
	counts := map[string]int{}
	for _, aor := range aors(1000) {
		challenged := order(t, healthy, aor)
		update(t, healthy, dst) // a reload between the two REGISTERs
		if again := order(t, healthy, aor); again != challenged {
			t.Fatalf("%s: %q and then %q", aor, challenged, again)
		}
		// What was next in the failover order takes over.
		want := strings.Fields(challenged)
		counts[want[0]]++
		want = slices.DeleteFunc(want, func(name string) bool { return name == "b" })
		if got := order(t, failed, aor); got != strings.Join(want, " ") {
			t.Errorf("%s: %q with all boxes, %q without b", aor, challenged, got)
		}
	}
	expectShares(t, counts, 1000, map[string]float64{"a": 1. / 3, "b": 1. / 3, "c": 1. / 3})
}

func TestHash_Distribution(t *testing.T) {
	const n = 60_000
	tests := []struct {
		name    string
		weights []int
		want    map[string]float64
	}{
		{"equal", []int{1, 1}, map[string]float64{"a": 0.5, "b": 0.5}},
		{"equal, large", []int{100, 100}, map[string]float64{"a": 0.5, "b": 0.5}},
		{"weighted", []int{1, 2, 0, 5}, map[string]float64{"a": 1. / 8, "b": 2. / 8, "d": 5. / 8}},
		{"only weight 0", []int{0, 0}, map[string]float64{"a": 0.5, "b": 0.5}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDispatcher(t, nil, weighted(tt.weights...))
			counts := map[string]int{}
			for _, aor := range aors(n) {
				counts[first(t, d, aor)]++
			}
			expectShares(t, counts, n, tt.want)
		})
	}
}

// A failed box leaves its keys to the others by their weights, not all to one.
func TestHash_SpreadsFailover(t *testing.T) {
	d := newDispatcher(t, nil, weighted(1, 2, 3))
	counts, n := map[string]int{}, 0
	for _, aor := range aors(30_000) {
		if s := strings.Fields(order(t, d, aor)); s[0] == "c" {
			counts[s[1]]++
			n++
		}
	}
	expectShares(t, counts, n, map[string]float64{"a": 1. / 3, "b": 2. / 3})
}

// Adding weight moves only keys to the destination that got it, and no more
// than its new share needs.
func TestHash_WeightMovesOnlyWhatMust(t *testing.T) {
	const n = 60_000
	before := newDispatcher(t, nil, weighted(1, 1, 1))
	after := newDispatcher(t, nil, weighted(1, 1, 2))
	moved := map[string]int{}
	for _, aor := range aors(n) {
		if was, is := first(t, before, aor), first(t, after, aor); was != is {
			moved[was+is]++
		}
	}
	stay := n - moved["ac"] - moved["bc"]
	moved["stay"] = stay
	// c grows from 1/3 to 1/2 of the keys, one half of it from each other.
	expectShares(t, moved, n, map[string]float64{"ac": 1. / 12, "bc": 1. / 12, "stay": 10. / 12})
}

// One random change to one destination of a random set never changes the order
// of the others among themselves, for any key.
func TestHash_ChangeMovesNothingElse(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	changes := map[string]func(*dispatcher.Destination){
		"heavier":  func(d *dispatcher.Destination) { d.Weight += 1 + rnd.IntN(9) },
		"lighter":  func(d *dispatcher.Destination) { d.Weight = 1 + rnd.IntN(d.Weight) },
		"drained":  func(d *dispatcher.Destination) { d.Weight = 0 },
		"inactive": func(d *dispatcher.Destination) { d.State = dispatcher.Inactive },
		"probing":  func(d *dispatcher.Destination) { d.State = dispatcher.Probing },
		"priority": func(d *dispatcher.Destination) { d.Priority += 1 - 2*rnd.IntN(2) },
		"attrs":    func(d *dispatcher.Destination) { d.Attrs = "changed" },
	}
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		t.Run(name, func(t *testing.T) {
			for range 40 {
				dst := weighted(make([]int, 2+rnd.IntN(10))...)
				for i := range dst {
					dst[i].Weight = 1 + rnd.IntN(9)
				}
				victim := rnd.IntN(len(dst))
				before := newDispatcher(t, nil, dst)
				after := newDispatcher(t, nil, changed(dst, victim, changes[name]))
				for range 20 {
					key := fmt.Sprint(rnd.Uint64())
					was, _ := before.Select(setID, key, nil)
					is, _ := after.Select(setID, key, nil)
					vic := strings.TrimPrefix(dst[victim].URI, "sip:")
					if diff := cmp.Diff(without(was, vic), without(is, vic)); diff != "" {
						t.Fatalf("others (-before +after):\n%s", diff)
					}
				}
			}
		})
	}
}

// The order in which destinations are loaded does not matter.
func TestHash_LoadOrder(t *testing.T) {
	dst := weighted(1, 2, 3, 4)
	forward := newDispatcher(t, nil, dst)
	slices.Reverse(dst)
	backward := newDispatcher(t, nil, dst)
	for _, aor := range aors(1000) {
		if a, b := order(t, forward, aor), order(t, backward, aor); a != b {
			t.Fatalf("%s: %q loaded forward, %q loaded backward", aor, a, b)
		}
	}
}

// The choice is part of the contract: another process, machine or release must
// send a phone to the PBX where it is registered. If this fails, an upgrade
// would move registrations.
func TestHash_IsStable(t *testing.T) {
	dst := []dispatcher.Destination{
		{SetID: setID, URI: "sip:10.0.1.10:5060", Weight: 1},
		{SetID: setID, URI: "sip:10.0.1.11:5060", Weight: 2},
		{SetID: setID, URI: "sip:10.0.1.12:5060", Weight: 3},
		{SetID: setID, URI: "sip:10.0.1.12:5060", Weight: 3, Socket: "udp:192.0.2.1:5060"},
	}
	d := newDispatcher(t, nil, dst)
	want := map[string]string{
		"":                  "3021",
		"401@tenant-a.test": "0231",
		"402@tenant-a.test": "2130",
		"403@tenant-a.test": "1230",
		"401@tenant-b.test": "2310",
		"a84b4c76e66710@pc33.atlanta.example.com": "2301",
	}
	for key, want := range want {
		got, err := d.Select(setID, key, nil)
		if err != nil {
			t.Fatal(err)
		}
		var digits strings.Builder
		for _, x := range got {
			fmt.Fprint(&digits, slices.Index(dst, x))
		}
		if digits.String() != want {
			t.Errorf("%q: order %s, want %s", key, &digits, want)
		}
	}
}
