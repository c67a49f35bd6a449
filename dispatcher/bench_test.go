package dispatcher_test

import (
	"fmt"
	"testing"

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

func BenchmarkSelect(b *testing.B) {
	for _, alg := range []dispatcher.Algorithm{
		dispatcher.Affinity, dispatcher.RoundRobin, dispatcher.Random, dispatcher.Priority,
	} {
		for _, n := range []int{1, 3, 10, 32} {
			b.Run(fmt.Sprintf("%v/%d", alg, n), func(b *testing.B) {
				d := newDispatcher(b, alg.Policy(), fleet(n))
				buf := make([]dispatcher.Destination, 0, n)
				keys := aors(1024)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					got, err := d.Select(setID, keys[i%len(keys)], buf)
					if err != nil || len(got) != n {
						b.Fatalf("%d destinations, %v", len(got), err)
					}
				}
			})
		}
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

func BenchmarkUpdate(b *testing.B) {
	const sets, members = 1000, 3
	var dst []dispatcher.Destination
	for i := range sets {
		for _, d := range fleet(members) {
			d.SetID = i
			dst = append(dst, d)
		}
	}
	d := dispatcher.New(dispatcher.Config{})
	b.ReportAllocs()
	for b.Loop() {
		update(b, d, dst)
	}
}

func TestSelect_Allocations(t *testing.T) {
	for _, alg := range algorithms {
		t.Run(alg.String(), func(t *testing.T) {
			d := newDispatcher(t, alg.Policy(), fleet(32))
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
				t.Errorf("%v allocations, want 0", n)
			}
		})
	}
}
