package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/mirror"
)

// TestStore_OtherWriter: what another writer does is seen when MaxAge has
// passed, and not before; without the backend memory counts.
func TestStore_OtherWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		s := start(t, mirror.Config{Backend: b.connect, MaxAge: 10 * time.Second})
		time.Sleep(time.Second)
		aor := aorOf(t, "401")
		mine, other := phone(1, 1, time.Now()), phone(2, 1, time.Now())
		put(t, s, aor, mine)
		time.Sleep(time.Second)

		put(t, b.Memory, aor, other)
		if got := contacts(t, s, aor); !slices.Equal(got, []string{mine.Contact}) {
			t.Errorf("at once: %v", got)
		}
		time.Sleep(10 * time.Second)
		if got := contacts(t, s, aor); len(got) != 2 {
			t.Errorf("after MaxAge: %v", got)
		}
		if err := b.Memory.Apply(t.Context(), aor, location.Change{CallID: "x", Remove: []location.Binding{mine}}); err != nil {
			t.Fatal(err)
		}
		b.fail(errGone)
		time.Sleep(10 * time.Second)
		if got := contacts(t, s, aor); len(got) != 2 {
			t.Errorf("while the backend is away: %v", got)
		}
		b.fail(nil)
		time.Sleep(6 * time.Second)
		if got := contacts(t, s, aor); !slices.Equal(got, []string{other.Contact}) {
			t.Errorf("when it is back: %v", got)
		}
	})
}

// TestStore_OutageIsNotWaitedFor: once a backend is known to be gone, nobody waits
// for it who asks for an AOR that all is known of, asked for before or not.
func TestStore_OutageIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		known, unknown := aorOf(t, "401"), aorOf(t, "402")
		put(t, b.Memory, known, phone(1, 1, time.Now()))
		s := start(t, mirror.Config{Backend: b.connect, MaxAge: time.Minute})
		time.Sleep(time.Second)
		b.fail(errGone)
		time.Sleep(10 * time.Second) // it is noticed
		for _, aor := range []location.AOR{known, unknown} {
			if stale, err := s.Check(aor); stale || err != nil {
				t.Errorf("%v: Check = %v, %v", aor, stale, err)
			}
		}
		b.fail(nil)
		time.Sleep(10 * time.Second)
		if stale, err := s.Check(known); !stale || err != nil {
			t.Errorf("when it is back: Check = %v, %v; want stale", stale, err)
		}
	})
}

// TestStore_OutageEnds: a backend that need not be swept is found to be there again,
// although nobody waits for it.
func TestStore_OutageEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		aor := aorOf(t, "401")
		put(t, b.Memory, aor, phone(1, 1, time.Now()))
		s := start(t, mirror.Config{MaxAge: time.Minute, Backend: func(context.Context) (location.Store, error) {
			return struct {
				location.Store
				location.Lister
			}{b, b}, nil
		}})
		time.Sleep(time.Minute + time.Second)
		b.fail(errGone)
		if got := contacts(t, s, aor); len(got) != 1 || s.Healthy() {
			t.Errorf("it is healthy, and has %v", got)
		}
		b.fail(nil)
		time.Sleep(10 * time.Second)
		if stale, err := s.Check(aor); !stale || err != nil || !s.Healthy() {
			t.Errorf("when it is back: Check = %v, %v; want stale", stale, err)
		}
	})
}

// TestStore_LaterRegister: of two writers, the one with the later REGISTER of a
// phone wins, whoever writes last; what else the loser has to write is written.
func TestStore_LaterRegister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		s := start(t, mirror.Config{Backend: b.connect, Linger: time.Second})
		time.Sleep(time.Second)
		aor := aorOf(t, "401")
		old, second := phone(1, 5, time.Now()), phone(2, 1, time.Now())
		if err := s.Apply(t.Context(), aor, location.Change{Put: []location.Binding{old, second}}); err != nil {
			t.Fatal(err)
		}
		later := phone(1, 6, time.Now().Add(100*time.Millisecond))
		later.Q = 700
		put(t, b.Memory, aor, later)
		time.Sleep(5 * time.Second)
		for name, store := range map[string]location.Store{"backend": b.Memory, "memory": s.NoWait()} {
			bs, err := store.Lookup(t.Context(), aor)
			if err != nil || len(bs) != 2 || bs[0].Q != 700 || bs[1].Contact != second.Contact {
				t.Errorf("%s has %+v, %v", name, bs, err)
			}
		}
		if st := s.Stats(); st.Stale != 1 || st.Pending != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// TestStore_ReplayIsOvertaken: a journal that is read again does not undo what
