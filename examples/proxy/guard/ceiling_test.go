package guard_test

import (
	"errors"
	"fmt"
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
	call := func(set int, id string, known bool, want string) {
		t.Helper()
		err := c.Call(set, known, now)
		wantCeiling(t, err, want)
		if err == nil && !c.Begin(set, id, now.Add(4*time.Hour), now) {
			t.Errorf("%s is not counted", id)
		}
	}
	for range 10 { // who only asks takes nothing
		wantCeiling(t, c.Call(10, true, now), "")
	}
	call(10, "1", false, "")
	call(10, "2", false, "")
	call(10, "3", false, "calls") // strangers have half
	call(10, "2", true, "")       // two calls, whatever they are named
	call(10, "4", true, "calls")
	call(20, "4", true, "") // another set
	c.End("9")              // none of ours
	call(10, "5", true, "calls")
	c.Fail(10, "2", 486, now)
	call(10, "5", true, "")
	call(10, "6", true, "calls")
	c.End("2")
	c.End("2") // once too often
	call(10, "6", true, "")
	call(10, "7", true, "calls")
	now = now.Add(4 * time.Hour) // whose end nobody told
	call(10, "7", true, "")
}

func TestCeilings_CallRate(t *testing.T) {
	c := newCeilings(t, guard.Ceiling{}, map[int]guard.Ceiling{10: {Rate: guard.Limit{Rate: 10, Burst: 20}}})
	now := time.Now()
	n := 0
	begin := func(count int, known bool, status int) (ok int) {
		for range count {
			n++
			id := fmt.Sprint(n)
			if err := c.Call(10, known, now); err != nil {
				wantCeiling(t, err, "call_rate")
				continue
			}
			ok++
			c.Begin(10, id, now.Add(time.Hour), now)
			c.Fail(10, id, status, now)
		}
		return ok
	}
	if got := begin(100, false, 401); got != 100 {
		t.Errorf("%d challenged calls, want all 100", got)
	}
	if got := begin(100, false, 486); got != 10 {
		t.Errorf("%d calls of strangers, want half of the burst", got)
	}
	if got := begin(100, true, 486); got != 10 {
		t.Errorf("%d calls, want the rest of the burst", got)
	}
	now = now.Add(time.Second)
	if got := begin(100, true, 486); got != 10 {
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
	call := func(set int, id, want string) {
		t.Helper()
		err := c.Call(set, true, now)
		wantCeiling(t, err, want)
		if err == nil {
			c.Begin(set, id, now.Add(time.Hour), now)
		}
	}
	set := func(all guard.Ceiling) {
		t.Helper()
		if err := c.Set(all, nil); err != nil {
			t.Fatal(err)
		}
	}
	call(10, "1", "")
	call(10, "2", "")
	call(20, "3", "")
	call(20, "4", "calls")
	set(guard.Ceiling{Calls: 2})
	call(20, "4", "") // the first one still counts
	call(20, "5", "calls")
	set(guard.Ceiling{})
	c.End("3") // which is not counted any more
	set(guard.Ceiling{Calls: 1})
	call(20, "6", "")
	call(20, "7", "calls")
}
