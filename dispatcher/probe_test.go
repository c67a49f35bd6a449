package dispatcher_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/dispatcher"
)

// pbxes returns n destinations.
func pbxes(n int) []dispatcher.Destination {
	dst := make([]dispatcher.Destination, n)
	for i := range dst {
		dst[i] = pbx(fmt.Sprintf("10.0.%d.%d", i/250, i%250+1), 1)
	}
	return dst
}

// Each PBX is probed once in each interval, always at the same time of it but for
// the 100 ms within which probes are sent together, and these times are spread.
func TestRun_Spread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, rounds = 600, 5
		start := time.Now()
		_, net := watch(t, dispatcher.Config{}, pbxes(n))
		time.Sleep(rounds * interval)
		synctest.Wait()
		times := net.probed()
		if len(times) != n {
			t.Errorf("%d PBXes were probed, want %d", len(times), n)
		}
		perSecond := map[time.Duration]int{}
		for uri, at := range times {
			if len(at) < rounds-1 || len(at) > rounds || at[0].Sub(start) > interval+100*time.Millisecond {
				t.Fatalf("%s was probed at %v, want %d times", uri, at, rounds)
			}
			for i := 1; i < len(at); i++ {
				if got := at[i].Sub(at[i-1]); got < interval-100*time.Millisecond || got > interval+100*time.Millisecond {
					t.Fatalf("%s: %v between probes, want %v", uri, got, interval)
				}
			}
			perSecond[at[0].Sub(start)/time.Second]++
		}
		for second, probes := range perSecond { // 20 ± 5 σ
			if probes > 42 {
				t.Errorf("%d probes in second %d, want 20 about", probes, second)
			}
		}
	})
}

// What comes later joins at its times, not all of it at once.
func TestRun_LoadedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 600
		d, net := watch(t, dispatcher.Config{}, nil)
		time.Sleep(interval / 2)
		update(t, d, pbxes(n))
		time.Sleep(interval + time.Second)
		probed := net.probed()
		if len(probed) != n {
			t.Errorf("%d PBXes were probed, want %d", len(probed), n)
		}
		perMoment := map[time.Time]int{}
		for _, at := range probed {
			perMoment[at[0]]++
		}
		for at, probes := range perMoment {
			if probes > 42 {
				t.Errorf("%d probes at %v", probes, at)
			}
		}
	})
}

// Another process probes at the same times, and so does this one after reloads,
// even of what was not there before.
func TestRun_OwnTimes(t *testing.T) {
	var offsets [2]map[string]time.Duration
	for i := range offsets {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			dst := pbxes(20)
			d, n := watch(t, dispatcher.Config{}, dst[i:])
			for step := range 350 {
				if step == 50 {
					n.probed() // what is new may be late the first time
				}
				time.Sleep(interval / 50)
				update(t, d, dst)
			}
			offsets[i] = map[string]time.Duration{}
			for uri, at := range n.probed() {
				if len(at) != 6 {
					t.Errorf("%s was probed at %v, want six times", uri, at)
				}
				offsets[i][uri] = at[0].Sub(start) % interval
			}
		})
	}
	if diff := cmp.Diff(offsets[0], offsets[1]); diff != "" || len(offsets[0]) != 20 {
		t.Errorf("%d offsets (-one +other):\n%s", len(offsets[0]), diff)
	}
}

// P-35: what is active is probed, and so is what was down when it was loaded.
// What an operator has switched off is not.
func TestRun_States(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dst := weighted(1, 1, 1)
		dst[1].State, dst[2].State = dispatcher.Inactive, dispatcher.Probing
		d, n := watch(t, dispatcher.Config{}, dst)
		if got := states(d); got != "AIP" {
			t.Errorf("states %s before there was a probe, want AIP", got)
		}
		n.set("sip:a", 0)
		time.Sleep(3 * interval)
		if n := n.probed(); len(n["sip:a"]) != 3 || len(n["sip:c"]) != 3 || len(n) != 2 {
			t.Errorf("probes %v, want three of a and c", n)
		}
		if got := states(d); got != "PIA" {
			t.Errorf("states %s, want PIA", got)
		}
	})
}

