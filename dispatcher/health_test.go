package dispatcher_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/dispatcher"
)

// try reports one attempt, more than a second after the one before.
func try(d *dispatcher.Dispatcher, dst dispatcher.Destination, status int, err error) {
	time.Sleep(1100 * time.Millisecond)
	a := d.Begin(dst)
	a.Report(status, err)
	a.End()
}

// states returns the initials of the states of all destinations.
func states(d *dispatcher.Dispatcher) string {
	var b strings.Builder
	for _, s := range d.Status() {
		b.WriteString(strings.ToUpper(s.State.String()[:1]))
	}
	return b.String()
}

// Steps: u, 3 and a are requests that are unanswered, refused with 503 and
// answered; x and o are probes that fail and succeed.
func TestHealth_FallAndRise(t *testing.T) {
	tests := []struct {
		name       string
		fall, rise int
		steps      string
		want       string // states after each step
	}{
		{"defaults", 0, 0, "uuo", "APA"},
		{"probes alone", 2, 1, "xxxo", "APPA"},
		{"requests and probes alike", 2, 1, "xuoux", "APAAP"},
		{"a refusal is a failure", 2, 1, "3u", "AP"},
		{"only in a row", 2, 1, "uauauoxaxu", "AAAAAAAAAP"},
		{"one is enough", 1, 1, "uoxo", "PAPA"},
		{"five are needed", 5, 1, "uuuuou3x3u", "AAAAAAAAAP"},
		{"three have to succeed", 2, 3, "uuoxooxooo", "APPPPPPPPA"},
		{"requests do not bring it back", 1, 1, "uaaaao", "PPPPPA"},
		{"nor do they keep it from coming back", 1, 2, "uououo", "PPPAPP"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dst := weighted(1)
				d, n := watch(t, dispatcher.Config{Fall: tt.fall, Rise: tt.rise, Interval: time.Hour}, dst)
				var got strings.Builder
				for _, step := range tt.steps {
					switch step {
					case 'u':
						try(d, dst[0], 0, errNoAnswer)
					case '3':
						try(d, dst[0], 503, nil)
					case 'a':
						try(d, dst[0], 401, nil)
					case 'x', 'o':
						n.set("sip:a", map[rune]int{'x': 0, 'o': 200}[step])
						time.Sleep(time.Hour)
						if got := len(n.probed()["sip:a"]); got != 1 {
							t.Fatalf("%d probes in an interval", got)
						}
					}
					got.WriteString(states(d))
				}
				if got.String() != tt.want {
					t.Errorf("steps  %s\nstates %s\nwant   %s", tt.steps, &got, tt.want)
				}
			})
		})
	}
}

// P-34: of two PBXes one is a black hole. The first calls wait for it, the next
// ones do not. Answers that say something about the call change nothing (P-27).
func TestHealth_BlackHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dst := weighted(1, 1)
		dst[0].Priority = 1
		d, n := watch(t, dispatcher.Config{Policy: dispatcher.Priority.Policy()}, dst)
		n.set("sip:a", 0)
		for _, status := range []int{100, 180, 200, 302, 401, 404, 408, 480, 486, 500, 504, 603} {
			try(d, dst[1], status, nil)
			try(d, dst[1], status, nil)
		}
		for _, want := range []string{"a b", "a b", "b", "b"} {
			if got := order(t, d, ""); got != want {
				t.Errorf("order %q, want %q", got, want)
			}
			try(d, choice(t, d, ""), 0, errNoAnswer)
			try(d, dst[1], 200, nil)
		}
	})
}

