package cache_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/cache"
	"github.com/sipward/sipward/location/locationtest"
)

// gate is a store whose calls stop when they have done their work, if they are
// told to, before they return.
type gate struct {
	location.Store
	lookup, apply chan struct{} // nil for no stop
}

func (g *gate) Lookup(ctx context.Context, aor location.AOR) ([]location.Binding, error) {
	bs, err := g.Store.Lookup(ctx, aor)
	return bs, g.wait(ctx, g.lookup, err)
}

func (g *gate) Apply(ctx context.Context, aor location.AOR, c location.Change) error {
	return g.wait(ctx, g.apply, g.Store.Apply(ctx, aor, c))
}

func (g *gate) wait(ctx context.Context, c chan struct{}, err error) error {
	if c == nil {
		return err
	}
	select {
	case <-c:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A read that began before a change must neither be kept nor be handed to who
// asks after it.
func TestStore_OldReadDoesNotFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, cache.Config{})
		g := &gate{Store: f.memory, lookup: make(chan struct{})}
		f.cache = newCache(t, g, cache.Config{Now: f.clock.Now})
		old := make(chan int)
		lookup := func() {
			bs, err := f.cache.Lookup(t.Context(), f.aor)
			if err != nil {
				t.Error(err)
			}
			old <- len(bs)
		}
		go lookup()
		synctest.Wait() // it has read that there is none
		f.put(f.cache, "sip:1@a")
		go lookup()
		synctest.Wait() // it must not wait for the first one
		close(g.lookup)
		if a, b := <-old, <-old; a+b != 1 {
			t.Errorf("got %d and %d bindings, want 0 and 1", a, b)
		}
		f.want(0, "sip:1@a")
	})
}

// Neither does a read that began while a change was being made.
func TestStore_ReadDuringChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, cache.Config{MaxAge: time.Hour})
		g := &gate{Store: f.memory, apply: make(chan struct{})}
		f.cache = newCache(t, g, cache.Config{Now: f.clock.Now})
		go func() {
			b := location.Binding{Contact: "sip:1@a", Updated: f.clock.Now(), Expires: f.clock.Now().Add(time.Hour)}
			if err := f.cache.Apply(t.Context(), f.aor, location.Change{Put: []location.Binding{b}}); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		if _, err := f.cache.Lookup(t.Context(), f.aor); err != nil {
			t.Fatal(err)
		}
		if n := f.cache.Stats().Entries; n != 0 {
			t.Error("it was kept")
		}
		close(g.apply)
	})
}

// ordered is a store that returns from the changes with these CSeqs only when
// it is told to.
type ordered struct {
	location.Store
	returns map[uint32]chan struct{}
}

func (o *ordered) Apply(ctx context.Context, aor location.AOR, c location.Change) error {
	err := o.Store.Apply(ctx, aor, c)
	if r := o.returns[c.CSeq]; r != nil {
		<-r
	}
	return err
}

// Changes may return in another order than the backend made them in. What the
// cache has then must be what the backend has.
func TestStore_ChangesOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, cache.Config{})
		o := &ordered{f.backend, map[uint32]chan struct{}{2: make(chan struct{}), 3: make(chan struct{})}}
		f.cache = newCache(t, o, cache.Config{Now: f.clock.Now})
		f.put(f.cache, "sip:1@a")
		f.want(1, "sip:1@a")
		for cseq := uint32(2); cseq <= 3; cseq++ {
			go func() {
				// Not of one Call-ID, or the cache could tell the order.
				b := location.Binding{Contact: "sip:1@a", CallID: fmt.Sprint(cseq), CSeq: cseq, Expires: f.clock.Now().Add(time.Hour)}
				if err := f.cache.Apply(t.Context(), f.aor, location.Change{CSeq: cseq, Put: []location.Binding{b}}); err != nil {
					t.Error(err)
				}
			}()
			synctest.Wait()
		}
		for _, cseq := range []uint32{3, 2} {
			close(o.returns[cseq])
			synctest.Wait()
		}
		bs, err := f.cache.Lookup(t.Context(), f.aor)
		if err != nil || len(bs) != 1 || bs[0].CSeq != 3 {
			t.Errorf("got %v, %v; want CSeq 3", bs, err)
		}
	})
}

// Many callers that want the same ask the backend once. One whose context is
// done leaves the others.
func TestStore_SharedMiss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, cache.Config{})
		f.put(f.memory, "sip:1@a")
		g := &gate{Store: f.backend, lookup: make(chan struct{})}
		f.cache = newCache(t, g, cache.Config{Now: f.clock.Now})
		first, cancelFirst := context.WithCancel(t.Context())
		second, cancelSecond := context.WithCancel(t.Context())
		results := make(chan error)
		lookup := func(ctx context.Context) {
			bs, err := f.cache.Lookup(ctx, f.aor)
			if err == nil && len(bs) != 1 {
				err = fmt.Errorf("got %v", bs)
			}
			results <- err
		}
		go lookup(first)
		synctest.Wait() // it asks
		go lookup(second)
		for range 8 {
			go lookup(t.Context())
		}
		synctest.Wait()
		for _, cancel := range []func(){cancelSecond, cancelFirst} {
			cancel()
			if err := <-results; !errors.Is(err, context.Canceled) {
				t.Errorf("got error %v, want that of its context", err)
			}
		}
		synctest.Wait() // another one asks now
		close(g.lookup)
		for range 8 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if f.backend.lookups != 2 {
			t.Errorf("%d lookups of the backend, want 2", f.backend.lookups)
		}
	})
}

