package dispatcher_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/dispatcher"
)

const slowStart = 100 * time.Second

// restart returns a Dispatcher to which the first of dst has just come back.
func restart(t *testing.T, policy dispatcher.Policy, dst []dispatcher.Destination) *dispatcher.Dispatcher {
	t.Helper()
	d, n := watch(t, dispatcher.Config{Policy: policy, SlowStart: slowStart}, dst)
	n.set(dst[0].URI, 503)
	time.Sleep(3 * interval)
	n.set(dst[0].URI, 200)
	probes := n.probed()[dst[0].URI]
	time.Sleep(time.Until(probes[len(probes)-1].Add(interval)))
	synctest.Wait()
	return d
}

// The share of what comes back grows in proportion to the time, whatever the
// algorithm: least-calls would give it everything at once.
func TestSlowStart_Share(t *testing.T) {
	const n = 5_000
	rnd := rand.New(rand.NewPCG(11, 12))
	policies := map[string]dispatcher.Policy{
		"affinity":      dispatcher.Affinity.Policy(),
		"round-robin":   dispatcher.RoundRobin.Policy(),
		"random":        dispatcher.RandomPolicy(rnd.Uint64),
		"least-calls":   dispatcher.LeastCalls.Policy(),
		"least-latency": dispatcher.LeastLatency.Policy(),
	}
	for name, policy := range policies {
		for keys, key := range map[string]func(string) string{
			"with keys":    func(aor string) string { return aor },
			"without keys": func(string) string { return "" },
		} {
			if name == "affinity" && keys == "without keys" {
				continue // it has one for all
			}
			t.Run(name+" "+keys, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := restart(t, policy, weighted(1, 1, 1, 0))
					begin := time.Now()
					for _, percent := range []time.Duration{0, 10, 25, 50, 90, 100, 500} {
						time.Sleep(time.Until(begin.Add(percent * slowStart / 100)))
						counts := map[string]int{}
						for _, aor := range aors(n) {
							counts[first(t, d, key(aor))]++
						}
						a := min(float64(percent)/100, 1) / 3
						expectShares(t, map[string]int{"a": counts["a"], "others": counts["b"] + counts["c"]},
							n, map[string]float64{"a": a, "others": 1 - a})
					}
				})
			})
		}
	}
}

// Each key comes home once, and those of other destinations never move.
func TestSlowStart_Affinity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		healthy := newDispatcher(t, nil, weighted(1, 1, 1))
		d := restart(t, nil, weighted(1, 1, 1))
		home := map[string]bool{}
		for range slowStart/time.Second + 2 {
			for _, aor := range aors(1000) {
				got, want := order(t, d, aor), order(t, healthy, aor)
				switch {
				case got == want:
					home[aor] = true
				case home[aor] || want[0] != 'a':
					t.Fatalf("%s: %q, healthy %q", aor, got, want)
				case got[2] != 'a' || strings.Replace(want, "a ", "", 1) != strings.Replace(got, " a", "", 1):
					t.Fatalf("%s: %q, healthy %q, want that with the first two changed", aor, got, want)
				}
			}
			time.Sleep(time.Second)
		}
		if len(home) != 1000 {
			t.Errorf("%d of 1000 keys came home", len(home))
		}
	})
}

// Who stands in for it must be able to.
func TestSlowStart_StandIns(t *testing.T) {
	tests := []struct {
		name   string
		change func(dst []dispatcher.Destination)
		policy dispatcher.Algorithm
		want   string
	}{
		{"the next one", func([]dispatcher.Destination) {}, dispatcher.Priority, "b a c"},
		{"not the one without weight", func(dst []dispatcher.Destination) { dst[1].Weight = 0 }, dispatcher.Priority, "c a b"},
		{"nobody", func(dst []dispatcher.Destination) { dst[1].Weight, dst[2].Weight = 0, 0 }, dispatcher.Priority, "a b c"},
		{"without weight themselves", func(dst []dispatcher.Destination) {
			dst[0].Weight, dst[1].Weight, dst[2].Weight = 0, 0, 0
		}, dispatcher.Priority, "b a c"},
		{"the next lower priority", func(dst []dispatcher.Destination) {
			dst[0].Priority, dst[2].Priority = 9, 5
		}, dispatcher.Priority, "c a b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dst := weighted(1, 1, 1)
				dst[0].Priority, dst[1].Priority = 2, 1
				tt.change(dst)
				d := restart(t, tt.policy.Policy(), dst)
				if got := order(t, d, ""); got != tt.want {
					t.Errorf("order %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// Two that come back at once do not stand in for each other, and all that do
// have their full shares.
func TestSlowStart_Several(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dst := weighted(1, 1, 1)
		d := dispatcher.New(dispatcher.Config{Policy: dispatcher.RoundRobin.Policy(), SlowStart: slowStart})
		off := func(names ...int) {
			var changed []dispatcher.Destination
			for i, x := range dst {
				for _, n := range names {
					if i == n {
						x.State = dispatcher.Inactive
					}
				}
				changed = append(changed, x)
			}
			update(t, d, changed)
			time.Sleep(time.Hour)
			update(t, d, dst)
		}
		update(t, d, dst[1:])
		time.Sleep(time.Hour)
		update(t, d, dst)
		if got := order(t, d, ""); got != "a b c" {
			t.Errorf("order %q, want a b c: what is new does not start slowly", got)
		}
		off(1, 2)
		for range 6 {
			if got := first(t, d, ""); got != "a" {
				t.Errorf("%q first, want a", got)
			}
		}
		off(0, 1, 2)
		counts := map[string]int{}
		for range 6 {
			counts[first(t, d, "")]++
		}
		if counts["a"] != 2 || counts["b"] != 2 {
			t.Errorf("%v first, want each twice", counts)
		}
	})
}

// A policy that leaves everything out is left alone.
func TestSlowStart_EmptyOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		none := dispatcher.PolicyFunc(func(buf []dispatcher.Destination, _ *dispatcher.Set, _ string) []dispatcher.Destination {
			return buf
		})
		d := restart(t, none, weighted(1, 1))
		if got, err := d.Select(setID, "", nil); len(got) != 0 || err != nil {
			t.Errorf("Select = %v, %v", got, err)
		}
	})
}
