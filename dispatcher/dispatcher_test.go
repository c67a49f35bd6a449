package dispatcher_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/dispatcher"
)

var algorithms = []dispatcher.Algorithm{
	dispatcher.Affinity, dispatcher.RoundRobin, dispatcher.HashCallID, dispatcher.HashFrom,
	dispatcher.HashTo, dispatcher.HashRequestURI, dispatcher.Random, dispatcher.Priority,
	dispatcher.LeastCalls, dispatcher.LeastLatency,
}

func TestSelect_States(t *testing.T) {
	a, b, c := pbx("a", 1), pbx("b", 1), pbx("c", 1)
	b.State, c.State = dispatcher.Inactive, dispatcher.Probing
	foreign := dispatcher.Destination{SetID: 20, URI: "sip:x", Weight: 1}
	tests := []struct {
		name string
		dst  []dispatcher.Destination
		want string
		err  error
	}{
		{"no destinations", nil, "", dispatcher.ErrNoSet},
		{"other set", []dispatcher.Destination{foreign}, "", dispatcher.ErrNoSet},
		{"one", []dispatcher.Destination{a, foreign}, "a", nil},
		{"only the active", []dispatcher.Destination{b, a, c}, "a", nil},
		{"none active", []dispatcher.Destination{b, c, foreign}, "", dispatcher.ErrAllDown},
	}
	for _, tt := range tests {
		for _, alg := range algorithms {
			t.Run(tt.name+"/"+alg.String(), func(t *testing.T) {
				d := newDispatcher(t, alg.Policy(), tt.dst)
				got, err := d.Select(setID, "key", nil)
				if !errors.Is(err, tt.err) || names(got) != tt.want {
					t.Errorf("Select = %q, %v, want %q, %v", names(got), err, tt.want, tt.err)
				}
			})
		}
	}
}

func TestSelect_Appends(t *testing.T) {
	down := pbx("down", 1)
	down.SetID, down.State = 20, dispatcher.Inactive
	d := newDispatcher(t, nil, append(weighted(1), down))
	buf := []dispatcher.Destination{pbx("before", 1)}
	for id, want := range map[int]string{setID: "before a", 20: "before", 30: "before"} {
		if got, _ := d.Select(id, "", buf); names(got) != want {
			t.Errorf("Select(%d) = %q, want %q", id, names(got), want)
		}
	}
}

// Whatever the set and the algorithm: all that is active comes once, what has
// no weight comes last, and destinations come back as they were given.
func TestSelect_Property(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		dst := weighted(make([]int, 1+rnd.IntN(40))...)
		var want []dispatcher.Destination
		for i := range dst {
			dst[i].Weight = max(rnd.IntN(8)-2, 0)
			dst[i].Priority = rnd.IntN(3) - 1
			dst[i].State = dispatcher.State(max(rnd.IntN(5)-2, 0))
			if dst[i].State == dispatcher.Active {
				want = append(want, dst[i])
			}
		}
		if want == nil {
			continue
		}
		for _, alg := range algorithms {
			d := newDispatcher(t, alg.Policy(), dst)
			got, err := d.Select(setID, fmt.Sprint(rnd.Uint64()), nil)
			if err != nil {
				t.Fatal(err)
			}
			drained := func(d dispatcher.Destination) bool { return d.Weight == 0 }
			if i := slices.IndexFunc(got, drained); i >= 0 && !allFunc(got[i:], drained) {
				t.Errorf("%v: %+v: weight 0 is not last", alg, got)
			}
			byURI := func(a, b dispatcher.Destination) int { return strings.Compare(a.URI, b.URI) }
			slices.SortFunc(got, byURI)
			slices.SortFunc(want, byURI)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%v: selected (-want +got):\n%s", alg, diff)
			}
		}
	}
}

func allFunc[E any](s []E, f func(E) bool) bool {
	return !slices.ContainsFunc(s, func(e E) bool { return !f(e) })
}

// To look takes nobody's turn: who is first then is so as often as one looks.
func TestPeek(t *testing.T) {
	for _, alg := range algorithms {
		if alg == dispatcher.Random { // which draws
			continue
		}
		t.Run(alg.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := ailing(t, alg.Policy(), 12)
				for range 100 {
					time.Sleep(time.Second) // of the slow start
					for _, key := range []string{"", "401@a.test"} {
						var peeks [2]string
						for i := range peeks {
							dst, err := d.Peek(setID, key, make([]dispatcher.Destination, 1))
							if err != nil {
								t.Fatal(err)
							}
							peeks[i] = names(dst[1:])
						}
						was := order(t, d, key)
						if want := [2]string{was, was}; peeks != want {
							t.Fatalf("peeked %q, then selected %q", peeks, was)
						}
					}
					d.Begin(choice(t, d, ""))
				}
			})
		})
	}
	d := dispatcher.New(dispatcher.Config{})
	if dst, err := d.Peek(setID, "", nil); dst != nil || !errors.Is(err, dispatcher.ErrNoSet) {
		t.Errorf("got %v, %v, want ErrNoSet", dst, err)
	}
	update(t, d, []dispatcher.Destination{{SetID: setID, URI: "sip:a", State: dispatcher.Probing}})
	if dst, err := d.Peek(setID, "", nil); dst != nil || !errors.Is(err, dispatcher.ErrAllDown) {
		t.Errorf("got %v, %v, want ErrAllDown", dst, err)
	}
}