func TestHealth_OneFailureCountsOnce(t *testing.T) {
	tests := []struct {
		name string
		fail func(*dispatcher.Dispatcher, dispatcher.Destination)
	}{
		{"the timeout and the transport error of an attempt", func(d *dispatcher.Dispatcher, dst dispatcher.Destination) {
			a := d.Begin(dst)
			a.Report(0, context.DeadlineExceeded)
			time.Sleep(24 * time.Second)
			a.Report(0, errNoAnswer)
		}},
		{"503 after 100", func(d *dispatcher.Dispatcher, dst dispatcher.Destination) {
			for range 3 {
				time.Sleep(2 * time.Second)
				a := d.Begin(dst)
				a.Report(100, nil)
				a.Report(503, nil)
			}
		}},
		{"a connection breaks", func(d *dispatcher.Dispatcher, dst dispatcher.Destination) {
			var pending []*dispatcher.Attempt
			for range 50 {
				pending = append(pending, d.Begin(dst))
				time.Sleep(100 * time.Millisecond)
			}
			for _, a := range pending {
				a.Report(0, errNoAnswer)
				time.Sleep(time.Millisecond)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dst := weighted(1)
				d := newDispatcher(t, nil, dst)
				tt.fail(d, dst[0])
				if got := states(d); got != "A" {
					t.Errorf("state %s after one failure, want A", got)
				}
			})
		})
	}
}

// What was sent before a PBX went down says nothing once it is back.
func TestHealth_LateReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dst := weighted(1)
		d, n := watch(t, dispatcher.Config{Fall: 1}, dst)
		early := []*dispatcher.Attempt{d.Begin(dst[0]), d.Begin(dst[0])}
		try(d, dst[0], 0, errNoAnswer)
		time.Sleep(interval)
		early[0].Report(0, errNoAnswer)
		if got := states(d); got != "A" {
			t.Errorf("state %s, want A: it has answered a probe since", got)
		}
		n.set("sip:a", 0)
		time.Sleep(2 * interval)
		early[1].Report(200, nil)
		if got := states(d); got != "P" {
			t.Errorf("state %s, want P", got)
		}
		early[0].End()
		if got := d.Status()[0].Calls; got != 1 {
			t.Errorf("%d calls, want 1", got)
		}
	})
}

// P-36: when one of three boxes fails only its AORs move, and they come back.
func TestHealth_Affinity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, n := watch(t, dispatcher.Config{}, weighted(1, 1, 1))
		before := map[string]string{}
		for _, aor := range aors(1000) {
			before[aor] = order(t, d, aor)
		}
		n.set("sip:b", 503)
		time.Sleep(3 * interval)
		for aor, was := range before {
			want := strings.Join(slices.DeleteFunc(strings.Fields(was), func(s string) bool { return s == "b" }), " ")
			if got := order(t, d, aor); got != want {
				t.Fatalf("%s: %q without b, want %q", aor, got, want)
			}
		}
		n.set("sip:b", 200)
		time.Sleep(interval)
		for aor, want := range before {
			if got := order(t, d, aor); got != want {
				t.Fatalf("%s: %q with b back, want %q", aor, got, want)
			}
		}
	})
}

// One PBX in the sets of two tenants is one PBX; from another socket it is not.
func TestHealth_AcrossSets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dst := []dispatcher.Destination{
			{SetID: 10, URI: "sip:a", Weight: 1},
			{SetID: 20, URI: "sip:a", Weight: 1, Description: "shared"},
			{SetID: 20, URI: "sip:a", Weight: 1, Socket: "udp:192.0.2.1:5060"},
			{SetID: 30, URI: "sip:a", Weight: 1, State: dispatcher.Inactive},
			{SetID: 40, URI: "sip:b", Weight: 1},
		}
		d, n := watch(t, dispatcher.Config{Fall: 1}, dst)
		time.Sleep(interval)
		if n := n.probed(); len(n["sip:a"]) != 2 || len(n["sip:b"]) != 1 {
			t.Errorf("probes %v, want one from each socket to each PBX", n)
		}
		d.Begin(dst[0])
		try(d, dst[1], 0, errNoAnswer)
		if got, want := states(d), "PPAIA"; got != want {
			t.Errorf("states %s, want %s", got, want)
		}
		at := time.Now()
		down := func(d dispatcher.Destination) dispatcher.Event {
			d.State = dispatcher.Probing
			return dispatcher.Event{Destination: d, From: dispatcher.Active, To: dispatcher.Probing,
				Cause: "request: no answer", At: at}
		}
		if diff := cmp.Diff([]dispatcher.Event{down(dst[0]), down(dst[1])}, n.take()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if got := d.Status()[1].Calls; got != 1 {
			t.Errorf("%d calls, want that of the other set", got)
		}
	})
}

