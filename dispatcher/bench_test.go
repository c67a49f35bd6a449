package dispatcher_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/sipward/sipward/dispatcher"
)

func fleet(n int) []dispatcher.Destination {
	dst := make([]dispatcher.Destination, n)
	for i := range dst {
		dst[i] = dispatcher.Destination{
			SetID:    setID,
			URI:      fmt.Sprintf("sip:10.0.1.%d:5060;transport=udp", i),
			Weight:   1 + i%3,
			Priority: i % 2,
		}
	}
	return dst
}

// ailing returns a Dispatcher of which every third destination is down and
// every third has just come back.
func ailing(tb testing.TB, policy dispatcher.Policy, n int) *dispatcher.Dispatcher {
	d := dispatcher.New(dispatcher.Config{Policy: policy, SlowStart: time.Hour})
	dst := fleet(n)
	for i := range dst {
		dst[i].State = []dispatcher.State{dispatcher.Active, dispatcher.Probing, dispatcher.Inactive}[i%3]
	}
	update(tb, d, dst)
	for i := range dst {
		dst[i].State = dispatcher.Active
	}
	update(tb, d, dst)
	return d
}

func benchmarkSelect(b *testing.B, d *dispatcher.Dispatcher, n int) {
	buf := make([]dispatcher.Destination, 0, n)
	keys := aors(1024)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if got, err := d.Select(setID, keys[i%len(keys)], buf); err != nil || len(got) != n {
			b.Fatalf("%d destinations, %v", len(got), err)
		}
	}
}

func BenchmarkSelect(b *testing.B) {
	for _, alg := range []dispatcher.Algorithm{
		dispatcher.Affinity, dispatcher.RoundRobin, dispatcher.Random, dispatcher.Priority,
		dispatcher.LeastCalls, dispatcher.LeastLatency,
	} {
		for _, n := range []int{1, 3, 10, 32} {
			b.Run(fmt.Sprintf("%v/%d", alg, n), func(b *testing.B) {
				benchmarkSelect(b, newDispatcher(b, alg.Policy(), fleet(n)), n)
			})
		}
	}
}

// Of three one is down and one has just come back.
func BenchmarkSelect_Ailing(b *testing.B) {
	for _, alg := range []dispatcher.Algorithm{
		dispatcher.Affinity, dispatcher.RoundRobin, dispatcher.LeastCalls, dispatcher.LeastLatency,
	} {
		for _, n := range []int{3, 30} {
			b.Run(fmt.Sprintf("%v/%d", alg, n), func(b *testing.B) {
				benchmarkSelect(b, ailing(b, alg.Policy(), n), n-n/3)
			})
		}
	}
}

// What one request costs besides Select.
func BenchmarkAttempt(b *testing.B) {
	d := newDispatcher(b, nil, fleet(3))
	dst := fleet(3)[1]
	b.ReportAllocs()
	for b.Loop() {
		a := d.Begin(dst)
		a.Report(200, nil)
		a.End()
	}
}

func BenchmarkSelect_Parallel(b *testing.B) {
	for _, alg := range []dispatcher.Algorithm{dispatcher.Affinity, dispatcher.RoundRobin} {
		b.Run(alg.String(), func(b *testing.B) {
			d := newDispatcher(b, alg.Policy(), fleet(3))
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				buf := make([]dispatcher.Destination, 0, 3)
				for pb.Next() {
					if _, err := d.Select(setID, "401@tenant-a.test", buf); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// tenants returns the destinations of a thousand sets, all of the same PBXes.
func tenants() (dst []dispatcher.Destination) {
	for i := range 1000 {
		for _, d := range fleet(3) {
			d.SetID = i
			dst = append(dst, d)
		}
	}
	return dst
}

func BenchmarkUpdate(b *testing.B) {
	d := dispatcher.New(dispatcher.Config{})
	dst := tenants()
	b.ReportAllocs()
	for b.Loop() {
		update(b, d, dst)
	}
}

// A PBX of a thousand tenants goes down, after a reload in which it is new.
func BenchmarkUpdate_Down(b *testing.B) {
	d := dispatcher.New(dispatcher.Config{Fall: 1})
	dst := tenants()
	b.ReportAllocs()
	for b.Loop() {
		update(b, d, nil)
		update(b, d, dst)
		a := d.Begin(dst[0])
		a.Report(503, nil)
		a.End()
	}
}

// An outage takes down the PBXes of many tenants at once, in the readers of the
// sockets: each costs what its own sets cost, however many others there are.
func TestHealth_CostOfManySets(t *testing.T) {
	const runs = 50
	cost := func(sets int) float64 {
		d := dispatcher.New(dispatcher.Config{Fall: 1})
		dst := fleet(sets)
		for i := range dst {
			dst[i].SetID = i
		}
		update(t, d, dst)
		next := 0
		return testing.AllocsPerRun(runs, func() {
			a := d.Begin(dst[next])
			a.Report(503, nil)
			a.End()
			next++
		})
	}
	const others = 5 // allocations of the runtime meanwhile
	if few, many := cost(runs+1), cost(5000); many > few+others {
		t.Errorf("a PBX that goes down costs %v allocations among 5000 sets, %v among %d", many, few, runs+1)
	}
}

func TestSelect_Allocations(t *testing.T) {
	for _, alg := range algorithms {
		t.Run(alg.String(), func(t *testing.T) {
			for name, d := range map[string]*dispatcher.Dispatcher{
				"all well": newDispatcher(t, alg.Policy(), fleet(32)),
				"ailing":   ailing(t, alg.Policy(), 32),
			} {
				buf := make([]dispatcher.Destination, 0, 32)
				n := testing.AllocsPerRun(100, func() {
					if _, err := d.Select(setID, "401@tenant-a.test", buf); err != nil {
						t.Error(err)
					}
					if _, err := d.Select(99, "401@tenant-a.test", buf); err == nil {
						t.Error("set 99 exists")
					}
				})
				if n != 0 {
					t.Errorf("%s: %v allocations, want 0", name, n)
				}
			}
		})
	}
}