func TestUpdate_Faults(t *testing.T) {
	d := newDispatcher(t, nil, weighted(1))
	err := d.Update([]dispatcher.Destination{
		{SetID: -1, URI: "sip:a", Weight: 1},
		{SetID: 20, URI: "10.0.1.10", State: 3, Weight: -1},
		{SetID: 20, URI: "sip:10.0.1.10"},
		{SetID: 20, URI: "sip:10.0.1.10", Socket: "udp:192.0.2.1:5060"},
		{SetID: 30, URI: "sip:10.0.1.10"},
		{SetID: 20, URI: "sip:10.0.1.10", Description: "again"},
	})
	if err == nil {
		t.Fatal("no error")
	}
	want := []string{
		`dispatcher: set -1: destination "sip:a": set id is negative`,
		`dispatcher: set 20: destination "10.0.1.10": not a SIP URI`,
		`dispatcher: set 20: destination "10.0.1.10": unknown state 3`,
		`dispatcher: set 20: destination "10.0.1.10": weight -1 is not between 0 and 2147483647`,
		`dispatcher: set 20: destination "sip:10.0.1.10": twice in the set`,
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	if got := order(t, d, ""); got != "a" {
		t.Errorf("selected %q after a failed Update, want what was before", got)
	}
}

func TestUpdate_URI(t *testing.T) {
	tests := []struct {
		uri string
		ok  bool
	}{
		{"sip:10.0.1.10", true},
		{"SIPS:pbx.example:5061;transport=tcp", true},
		{"sip:[2001:db8::1]:5060", true},
		{"sip:trunk,1@pbx.example", true},
		{"", false},
		{"sip:", false},
		{"10.0.1.10:5060", false},
		{"sip://10.0.1.10", false},
		{"tel:+15550100", false},
		{"<sip:10.0.1.10>", false},
		{"sip:<10.0.1.10>", false},
		{"sip:10.0.1.10 ", false},
		{"sip:10.0.1.10\r\nX: y", false},
	}
	for _, tt := range tests {
		t.Run(tt.uri, func(t *testing.T) {
			d := dispatcher.New(dispatcher.Config{})
			err := d.Update([]dispatcher.Destination{{URI: tt.uri, Weight: 1}})
			if ok := err == nil; ok != tt.ok {
				t.Errorf("Update: %v, want valid %t", err, tt.ok)
			}
		})
	}
}

func TestConfig_Sets(t *testing.T) {
	lifo := dispatcher.PolicyFunc(func(buf []dispatcher.Destination, set *dispatcher.Set, _ string) []dispatcher.Destination {
		for _, d := range slices.Backward(set.Destinations()) {
			buf = append(buf, d)
		}
		return buf
	})
	policies := map[int]dispatcher.Policy{setID: lifo, 30: nil}
	d := dispatcher.New(dispatcher.Config{Policy: dispatcher.RoundRobin.Policy(), Sets: policies})
	delete(policies, setID)
	dst := weighted(1, 1, 1)
	for i := range dst {
		for _, id := range []int{20, 30} {
			other := dst[i]
			other.SetID = id
			dst = append(dst, other)
		}
	}
	update(t, d, dst)
	for id, want := range map[int]string{setID: "c b a", 20: "a b c", 30: "a b c"} {
		if got, err := d.Select(id, "", nil); err != nil || names(got) != want {
			t.Errorf("Select(%d) = %q, %v, want %q", id, names(got), err, want)
		}
	}
}

// What a policy of one's own sees of a set.
func TestSet(t *testing.T) {
	var ids []int
	var turns []uint64
	probe := dispatcher.PolicyFunc(func(buf []dispatcher.Destination, set *dispatcher.Set, _ string) []dispatcher.Destination {
		ids, turns = append(ids, set.ID()), append(turns, set.Next())
		return append(buf, set.Destinations()...)
	})
	dst := weighted(0, 1, 0, 1, 1)
	dst[2].Priority, dst[4].Priority = 7, 8
	dst[1].Priority, dst[3].Priority = -1, -1
	d := newDispatcher(t, probe, dst)
	for range 2 {
		if got, want := order(t, d, ""), "e b d c a"; got != want {
			t.Errorf("Destinations = %q, want %q", got, want)
		}
		update(t, d, dst)
	}
	if diff := cmp.Diff([]int{setID, setID}, ids); diff != "" {
		t.Errorf("ID (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]uint64{0, 1}, turns); diff != "" {
		t.Errorf("Next (-want +got):\n%s", diff)
	}
}

// Selections see the old destinations or the new ones, never some of each.
func TestUpdate_Concurrent(t *testing.T) {
	for _, alg := range algorithms {
		t.Run(alg.String(), func(t *testing.T) {
			small, large := weighted(1, 2), weighted(3, 1, 1, 0)
			d := newDispatcher(t, alg.Policy(), small)
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					for range 100 {
						update(t, d, large)
						update(t, d, small)
					}
				})
				wg.Go(func() {
					var buf []dispatcher.Destination
					for i := range 2000 {
						var err error
						buf, err = d.Select(setID, fmt.Sprint(i), buf[:0])
						if err != nil {
							t.Error(err)
						}
						if len(buf) != len(small) && len(buf) != len(large) {
							t.Errorf("%d destinations, want %d or %d", len(buf), len(small), len(large))
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
