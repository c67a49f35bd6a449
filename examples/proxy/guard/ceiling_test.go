package guard_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sipward/sipward/examples/proxy/guard"
)

func newCeilings(t *testing.T, all guard.Ceiling, own map[int]guard.Ceiling) *guard.Ceilings {
	t.Helper()
	c := guard.NewCeilings()
	if err := c.Set(all, own); err != nil {
		t.Fatal(err)
	}
	return c
}

// wantCeiling checks what an error says; "" is nil.
func wantCeiling(t *testing.T, err error, want string) {
	t.Helper()
	got := ""
	if e, ok := errors.AsType[*guard.CeilingError](err); ok {
		got = e.Resource.String()
	}
	if got != want || (err == nil) != (want == "") {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestCeilings_Registrations(t *testing.T) {
	c := newCeilings(t, guard.Ceiling{}, map[int]guard.Ceiling{10: {Registrations: 3}})
	has := func(n int) func() int { return func() int { return n } }
	wantCeiling(t, c.Register(10, has(2)), "")
	wantCeiling(t, c.Register(10, has(3)), "registrations")
	wantCeiling(t, c.Register(10, has(4)), "registrations")
	wantCeiling(t, c.Register(20, func() int { t.Error("counted for nothing"); return 99 }), "")
}

func TestCeilings_Calls(t *testing.T) {
	c := newCeilings(t, guard.Ceiling{Calls: 3}, nil)
	now := time.Now()
	call := func(set int, known bool, want string) (seat *guard.Seat) {
		t.Helper()
		err := c.Call(set, known, now)
		wantCeiling(t, err, want)
		if err == nil {
			if seat = c.Begin(set, now); seat == nil {
				t.Error("it is not counted")
			}
		}
		return seat
	}
	for range 10 { // who only asks takes nothing
		wantCeiling(t, c.Call(10, true, now), "")
	}
	first := call(10, false, "")
	second := call(10, false, "")
	call(10, false, "calls") // strangers have half
	call(10, true, "")
	call(10, true, "calls")
	call(20, true, "") // another set
	first.End()
	first.End() // does nothing
	call(10, true, "")
	call(10, true, "calls")
	second.Challenged(now) // and has still to end
	call(10, true, "calls")
	second.End()
	call(10, true, "")
	call(10, true, "calls")
	var none *guard.Seat
	none.Challenged(now)
	none.End()
}

func TestCeilings_CallRate(t *testing.T) {
	c := newCeilings(t, guard.Ceiling{}, map[int]guard.Ceiling{10: {Rate: guard.Limit{Rate: 10, Burst: 20}}})
	now := time.Now()
	begin := func(count int, known, challenged bool) (ok int) {
		for range count {
			if err := c.Call(10, known, now); err != nil {
				wantCeiling(t, err, "call_rate")
				continue
			}
			ok++
			seat := c.Begin(10, now)
			if challenged {
				seat.Challenged(now)
			}
			seat.End()
		}
		return ok
	}
	if got := begin(100, false, true); got != 100 {
		t.Errorf("%d challenged calls, want all 100", got)
	}
	if got := begin(100, false, false); got != 10 {
		t.Errorf("%d calls of strangers, want half of the burst", got)
	}
	if got := begin(100, true, false); got != 10 {
		t.Errorf("%d calls, want the rest of the burst", got)
	}
	now = now.Add(time.Second)
	if got := begin(100, true, false); got != 10 {
		t.Errorf("%d calls a second later, want 10", got)
	}
}

func TestCeilings_Set(t *testing.T) {
	c := newCeilings(t, guard.Ceiling{Calls: 1}, map[int]guard.Ceiling{10: {}})
	now := time.Now()
	err := c.Set(guard.Ceiling{Calls: -1}, map[int]guard.Ceiling{30: {Rate: guard.Limit{Rate: 1e9}}})
	if err == nil || !strings.Contains(err.Error(), "all sets") || !strings.Contains(err.Error(), "set 30") {
		t.Errorf("%v does not tell of both faults", err)
	}
	call := func(set int, want string) (seat *guard.Seat) {
		t.Helper()
		err := c.Call(set, true, now)
		wantCeiling(t, err, want)
		if err == nil {
			seat = c.Begin(set, now)
		}
		return seat
	}
	set := func(all guard.Ceiling) {
		t.Helper()
		if err := c.Set(all, nil); err != nil {
			t.Fatal(err)
		}
	}
	if seat := call(10, ""); seat != nil {
		t.Errorf("%+v in a set without a ceiling", seat)
	}
	first := call(20, "")
	call(20, "calls")
	set(guard.Ceiling{Calls: 2})
	call(20, "") // the first one still counts
	call(20, "calls")
	set(guard.Ceiling{})
	set(guard.Ceiling{Calls: 1})
	first.End() // which is not counted any more
	call(20, "")
	call(20, "calls")
}
