package locationtest

import (
	"context"
	"errors"
	"time"

	"github.com/sipward/sipward/location"
)

var callerRules = []rule{
	{"Ownership", "Neither call keeps or hands out memory shared with its caller.", checkOwnership},
	{"Context", "Both calls return ctx's error once ctx is done, and Apply has then changed nothing.", checkContext},
}

func checkOwnership(f *fixture) {
	aor := f.aor("201", "a.example")
	a, b := f.device(), f.device()
	a.Q = 500
	c := location.Change{Put: []location.Binding{a, b}, Remove: []location.Binding{f.device()}}
	f.apply(aor, c)
	c.Put[0], c.Put[1].Contact, c.Remove[0] = location.Binding{}, "sip:changed@192.0.2.1", b
	f.want(aor, a, b)

	got := f.lookup(aor)
	got[0], got[1].Contact = got[1], "sip:changed@192.0.2.1"
	_ = append(got[:1], location.Binding{})
	f.want(aor, a, b)
}

func checkContext(f *fixture) {
	aor := f.aor("201", "a.example")
	b := f.device()
	f.put(aor, &b)
	f.want(aor, b)

	canceled := done()
	late, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	for _, tt := range []struct {
		ctx  context.Context
		want error
	}{{canceled, context.Canceled}, {late, context.DeadlineExceeded}} {
		for _, user := range []string{"201", "unknown"} {
			if bs, err := f.store.Lookup(tt.ctx, f.aor(user, "a.example")); !errors.Is(err, tt.want) || bs != nil {
				f.Errorf("Lookup: got %v, %v; want %v", bs, err, tt.want)
			}
		}
		if err := f.store.Apply(tt.ctx, aor, location.Change{CallID: "x", Reset: true}); !errors.Is(err, tt.want) {
			f.Errorf("Apply: got %v, want %v", err, tt.want)
		}
	}
	f.want(aor, b)
}

var reopenRule = rule{"Reopen", "What Apply has stored is there after a restart, with what later changes are checked against.", func(f *fixture) {
	aor := f.aor("201", "a.example")
	a, b := f.device(), f.device()
	a.Instance, a.RegID, a.UserAgent, a.Q = "<urn:uuid:1>", 1, "phone", 500
	a.CSeq = 10
	f.put(aor, &b, &a)

	f.store = f.harness.Reopen(f.T, f.store)
	f.want(aor, a, b)
	old := a
	old.CSeq = 9
	f.wantStale(aor, location.Change{Put: []location.Binding{old}})
	a = f.again(a)
	f.put(aor, &a)
	f.want(aor, a, b)
	f.clock.Advance(time.Hour - time.Second)
	f.want(aor, a)
}}

var breakRule = rule{"Break", "A backend that fails is an error of the call: it never looks like an AOR without bindings.", func(f *fixture) {
	aor, other := f.aor("201", "a.example"), f.aor("202", "a.example")
	b := f.device()
	f.put(aor, &b)

	repair := f.harness.Break(f.T, f.store)
	// A cache may still answer what it knows, so ask what none can know.
	if bs, err := f.store.Lookup(f.Context(), other); err == nil {
		f.Errorf("Lookup: got %v and no error", bs)
	}
	if err := f.store.Apply(f.Context(), aor, location.Change{CallID: "x", Reset: true}); err == nil {
		f.Error("Apply: no error")
	}
	repair()
	f.want(aor, b)
	f.want(other)
	b = f.again(b)
	f.put(aor, &b)
	f.want(aor, b)
}}