func TestSelect_AllDown(t *testing.T) {
	for _, alg := range algorithms {
		t.Run(alg.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dst := weighted(1, 0, 1)
				dst[2].State = dispatcher.Inactive
				for anyway, want := range map[bool]string{false: "", true: "a b"} {
					d, n := watch(t, dispatcher.Config{Policy: alg.Policy(), TryIfAllDown: anyway}, dst)
					n.set("sip:a", 0)
					n.set("sip:b", 0)
					time.Sleep(3 * interval)
					got, err := d.Select(setID, "key", nil)
					if names(got) != want || errors.Is(err, dispatcher.ErrAllDown) == anyway {
						t.Errorf("TryIfAllDown %t: %q, %v, want %q", anyway, names(got), err, want)
					}
					n.set("sip:b", 200)
					time.Sleep(interval)
					if got := order(t, d, "key"); got != "b" {
						t.Errorf("TryIfAllDown %t: %q, want b, which is back", anyway, got)
					}
				}
			})
		})
	}
}

// A reload knows less of who is alive than we do. An operator has the last word.
func TestUpdate_KeepsHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dst := weighted(1, 1, 1, 1)
		d, n := watch(t, dispatcher.Config{Fall: 1}, dst)
		setStates := func(states ...dispatcher.State) {
			for i, s := range states {
				dst[i].State = s
			}
			update(t, d, dst)
		}
		want := func(when, want string) {
			t.Helper()
			if got := states(d); got != want {
				t.Errorf("%s: states %s, want %s", when, got, want)
			}
		}
		d.Begin(dst[0])
		try(d, dst[0], 0, errNoAnswer)
		try(d, dst[1], 0, errNoAnswer)
		update(t, d, dst)
		want("reloaded", "PPAA")
		setStates(dispatcher.Active, dispatcher.Inactive, dispatcher.Probing, dispatcher.Inactive)
		want("the table has other states", "PIAI")
		try(d, dst[1], 0, errNoAnswer)
		if got := d.Status()[0]; got.Calls != 1 || got.Failures != 1 || got.Cause != "request: no answer" {
			t.Errorf("status %+v after reloads", got)
		}
		setStates(dispatcher.Active, dispatcher.Active, dispatcher.Active, dispatcher.Probing)
		want("switched on", "PAAP")
		n.take()
		time.Sleep(interval)
		want("probed", "AAAA")
		if got := n.take(); len(got) != 2 || got[0].Cause != "probe: 200" {
			t.Errorf("events %+v, want that a and d are back", got)
		}
		try(d, dst[0], 0, errNoAnswer)
		update(t, d, dst[1:])
		if a := d.Begin(dst[0]); a != nil {
			t.Errorf("Begin of what is gone: %+v, want nil", a)
		}
		setStates(dispatcher.Probing)
		want("gone and new again", "PAAA")
		if got := d.Status()[0]; got.Calls != 0 || got.Failures != 0 {
			t.Errorf("status %+v of what is new", got)
		}
	})
}

