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

func TestCeilings_Registrations(t *testing.T) {
	c := newCeilings(t, guard.Ceiling{}, map[int]guard.Ceiling{10: {Registrations: 3}})
	now := time.Now()
	until := now.Add(time.Hour)
	for i := range 100 { // who only tries takes nothing
		if err := c.Register(10, fmt.Sprintf("%d@a.example", i), now); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		c.Registered(10, fmt.Sprintf("%d@a.example", i), until, now)
	}
	check := func(set int, aor string, want error) {
		t.Helper()
		if err := c.Register(set, aor, now); !errors.Is(err, want) {
			t.Errorf("set %d, %s: %v, want %v", set, aor, err, want)
		}
	}
	check(10, "3@a.example", guard.ErrRegistrations)
	check(10, "0@a.example", nil) // a refresh
	check(20, "3@b.example", nil) // no ceiling
	c.Registered(10, "0@a.example", now, now)
	check(10, "3@a.example", nil)
	c.Registered(10, "3@a.example", until, now)
	check(10, "0@a.example", guard.ErrRegistrations)
	now = until
	check(10, "0@a.example", nil) // the others have expired
}

func TestCeilings_Calls(t *testing.T) {
	c := newCeilings(t, guard.Ceiling{Calls: 3}, nil)
	now := time.Now()
	call := func(id string, known bool, want error) {
		t.Helper()
		if err := c.Call(10, id, known, now.Add(4*time.Hour), now); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", id, err, want)
		}
	}
	call("1", false, nil)
	call("1", false, nil) // the same
	call("2", false, nil)
	call("3", false, guard.ErrCalls) // strangers have half
	call("3", true, nil)
	call("4", true, guard.ErrCalls)
	if err := c.Call(20, "4", true, now.Add(time.Hour), now); err != nil {
		t.Errorf("other set: %v", err)
	}
	c.Ended(10, "9", 0, now) // none of ours
	call("4", true, guard.ErrCalls)
	c.Ended(10, "2", 486, now)
	c.Ended(10, "2", 486, now)
	call("4", true, nil)
	call("5", true, guard.ErrCalls)
	now = now.Add(4 * time.Hour) // whose end nobody told
	call("5", true, nil)
}

func TestCeilings_CallRate(t *testing.T) {
	c := newCeilings(t, guard.Ceiling{}, map[int]guard.Ceiling{10: {Rate: guard.Limit{Rate: 10, Burst: 20}}})
	now := time.Now()
	n := 0
	begin := func(count int, known bool, status int) (ok int) {
		for range count {
			n++
			id := fmt.Sprint(n)
			if err := c.Call(10, id, known, now.Add(time.Hour), now); err == nil {
				ok++
				c.Ended(10, id, status, now)
			} else if !errors.Is(err, guard.ErrCallRate) {
				t.Fatal(err)
			}
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
	call := func(set int, id string, want error) {
		t.Helper()
		if err := c.Call(set, id, true, now.Add(time.Hour), now); !errors.Is(err, want) {
			t.Errorf("set %d, call %s: %v, want %v", set, id, err, want)
		}
	}
	call(10, "1", nil)
	call(10, "2", nil)
	call(20, "3", nil)
	call(20, "4", guard.ErrCalls)
	if err := c.Set(guard.Ceiling{Calls: 2}, nil); err != nil {
		t.Fatal(err)
	}
	call(20, "4", nil) // the first one still counts
	call(20, "5", guard.ErrCalls)
}
