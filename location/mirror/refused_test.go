package mirror_test

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

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/mirror"
)

// TestStore_Refused: one binding that the backend cannot hold keeps nobody else
// waiting, and is not tried for ever.
func TestStore_Refused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		refused, odd := errors.New("too long"), errors.New("nobody knows")
		s := start(t, mirror.Config{
			Backend: b.connect, Dir: t.TempDir(), Refused: func(err error) bool { return errors.Is(err, refused) },
		})
		time.Sleep(time.Second)
		b.refuse[aorOf(t, "0")], b.refuse[aorOf(t, "1")] = refused, odd
		for n := range 300 {
			put(t, s, aorOf(t, fmt.Sprint(n)), phone(n, 1, time.Now()))
		}
		time.Sleep(10 * time.Second)
		if n := b.Len(); n != 298 {
			t.Errorf("the backend has %d bindings", n)
		}
		if st := s.Stats(); st.Refused != 1 || st.Pending != 1 || st.Bindings != 300 {
			t.Errorf("%+v", st)
		}
		b.mu.Lock()
		delete(b.refuse, aorOf(t, "1"))
		b.mu.Unlock()
		time.Sleep(10 * time.Second)
		if st := s.Stats(); st.Pending != 0 || b.Len() != 299 {
			t.Errorf("%+v", st)
		}
	})
}

// TestStore_RefusedIsKept: what the backend will never take stays in memory when
// the AOR is read, while all else of the AOR is as the backend has it, and while no
// other writer has a later state of it.
func TestStore_RefusedIsKept(t *testing.T) {
	for _, age := range []time.Duration{0, 10 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			b := newBackend(nil)
			tooLong := errors.New("too long")
			b.check = func(x *location.Binding) error {
				if len(x.Path) > 255 {
					return tooLong
				}
				return nil
			}
			release := make(chan struct{})
			defer sync.OnceFunc(func() { close(release) })()
			s := start(t, mirror.Config{
				Backend: func(context.Context) (location.Store, error) { return slowLister{b, release}, nil }, // so that all is read
				Dir:     t.TempDir(), MaxAge: age, Refused: func(err error) bool { return errors.Is(err, tooLong) },
			})
			time.Sleep(time.Second)
			aor, now := aorOf(t, "401"), time.Now()
			long := phone(1, 1, now)
			long.Path = strings.Repeat("p", 300)
			if err := s.Apply(t.Context(), aor, location.Change{Put: []location.Binding{long, phone(2, 1, now)}}); err != nil {
				t.Fatal(err)
			}
			read := func(what string, want ...string) {
				t.Helper()
				time.Sleep(20 * time.Second)
				done := make(chan struct{})
				if !s.Refresh(aor, func() { close(done) }) {
					t.Fatal("Refresh is busy")
				}
				<-done
				got := contacts(t, s.NoWait(), aor)
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Errorf("MaxAge %v, %s: memory has %v, want %v", age, what, got, want)
				}
			}
			one, two, three := phone(1, 0, now).Contact, phone(2, 0, now).Contact, phone(3, 0, now).Contact
			read("refused", one, two)
			if got := contacts(t, b.Memory, aor); !slices.Equal(got, []string{two}) {
				t.Errorf("the backend has %v", got)
			}
			put(t, b.Memory, aor, phone(3, 1, time.Now()))
			read("another phone elsewhere", one, two, three)
			put(t, s, aor, phone(2, 2, time.Now()))
			read("another phone here", one, two, three)
			moved := phone(1, 1, time.Now())
			moved.CallID = "moved"
			put(t, b.Memory, aor, moved)
			read("the phone elsewhere", one, two, three)
			if err := b.Memory.Apply(t.Context(), aor, location.Change{CallID: "x", Remove: []location.Binding{moved}}); err != nil {
				t.Fatal(err)
			}
			read("the phone gone there", two, three)
			if st := s.Stats(); st.Pending != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// TestStore_NotTaken: AORs that the backend does not take, more than it gets at a
// time, keep nobody else waiting, whoever comes first.
func TestStore_NotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		s := start(t, mirror.Config{Backend: b.connect, Dir: t.TempDir()})
		time.Sleep(time.Second)
		const bad, good = 500, 300
		for n := range bad {
			aor := aorOf(t, fmt.Sprint("bad", n))
			b.refuse[aor] = errors.New("its row is locked")
			put(t, s, aor, phone(n, 1, time.Now()))
		}
		time.Sleep(time.Minute) // they are alone
		for n := range good {
			put(t, s, aorOf(t, fmt.Sprint(n)), phone(n, 1, time.Now()))
		}
		time.Sleep(time.Minute)
		if st := s.Stats(); st.Pending != bad || b.Len() != good {
			t.Errorf("the backend has %d bindings: %+v", b.Len(), st)
		}
		b.mu.Lock()
		clear(b.refuse)
		b.mu.Unlock()
		time.Sleep(time.Minute)
		if st := s.Stats(); st.Pending != 0 || b.Len() != bad+good || !st.Healthy {
			t.Errorf("the backend has %d bindings: %+v", b.Len(), st)
		}
	})
}

// TestStore_RefreshWhileFailing: a phone that refreshes while the backend fails to
// take its last change does not make it look as if that had been taken.
func TestStore_RefreshWhileFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		s := start(t, mirror.Config{Backend: b.connect, Linger: -1})
		time.Sleep(time.Second)
		b.fail(errGone)
		aor := aorOf(t, "401")
		cseq := 1
		b.onApply = func() { // while it is on its way
			if cseq++; cseq > 100 {
				return
			}
			put(t, s.NoWait(), aor, phone(1, cseq, time.Now()))
		}
		put(t, s.NoWait(), aor, phone(1, cseq, time.Now()))
		time.Sleep(time.Minute)
		if st := s.Stats(); st.Healthy || st.Pending != 1 || cseq > 30 {
			t.Errorf("after %d changes: %+v", cseq, st)
		}
		b.mu.Lock()
		b.onApply = nil
		b.mu.Unlock()
	})
}

// TestStore_RefusedBesideOthers: what is written one by one, since one Contact of a
// phone is refused, does not replace each other although it came from one socket.
func TestStore_RefusedBesideOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		tooLong := errors.New("too long")
		b.check = func(x *location.Binding) error {
			if len(x.Contact) > 255 {
				return tooLong
			}
			return nil
		}
		s := start(t, mirror.Config{
			Backend: b.connect, Dir: t.TempDir(), Refused: func(err error) bool { return errors.Is(err, tooLong) },
		})
		time.Sleep(time.Second)
		aor := aorOf(t, "401")
		puts := onOneSocket(1, "sip:a@10.0.0.1", "sip:"+strings.Repeat("x", 300)+"@10.0.0.1", "sip:b@10.0.0.1", "sip:c@10.0.0.1")
		if err := s.Apply(t.Context(), aor, location.Change{Put: puts}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		for name, want := range map[location.Store]int{b.Memory: 3, s.NoWait(): 4} {
			if got := contacts(t, name, aor); len(got) != want {
				t.Errorf("%T has %v", name, got)
			}
		}
	})
}