// An attempt that outlives its destination does no harm, and a nil one none.
func TestAttempt_OfNobody(t *testing.T) {
	dst := weighted(1, 1)
	d := dispatcher.New(dispatcher.Config{Fall: 1})
	update(t, d, dst)
	a := d.Begin(dst[0])
	update(t, d, dst[1:])
	update(t, d, dst)
	a.Report(0, errNoAnswer)
	a.End()
	if got := d.Status()[0]; got.State != dispatcher.Active || got.Calls != 0 {
		t.Errorf("status %+v", got)
	}
	a = nil
	a.Report(503, nil)
	a.End()
}

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dst := []dispatcher.Destination{
			{SetID: 20, URI: "sip:b", Weight: 1, Priority: 1, State: dispatcher.Probing},
			{SetID: 10, URI: "sip:z", Weight: 0, Attrs: "x=y", Description: "first"},
			{SetID: 20, URI: "sip:a", Weight: 1, Priority: 9, Socket: "udp:192.0.2.1:5060"},
			{SetID: 10, URI: "sip:y", Weight: 1, State: dispatcher.Inactive},
		}
		loaded := time.Now()
		d := dispatcher.New(dispatcher.Config{Fall: 1})
		update(t, d, dst)
		want := make([]dispatcher.Status, 4)
		for i, from := range []int{1, 3, 0, 2} {
			want[i] = dispatcher.Status{Destination: dst[from], Since: loaded}
		}
		if diff := cmp.Diff(want, d.Status()); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
		answer(d, dst[1], 20*time.Millisecond)
		d.Begin(dst[1])
		answer(d, dst[2], 10*time.Millisecond)
		try(d, dst[2], 503, nil)
		try(d, dst[2], 0, errNoAnswer)
		want[0].Calls, want[0].Latency = 1, 20*time.Millisecond
		want[3].State, want[3].Latency, want[3].Failures = dispatcher.Probing, 10*time.Millisecond, 2
		want[3].Cause, want[3].Since = "request: 503", time.Now().Add(-1100*time.Millisecond)
		dst[2].URI = "sip:changed-by-the-caller"
		if diff := cmp.Diff(want, d.Status()); diff != "" {
			t.Errorf("status after requests (-want +got):\n%s", diff)
		}
	})
}

// The hook may use the Dispatcher, and what it causes comes after what it has
// not been told yet.
func TestEvents_Order(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dst := weighted(1, 1)
		other := dst[0]
		other.SetID = 20
		dst = append(dst, other)
		var got []string
		var d *dispatcher.Dispatcher
		busy := false
		d = dispatcher.New(dispatcher.Config{Fall: 1, OnTransition: func(e dispatcher.Event) {
			if busy {
				t.Error("told of an event within another")
			}
			busy = true
			got = append(got, fmt.Sprintf("%d %s %s", e.SetID, e.URI, states(d)))
			try(d, dst[1], 503, nil)
			busy = false
		}})
		update(t, d, dst)
		try(d, dst[0], 503, nil)
		want := []string{"10 sip:a PAP", "20 sip:a PPP", "10 sip:b PPP"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// A hook that panics loses its event and no other.
func TestEvents_Panic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dst := weighted(1, 1)
		var got []string
		d := dispatcher.New(dispatcher.Config{Fall: 1, OnTransition: func(e dispatcher.Event) {
			if e.URI == "sip:a" {
				panic("hook")
			}
			got = append(got, e.URI)
		}})
		update(t, d, dst)
		func() {
			defer func() { _ = recover() }()
			try(d, dst[0], 503, nil)
		}()
		try(d, dst[1], 503, nil)
		if diff := cmp.Diff([]string{"sip:b"}, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// Requests, probes, reloads and who looks on, all at once. Whatever happens,
// each destination goes down and comes back by turns, as the hook is told it.
func TestHealth_Concurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dst := weighted(1, 2, 0, 3, 1)
		d, n := watch(t, dispatcher.Config{Fall: 1, Interval: 2 * time.Second, SlowStart: time.Second}, dst)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				var buf []dispatcher.Destination
				for step := 0; ctx.Err() == nil; step++ {
					buf, _ = d.Select(setID, fmt.Sprint(step), buf[:0])
					for _, x := range buf {
						a := d.Begin(x)
						time.Sleep(time.Duration(50+i) * time.Millisecond)
						if step%7 == i%7 {
							a.Report(0, errNoAnswer)
						} else {
							a.Report(200, nil)
						}
						a.End()
					}
					update(t, d, dst)
					d.Status()
					time.Sleep(20 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		last := map[string]dispatcher.State{}
		events := n.take()
		for _, e := range events {
			if e.From != last[e.URI] || e.To == e.From {
				t.Errorf("%+v follows %v", e, last[e.URI])
			}
			last[e.URI] = e.To
		}
		if len(events) < 100 {
			t.Errorf("only %d events", len(events))
		}
		for _, s := range d.Status() {
			if s.Calls != 0 {
				t.Errorf("%s has %d calls, all have ended", s.URI, s.Calls)
			}
		}
	})
}