// another writer has done since.
func TestStore_ReplayIsOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		cfg := mirror.Config{Backend: b.connect, Dir: t.TempDir()}
		s := start(t, cfg)
		time.Sleep(time.Second)
		b.fail(errGone)
		moved, back, cleared := aorOf(t, "moved"), aorOf(t, "back"), aorOf(t, "cleared")
		put(t, s, moved, phone(1, 1, time.Now()))
		put(t, s, back, phone(1, 1, time.Now()))
		for _, c := range []location.Change{{CallID: "call-1", CSeq: 2, Remove: []location.Binding{phone(1, 2, time.Now())}}} {
			if err := s.Apply(t.Context(), back, c); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Apply(t.Context(), cleared, location.Change{CallID: "call-1", Reset: true}); err != nil {
			t.Fatal(err)
		}
		s.kill(b)
		time.Sleep(time.Minute)
		for _, aor := range []location.AOR{moved, back, cleared} {
			now := phone(1, 9, time.Now())
			now.CallID, now.Flow.Remote = "rebooted", phone(7, 1, time.Now()).Flow.Remote
			put(t, b.Memory, aor, now)
		}
		s = start(t, cfg)
		time.Sleep(5 * time.Second)
		for _, aor := range []location.AOR{moved, back, cleared} {
			for name, store := range map[string]location.Store{"backend": b.Memory, "memory": s.NoWait()} {
				bs, err := store.Lookup(t.Context(), aor)
				if err != nil || len(bs) != 1 || bs[0].CallID != "rebooted" {
					t.Errorf("%v: %s has %+v, %v", aor, name, bs, err)
				}
			}
		}
	})
}

// TestStore_ReplayOfSameSecond: a journal, which has seconds only, brings back none
// of what was removed in the second in which it came.
func TestStore_ReplayOfSameSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		cfg := mirror.Config{Backend: b.connect, Dir: t.TempDir(), Linger: -1}
		s := start(t, cfg)
		time.Sleep(time.Second)
		aors := map[location.AOR]location.Change{
			aorOf(t, "removed"): {CallID: "call-1", CSeq: 2, Remove: []location.Binding{phone(1, 2, time.Now())}},
			aorOf(t, "cleared"): {CallID: "call-1", CSeq: 2, Reset: true},
		}
		for aor := range aors {
			time.Sleep(time.Millisecond)
			put(t, s, aor, phone(1, 1, time.Now()))
		}
		time.Sleep(100 * time.Millisecond)
		b.fail(errGone)
		for aor, c := range aors {
			if got := contacts(t, b.Memory, aor); len(got) != 1 {
				t.Fatalf("%v: the backend has %v", aor, got)
			}
			if err := s.Apply(t.Context(), aor, c); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // the second time from what the first process has written anew
			s.kill(b)
			b.fail(errGone)
			s = start(t, cfg)
		}
		b.fail(nil)
		time.Sleep(5 * time.Second)
		if n := b.Len(); n != 0 {
			t.Errorf("the backend has %d bindings", n)
		}
	})
}

// TestStore_Bounded: the backend cannot lack more than it is allowed to. Phones
// that are in the queue already go on.
func TestStore_Bounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		b.fail(errGone)
		s := start(t, mirror.Config{Backend: b.connect, MaxPending: 10})
		view := s.NoWait()
		for n := range 10 {
			put(t, view, aorOf(t, fmt.Sprint(n)), phone(n, 1, time.Now()))
		}
		eleventh := aorOf(t, "10")
		err := view.Apply(t.Context(), eleventh, location.Change{Put: []location.Binding{phone(10, 1, time.Now())}})
		if !errors.Is(err, mirror.ErrFull) {
			t.Errorf("the eleventh: %v, want ErrFull", err)
		}
		if got := contacts(t, view, eleventh); got != nil {
			t.Errorf("it is there: %v", got)
		}
		put(t, view, aorOf(t, "3"), phone(3, 2, time.Now()))
		b.fail(nil)
		time.Sleep(10 * time.Second)
		put(t, view, eleventh, phone(10, 1, time.Now()))
	})
}