// What is to be probed only when it is down is not before requests have found that
// out, and until then costs no probe. Another set that has the PBX may want more.
func TestRun_ProbeDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dst := weighted(1, 1, 1)
		for i := range dst {
			dst[i].ProbeDown = true
		}
		dst[1].State = dispatcher.Probing
		other := dst[2]
		other.SetID, other.ProbeDown = 20, false
		d, n := watch(t, dispatcher.Config{Fall: 2, Rise: 2}, append(dst, other))
		time.Sleep(4 * interval)
		if n := n.probed(); len(n["sip:a"]) != 0 || len(n["sip:b"]) != 2 || len(n["sip:c"]) != 4 {
			t.Errorf("probes %v, want none of a, two of b until it was back, and all of c", n)
		}
		try(d, dst[0], 0, errNoAnswer)
		time.Sleep(2 * interval)
		if n := n.probed(); len(n["sip:a"]) != 0 {
			t.Errorf("probes of what is not down: %v", n["sip:a"])
		}
		try(d, dst[0], 0, errNoAnswer)
		time.Sleep(4 * interval)
		if n := n.probed(); len(n["sip:a"]) != 2 || states(d) != "AAAA" {
			t.Errorf("probes %v, states %s, want two until it was back", n["sip:a"], states(d))
		}
	})
}

func TestRun_Alive(t *testing.T) {
	strict := func(status int) bool { return status == 200 }
	tests := []struct {
		alive func(int) bool
		up    []int
		down  []int
	}{
		{nil, []int{200, 202, 301, 401, 403, 404, 405, 480, 486, 501, 600, 603}, []int{0, 408, 500, 502, 503, 504, 513}},
		{strict, []int{200}, []int{0, 202, 404, 503}},
	}
	for _, tt := range tests {
		for want, statuses := range map[string][]int{"A": tt.up, "P": tt.down} {
			for _, status := range statuses {
				t.Run(fmt.Sprintf("strict=%t/%d", tt.alive != nil, status), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						d, n := watch(t, dispatcher.Config{Fall: 1, Alive: tt.alive}, weighted(1))
						n.set("sip:a", status)
						time.Sleep(interval + 5*time.Second)
						if got := states(d); got != want {
							t.Errorf("state %s, want %s", got, want)
						}
					})
				})
			}
		}
	}
}

// A probe has its time, and only one is on its way to a PBX.
func TestRun_OneInFlight(t *testing.T) {
	for timeout, want := range map[time.Duration]int{
		0:                 4, // 4 seconds
		50 * time.Second:  2,
		100 * time.Second: 1,
	} {
		t.Run(timeout.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, n := watch(t, dispatcher.Config{Timeout: timeout}, weighted(1))
				n.set("sip:a", 0)
				time.Sleep(4 * interval)
				if got := len(n.probed()["sip:a"]); got != want {
					t.Errorf("%d probes in four intervals, want %d", got, want)
				}
				if timeout == 0 {
					if diff := cmp.Diff("probe: context deadline exceeded", d.Status()[0].Cause); diff != "" {
						t.Errorf("cause (-want +got):\n%s", diff)
					}
				}
			})
		})
	}
}

// Run waits for its probes. They do not count: they end because it does.
func TestRun_End(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := 0
		ctx, cancel := context.WithCancel(t.Context())
		d := dispatcher.New(dispatcher.Config{Fall: 1, Ping: func(probe context.Context, _ dispatcher.Destination) (int, error) {
			cancel()
			<-probe.Done()
			time.Sleep(time.Second)
			ended++
			return 0, probe.Err()
		}})
		update(t, d, weighted(1))
		if err := d.Run(ctx); err != nil {
			t.Error(err)
		}
		if ended != 1 {
			t.Errorf("%d probes had ended, want 1", ended)
		}
		if got := d.Status()[0]; got.State != dispatcher.Active || got.Failures != 0 {
			t.Errorf("status %+v", got)
		}
	})
}

// Without probes nobody finds out who is back. So it is tried, and must not
// fail again.
func TestRun_WithoutProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dst := weighted(1, 1, 1)
		dst[1].State, dst[2].State = dispatcher.Probing, dispatcher.Inactive
		var causes []string
		d := dispatcher.New(dispatcher.Config{Fall: 3, OnTransition: func(e dispatcher.Event) {
			causes = append(causes, e.Cause)
		}})
		update(t, d, dst)
		run(t, d)
		want := func(want string) {
			t.Helper()
			if got := states(d); got != want {
				t.Errorf("states %s, want %s", got, want)
			}
		}
		for range 3 {
			want("API")
			try(d, dst[0], 0, errNoAnswer)
		}
		want("PPI")
		time.Sleep(interval - 10*time.Second)
		want("PPI")
		time.Sleep(interval + 10*time.Second)
		want("AAI")
		try(d, dst[0], 200, nil)
		try(d, dst[0], 0, errNoAnswer)
		try(d, dst[1], 0, errNoAnswer)
		want("API")
		again := []string{"request: no answer", "on trial, as nothing is probed",
			"on trial, as nothing is probed", "request: no answer"}
		if diff := cmp.Diff(again, causes); diff != "" {
			t.Errorf("causes (-want +got):\n%s", diff)
		}
	})
}
