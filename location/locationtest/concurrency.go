package locationtest

import (
	"errors"
	"fmt"
	"sync"

	"github.com/sipward/sipward/location"
)

var concurrencyRules = []rule{
	{"Goroutines", "A thousand goroutines may use the store; each sees what it has applied.", checkGoroutines},
	{"LostUpdate", "Changes of one AOR that come together apply one after the other: the highest CSeq wins and none is half applied.", checkLostUpdate},
	{"KeepTogether", "Keep holds when many phones register together.", checkKeepTogether},
}

// together runs f in n goroutines and reports their errors.
func (f *fixture) together(n int, fn func(i int) error) {
	f.Helper()
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = fn(i)
		})
	}
	close(start)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		f.Fatal(err)
	}
}

func checkGoroutines(f *fixture) {
	const goroutines, perAOR = 1000, 10
	aors := make([]location.AOR, goroutines/perAOR)
	for i := range aors {
		aors[i] = f.aor("201", fmt.Sprintf("t%d.example", i))
	}
	devices := make([]location.Binding, goroutines)
	for i := range devices {
		devices[i] = f.device()
	}
	f.together(goroutines, func(i int) error {
		aor, b := aors[i/perAOR], devices[i]
		for b.CSeq = 1; b.CSeq <= 3; b.CSeq++ {
			if err := f.store.Apply(f.Context(), aor, location.Change{Put: []location.Binding{b}}); err != nil {
				return err
			}
			bs, err := f.store.Lookup(f.Context(), aor)
			if err != nil {
				return err
			}
			if !has(bs, b) {
				return fmt.Errorf("%q: CSeq %d of %q was applied and is not there", aor, b.CSeq, b.Contact)
			}
		}
		return nil
	})
	for _, aor := range aors {
		if n := len(f.lookup(aor)); n != perAOR {
			f.Errorf("%q has %d bindings, want %d", aor, n, perAOR)
		}
	}
}

func has(bs []location.Binding, b location.Binding) bool {
	for _, o := range bs {
		if o.Contact == b.Contact && o.CSeq == b.CSeq {
			return true
		}
	}
	return false
}

func checkLostUpdate(f *fixture) {
	const n = 50
	aor := f.aor("201", "a.example")
	a, b := f.device(), f.device()
	b.CallID = a.CallID
	f.together(n, func(i int) error {
		a, b := a, b
		a.CSeq, b.CSeq = uint32(i+1), uint32(i+1)
		err := f.store.Apply(f.Context(), aor, location.Change{CallID: a.CallID, CSeq: a.CSeq, Put: []location.Binding{a, b}})
		if err != nil && !errors.Is(err, location.ErrStale) {
			return err
		}
		bs, err := f.store.Lookup(f.Context(), aor)
		if err != nil {
			return err
		}
		if len(bs) != 2 || bs[0].CSeq != bs[1].CSeq {
			return fmt.Errorf("half a change: %v", bs)
		}
		return nil
	})
	for _, got := range f.lookup(aor) {
		if got.CSeq != n {
			f.Errorf("%q has CSeq %d, want %d", got.Contact, got.CSeq, n)
		}
	}
}

func checkKeepTogether(f *fixture) {
	const n, keep = 40, 3
	aor := f.aor("201", "a.example")
	devices := make([]location.Binding, n)
	for i := range devices {
		devices[i] = f.device()
	}
	f.together(n, func(i int) error {
		return f.store.Apply(f.Context(), aor, location.Change{Put: devices[i : i+1], Keep: keep})
	})
	if got := len(f.lookup(aor)); got != keep {
		f.Errorf("got %d bindings, want %d", got, keep)
	}
}