// TestStore_ChangesWhileLoading: what is registered, refreshed and removed while
// the backend is being read is not undone by what is read.
func TestStore_ChangesWhileLoading(t *testing.T) {
	const aors = 500
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			b := newBackend(nil)
			for n := range aors {
				put(t, b.Memory, aorOf(t, fmt.Sprint(n)), phone(1, 1, time.Now()))
			}
			time.Sleep(time.Second)
			s := start(t, mirror.Config{Backend: b.connect, Linger: -1})
			view := s.NoWait()
			rnd := rand.New(rand.NewPCG(seed, 1))
			want := map[location.AOR][]string{}
			for range 100 {
				aor := aorOf(t, fmt.Sprint(rnd.IntN(aors)))
				if rnd.IntN(2) == 0 {
					put(t, view, aor, phone(1, 2, time.Now()))
					want[aor] = []string{phone(1, 1, time.Now()).Contact}
				} else if err := view.Apply(t.Context(), aor, location.Change{CallID: "z", Remove: []location.Binding{phone(1, 1, time.Now())}}); err != nil {
					t.Fatal(err)
				} else {
					want[aor] = nil
				}
				if rnd.IntN(10) == 0 {
					time.Sleep(time.Millisecond)
				}
			}
			time.Sleep(5 * time.Second)
			if st := s.Stats(); !st.Loaded || st.Pending != 0 || st.Bindings != b.Len() {
				t.Fatalf("%+v, and the backend has %d bindings", st, b.Len())
			}
			for aor, want := range want {
				for name, store := range map[string]location.Store{"backend": b.Memory, "memory": view} {
					if got := contacts(t, store, aor); !slices.Equal(got, want) {
						t.Errorf("%v: %s has %v, want %v", aor, name, got, want)
					}
				}
			}
		})
	}
}

// TestStore_Check: while the backend is being read, an AOR that is not known is
// told from one without bindings, and is read on its own.
func TestStore_Check(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		aor := aorOf(t, "401")
		put(t, b.Memory, aor, phone(1, 1, time.Now()))
		release := make(chan struct{})
		s := start(t, mirror.Config{Backend: func(context.Context) (location.Store, error) {
			return slowLister{b, release}, nil
		}})
		if stale, err := s.Check(aor); !stale || err != nil {
			t.Errorf("Check = %v, %v; want stale", stale, err)
		}
		done := make(chan struct{})
		if !s.Refresh(aor, func() { close(done) }) {
			t.Fatal("Refresh is busy")
		}
		<-done
		if stale, err := s.Check(aor); stale || err != nil {
			t.Errorf("after Refresh: Check = %v, %v", stale, err)
		}
		if got := contacts(t, s.NoWait(), aor); len(got) != 1 {
			t.Errorf("it has %v", got)
		}
		b.fail(errGone)
		other := aorOf(t, "402")
		if _, err := s.Lookup(t.Context(), other); !errors.Is(err, mirror.ErrUnknown) || !errors.Is(err, errGone) {
			t.Errorf("Lookup = %v, want ErrUnknown and the backend's", err)
		}
		loaded := make(chan struct{})
		if s.Loaded() || s.Certain() || s.WhenLoaded(func() { close(loaded) }) == nil {
			t.Error("it says that all is loaded")
		}
		for range 1000 { // whoever waits no longer leaves nothing behind
			s.WhenLoaded(func() { t.Error("called after stop") })()
		}
		if n := s.Waiting(); n != 1 {
			t.Errorf("%d wait", n)
		}
		b.fail(nil)
		close(release)
		<-loaded
		if s.WhenLoaded(func() { t.Error("called") }) != nil || !s.Certain() {
			t.Error("it says that not all is loaded")
		}
		if stale, err := s.Check(other); stale || err != nil || !s.Loaded() {
			t.Errorf("when all is loaded: Check = %v, %v", stale, err)
		}
	})
}

// TestStore_TwoWriters: two Stores with one backend, and whatever they do to the
// same AORs, have the same in the end as it has.
func TestStore_TwoWriters(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			b := newBackend(nil)
			const maxAge = 10 * time.Second
			stores := []*running{
				start(t, mirror.Config{Backend: b.connect, MaxAge: maxAge, Dir: t.TempDir()}),
				start(t, mirror.Config{Backend: b.connect, MaxAge: maxAge}),
			}
			time.Sleep(time.Second)
			var wg sync.WaitGroup
			for i, s := range stores {
				rnd := rand.New(rand.NewPCG(seed, uint64(i)))
				wg.Go(func() { mess(t, s, rnd) })
			}
			rnd := rand.New(rand.NewPCG(seed, 9))
			for range 5 {
				time.Sleep(time.Duration(rnd.IntN(20)) * time.Second)
				b.fail(errGone)
				time.Sleep(time.Duration(rnd.IntN(20)) * time.Second)
				b.fail(nil)
			}
			wg.Wait()
			time.Sleep(time.Minute)
			for n := range 5 {
				aor := aorOf(t, fmt.Sprint(n))
				want, err := b.Lookup(t.Context(), aor)
				if err != nil {
					t.Fatal(err)
				}
				for i, s := range stores {
					got, err := s.Lookup(t.Context(), aor)
					if err != nil {
						t.Fatal(err)
					}
					if d := cmp.Diff(want, got, cmp.Comparer(sameBinding)); d != "" {
						t.Errorf("seed %d, %v, store %d (-backend +memory):\n%s", seed, aor, i, d)
					}
				}
			}
			for i, s := range stores {
				if st := s.Stats(); st.Pending != 0 {
					t.Errorf("store %d: %+v", i, st)
				}
			}
		})
	}
}