// slow is a store that lets others run between its work and its return.
type slow struct{ location.Store }

func (s slow) Lookup(ctx context.Context, aor location.AOR) ([]location.Binding, error) {
	yield()
	bs, err := s.Store.Lookup(ctx, aor)
	yield()
	return bs, err
}

func (s slow) Apply(ctx context.Context, aor location.AOR, c location.Change) error {
	yield()
	err := s.Store.Apply(ctx, aor, c)
	yield()
	return err
}

func yield() {
	for range rand.IntN(4) {
		runtime.Gosched()
	}
}

// modelRun is a random history that is checked against a plain map.
type modelRun struct {
	*testing.T
	cache *cache.Store
	clock *locationtest.Clock
	aors  []*modelAOR
}

// modelAOR has one writer, who knows what must be there, and many readers, who
// know what must not be there any more.
type modelAOR struct {
	location.AOR
	bindings map[string]location.Binding // by Contact
	floors   map[string]uint32           // the lowest CSeq that a Contact can still have
	returned atomic.Pointer[map[string]uint32]
}

func TestStore_Model(t *testing.T) {
	const writers, readers, rounds = 8, 8, 40
	for name, cfg := range map[string]cache.Config{
		"default": {}, "small": {Size: 4}, "short": {MaxAge: 2 * time.Second, NegativeAge: -1},
	} {
		t.Run(name, func(t *testing.T) {
			clock := locationtest.NewClock()
			cfg.Now = clock.Now
			backend := slow{location.NewMemory(location.MemoryConfig{Now: clock.Now})}
			r := &modelRun{t, newCache(t, backend, cfg), clock, nil}
			for i := range writers {
				r.aors = append(r.aors, &modelAOR{
					AOR: aor(t, fmt.Sprint(i), "a.example"), bindings: map[string]location.Binding{}, floors: map[string]uint32{},
				})
			}
			for round := range rounds {
				clock.Advance(time.Duration(rand.IntN(4)) * time.Second) // while nobody looks
				var wg sync.WaitGroup
				for _, a := range r.aors {
					wg.Go(func() { r.write(a, uint32(round*100)) })
				}
				for range readers {
					wg.Go(r.read)
				}
				wg.Wait()
			}
		})
	}
}

// write makes changes, and looks after each.
func (r *modelRun) write(a *modelAOR, cseq uint32) {
	now := r.clock.Now()
	for range 10 {
		cseq++
		b := location.Binding{
			Contact: fmt.Sprintf("sip:%d@a", rand.IntN(4)), CallID: "call", CSeq: cseq, Updated: now,
			Expires: now.Add(time.Duration(rand.IntN(6)) * time.Second),
		}
		c := location.Change{CallID: "call", CSeq: cseq}
		switch rand.IntN(6) {
		case 0:
			c.Reset = true
			clear(a.bindings)
			for contact := range a.floors {
				a.floors[contact] = cseq + 1
			}
		case 1:
			c.Remove = []location.Binding{b}
			delete(a.bindings, b.Contact)
			a.floors[b.Contact] = cseq + 1
		case 2:
			r.cache.Forget(a.AOR)
			fallthrough
		default:
			c.Put = []location.Binding{b}
			a.bindings[b.Contact] = b
			a.floors[b.Contact] = cseq
		}
		if err := r.cache.Apply(r.Context(), a.AOR, c); err != nil {
			r.Errorf("%v: %v", a.AOR, err)
			return
		}
		floors := maps.Clone(a.floors)
		a.returned.Store(&floors)
		r.compare(a, now)
	}
}

func (r *modelRun) compare(a *modelAOR, now time.Time) {
	var want, got []string
	for _, b := range a.bindings {
		if now.Before(b.Expires) {
			want = append(want, fmt.Sprint(b.Contact, " ", b.CSeq))
		}
	}
	bs, err := r.cache.Lookup(r.Context(), a.AOR)
	if err != nil {
		r.Error(err)
	}
	for _, b := range bs {
		got = append(got, fmt.Sprint(b.Contact, " ", b.CSeq))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		r.Errorf("%v: got %q, want %q", a.AOR, got, want)
	}
}

// read checks that no lookup finds what a change had ended that returned before
// the lookup began.
func (r *modelRun) read() {
	for range 100 {
		a := r.aors[rand.IntN(len(r.aors))]
		floors := a.returned.Load()
		bs, err := r.cache.Lookup(r.Context(), a.AOR)
		if err != nil {
			r.Error(err)
			return
		}
		if floors == nil {
			continue
		}
		for _, b := range bs {
			if floor := (*floors)[b.Contact]; b.CSeq < floor {
				r.Errorf("%v: %s has CSeq %d, want at least %d", a.AOR, b.Contact, b.CSeq, floor)
			}
		}
	}
}
