package dispatcher_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/dispatcher"
)

// With no call ending, the calls are as the weights say, to the very call.
func TestLeastCalls_Weights(t *testing.T) {
	dst := weighted(1, 2, 0, 3)
	d := newDispatcher(t, dispatcher.LeastCalls.Policy(), dst)
	for range 60 {
		d.Begin(choice(t, d, ""))
	}
	var got []int
	for _, s := range d.Status() {
		got = append(got, s.Calls)
	}
	if want := [4]int{10, 20, 0, 30}; [4]int(got) != want {
		t.Errorf("calls %v, want %v", got, want)
	}
	// What has no weight gets calls when the others do not take them.
	if got := order(t, d, ""); !strings.HasSuffix(got, " c") {
		t.Errorf("order %q, want c last", got)
	}
}

// Calls of very different lengths, most of them short, come and go. Each
// destination has its share of those that are up, at all times about, which
// Random is far from.
func TestLeastCalls_Balances(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 10))
	weights := []int{1, 2, 3}
	d := newDispatcher(t, dispatcher.LeastCalls.Policy(), weighted(weights...))
	ends := map[int][]*dispatcher.Attempt{} // by step
	open := map[string]int{}
	spread := 0.0
	const steps, warm = 30_000, 5_000
	for step := range steps {
		for _, a := range ends[step] {
			a.End()
			a.End() // does nothing
		}
		delete(ends, step)
		to := step + 1 + int(math.Exp(3+1.5*rnd.NormFloat64())) // log-normal, as calls are
		ends[to] = append(ends[to], d.Begin(choice(t, d, "")))
		if step < warm {
			continue
		}
		least, most := math.Inf(1), 0.0
		for i, s := range d.Status() {
			load := float64(s.Calls) / float64(weights[i])
			least, most = min(least, load), max(most, load)
			open[s.URI] += s.Calls
		}
		spread += (most - least) / (steps - warm)
	}
	if spread > 1 { // of 10 calls for each weight
		t.Errorf("the most and the least loaded are %.2f calls apart, want less than one", spread)
	}
	total := float64(open["sip:a"] + open["sip:b"] + open["sip:c"])
	for i, uri := range []string{"sip:a", "sip:b", "sip:c"} {
		if got, want := float64(open[uri])/total, float64(weights[i])/6; math.Abs(got-want) > 0.01 {
			t.Errorf("%s has %.3f of the calls, want %.3f", uri, got, want)
		}
	}
}

// A call that was answered counts until its attempt ends, whatever becomes of its
// destination meanwhile.
func TestLeastCalls_UntilTheEnd(t *testing.T) {
	dst := weighted(1, 1)
	d := newDispatcher(t, dispatcher.LeastCalls.Policy(), dst)
	calls := []*dispatcher.Attempt{d.Begin(dst[0]), d.Begin(dst[0]), d.Begin(dst[1])}
	for _, a := range calls {
		a.Report(200, nil)
	}
	want := func(what string) {
		t.Helper()
		if got := order(t, d, ""); got != "b a" {
			t.Errorf("%s: order %q, want b a", what, got)
		}
	}
	want("answered")
	update(t, d, changed(dst, 0, func(x *dispatcher.Destination) { x.State = dispatcher.Inactive }))
	update(t, d, dst)
	want("switched off and on")
	update(t, d, changed(dst, 0, func(x *dispatcher.Destination) { x.Description = "another row" }))
	want("loaded again")
	calls[0].End()
	calls[1].End()
	if got := order(t, d, ""); got != "a b" {
		t.Errorf("order %q, want a b: the calls of a have ended", got)
	}
}

// Among idle ones it draws, or the first one would take all short calls.
func TestLeastCalls_DrawsAmongEquals(t *testing.T) {
	const n = 30_000
	d := newDispatcher(t, dispatcher.LeastCalls.Policy(), weighted(1, 1, 1))
	busy := d.Begin(pbx("b", 1))
	counts := map[string]int{}
	for range n {
		counts[first(t, d, "")]++
	}
	expectShares(t, counts, n, map[string]float64{"a": 0.5, "c": 0.5})
	busy.End()
	counts = map[string]int{}
	for range n {
		counts[first(t, d, "")]++
	}
	expectShares(t, counts, n, map[string]float64{"a": 1. / 3, "b": 1. / 3, "c": 1. / 3})
}

func TestLeastLatency(t *testing.T) {
	tests := []struct {
		name      string
		latencies []time.Duration // of a, b, c; 0 has not answered
		want      map[string]float64
	}{
		{"the fastest", []time.Duration{30 * time.Millisecond, 5 * time.Millisecond, 90 * time.Millisecond},
			map[string]float64{"b": 1}},
		{"noise does not decide", []time.Duration{700 * time.Microsecond, 300 * time.Microsecond, 40 * time.Millisecond},
			map[string]float64{"a": 1. / 3, "b": 2. / 3}},
		{"nor far away", []time.Duration{100 * time.Millisecond, 120 * time.Millisecond, 160 * time.Millisecond},
			map[string]float64{"a": 1. / 3, "b": 2. / 3}},
		{"who has not answered is tried", []time.Duration{0, 5 * time.Millisecond, 9 * time.Millisecond},
			map[string]float64{"a": 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 20_000
				dst := weighted(1, 2, 1, 0)
				d := newDispatcher(t, dispatcher.LeastLatency.Policy(), dst)
				for i, latency := range tt.latencies {
					if latency != 0 {
						answer(d, dst[i], latency)
					}
				}
				answer(d, dst[3], time.Microsecond) // it has no weight
				counts := map[string]int{}
				for range n {
					counts[first(t, d, "")]++
				}
				expectShares(t, counts, n, tt.want)
			})
		})
	}
}

// One slow answer does not make a destination slow, many do.
func TestLeastLatency_Smoothed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dst := weighted(1, 1)
		d := newDispatcher(t, dispatcher.LeastLatency.Policy(), dst)
		answer(d, dst[0], 10*time.Millisecond)
		answer(d, dst[1], 40*time.Millisecond)
		for _, step := range []struct {
			slow int
			want string
		}{{0, "a"}, {1, "a"}, {20, "b"}} {
			for range step.slow {
				answer(d, dst[0], 90*time.Millisecond)
			}
			if got := first(t, d, ""); got != step.want {
				t.Errorf("after %d slow answers %q is first, want %q", step.slow, got, step.want)
			}
		}
		// A refusal comes fast from who is broken.
		for range 50 {
			a := d.Begin(dst[0])
			a.Report(503, nil)
			a.End()
		}
		if got := d.Status()[0].Latency; got < 40*time.Millisecond {
			t.Errorf("latency %v after refusals", got)
		}
	})
}

// answer makes dst answer a request after a time.
func answer(d *dispatcher.Dispatcher, dst dispatcher.Destination, after time.Duration) {
	a := d.Begin(dst)
	time.Sleep(after)
	a.Report(200, nil)
	a.End()
}