// sameBinding compares what comes through a backend as it is.
func sameBinding(a, b location.Binding) bool { return a == b }

// mess makes changes of a few phones of a few AORs. Each phone is rebooted with
// each REGISTER, so that the time tells which one is the last.
func mess(t *testing.T, s location.Store, rnd *rand.Rand) {
	for i := range 100 {
		time.Sleep(time.Duration(rnd.IntN(2000)+1) * time.Millisecond)
		aor, b := aorOf(t, fmt.Sprint(rnd.IntN(5))), phone(rnd.IntN(3), 1, time.Now())
		b.CallID = fmt.Sprintf("%v-%d", b.Updated, i)
		c := location.Change{CallID: b.CallID, CSeq: 1, Put: []location.Binding{b}, Keep: 3}
		switch rnd.IntN(6) {
		case 0:
			c = location.Change{CallID: b.CallID, CSeq: 1, Remove: []location.Binding{b}}
		case 1:
			c = location.Change{CallID: b.CallID, CSeq: 1, Reset: true}
		}
		if err := s.Apply(context.Background(), aor, c); err != nil {
			t.Error(err)
		}
	}
}

// TestStore_ForgetIsNoLaterRegister: who forgets a phone, which he does by the
// Call-ID and CSeq that it has here, does not remove what it has registered
// elsewhere since, which he has not seen.
func TestStore_ForgetIsNoLaterRegister(t *testing.T) {
	for _, restart := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newBackend(nil)
			cfg := mirror.Config{Backend: b.connect, MaxAge: 10 * time.Second, Dir: t.TempDir()}
			s := start(t, cfg)
			time.Sleep(time.Second)
			moved, gone, left := aorOf(t, "moved"), aorOf(t, "gone"), aorOf(t, "left")
			old := phone(1, 1, time.Now())
			for _, aor := range []location.AOR{moved, gone, left} {
				put(t, s, aor, old)
			}
			time.Sleep(time.Minute)
			for _, aor := range []location.AOR{moved, gone, left} {
				contacts(t, s, aor) // so that memory is trusted
			}
			elsewhere := phone(1, 1, time.Now())
			elsewhere.CallID = "elsewhere"
			put(t, b.Memory, moved, elsewhere)
			put(t, b.Memory, left, elsewhere)
			time.Sleep(time.Second)
			if restart {
				b.fail(errGone)
			}
			for aor, cseq := range map[location.AOR]uint32{moved: 1, gone: 1, left: 2} { // left has removed itself
				if err := s.NoWait().Apply(t.Context(), aor, location.Change{CallID: old.CallID, CSeq: cseq, Remove: []location.Binding{old}}); err != nil {
					t.Fatal(err)
				}
				if got := contacts(t, s.NoWait(), aor); got != nil {
					t.Errorf("%v has %v", aor, got)
				}
			}
			if restart {
				s.kill(b)
				s = start(t, cfg)
			}
			time.Sleep(20 * time.Second)
			for aor, want := range map[location.AOR]int{moved: 1, gone: 0, left: 0} {
				for name, store := range map[string]location.Store{"backend": b.Memory, "memory": s} {
					if got := contacts(t, store, aor); len(got) != want {
						t.Errorf("restart %v, %v: %s has %v", restart, aor, name, got)
					}
				}
			}
		})
	}
}

// TestStore_LateForSlowBackend: what is late reaches a backend that is slow to tell
// what it has, however much it is.
func TestStore_LateForSlowBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		s := start(t, mirror.Config{Backend: b.connect, MaxAge: time.Hour})
		time.Sleep(time.Second)
		b.fail(errGone)
		const n = 300
		for i := range n {
			put(t, s.NoWait(), aorOf(t, fmt.Sprint(i)), phone(i, 1, time.Now()))
		}
		time.Sleep(time.Minute)
		b.mu.Lock()
		b.onLookup = func(location.AOR) { time.Sleep(200 * time.Millisecond) }
		b.mu.Unlock()
		b.fail(nil)
		time.Sleep(2 * time.Minute)
		if st := s.Stats(); st.Pending != 0 || b.Len() != n {
			t.Errorf("the backend has %d bindings: %+v", b.Len(), st)
		}
	})
}
