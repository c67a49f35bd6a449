package mirror_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/mirror"
)

// TestStore_CompactWhileWriting: what is on its way to a backend that hangs keeps
// nothing on disk but itself.
func TestStore_CompactWhileWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		s := start(t, mirror.Config{Backend: b.connect, Dir: t.TempDir(), Linger: -1})
		time.Sleep(time.Second)
		aor := aorOf(t, "401")
		b.delay = func() time.Duration { return 10 * time.Second }
		put(t, s, aor, phone(1, 1, time.Now()))
		time.Sleep(time.Second)
		for cseq := range 2000 {
			put(t, s, aor, phone(1, 2+cseq, time.Now()))
		}
		if err := s.Compact(); err != nil {
			t.Fatal(err)
		}
		if n := s.Stats().JournalBytes; n > 2_000 {
			t.Errorf("%d bytes are left", n)
		}
		time.Sleep(5 * time.Minute)
		if st, n := s.Stats(), len(s.files(t)); st.Pending != 0 || n != 1 {
			t.Errorf("%d segments; %+v", n, st)
		}
		bs, err := b.Memory.Lookup(t.Context(), aor)
		if err != nil || len(bs) != 1 || bs[0].CSeq != 2001 {
			t.Errorf("the backend has %+v, %v", bs, err)
		}
	})
}

// TestStore_CompactIsSafe: no segment goes before what takes its place is on disk.
func TestStore_CompactIsSafe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		b.fail(errGone)
		s := start(t, mirror.Config{Backend: b.connect, Dir: t.TempDir()})
		put(t, s.NoWait(), aorOf(t, "401"), phone(1, 1, time.Now()))
		repair := s.BreakSync()
		old := s.files(t)
		if err := s.Compact(); err == nil {
			t.Error("nothing is wrong")
		}
		if now := s.files(t); len(now) != 2 || now[0] != old[0] {
			t.Errorf("%v before, %v after", old, now)
		}
		repair()
		if err := s.Compact(); err != nil {
			t.Fatal(err)
		}
		if now := s.files(t); len(now) != 1 || s.Unsynced() != 0 {
			t.Errorf("%v is left, %d not on disk", now, s.Unsynced())
		}
	})
}

// TestStore_Synced: what is accepted is on disk a second later, whichever segments
// it is in.
func TestStore_Synced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		b.fail(errGone)
		s := start(t, mirror.Config{Backend: b.connect, Dir: t.TempDir()})
		s.SetSegmentSize(1)
		for n := range 5 {
			put(t, s.NoWait(), aorOf(t, fmt.Sprint(n)), phone(n, 1, time.Now()))
		}
		if n := s.Unsynced(); n < 5 {
			t.Errorf("%d segments are not on disk, want more", n)
		}
		time.Sleep(1100 * time.Millisecond)
		if n := s.Unsynced(); n != 0 {
			t.Errorf("%d segments are not on disk", n)
		}
	})
}

// TestStore_CompactKeepsTimes: what was accepted last wins after a restart, although
// the journal was written anew, and the same AOR had changed before the other
// writer came.
func TestStore_CompactKeepsTimes(t *testing.T) {
	for _, first := range []location.Change{
		{Put: []location.Binding{phone(1, 1, time.Time{})}},
		{CallID: "call-1", Reset: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBackend(nil)
			cfg := mirror.Config{Backend: b.connect, Dir: t.TempDir(), MaxAge: 10 * time.Second}
			s := start(t, cfg)
			time.Sleep(time.Second)
			b.fail(errGone)
			aor := aorOf(t, "401")
			for i := range first.Put {
				first.Put[i] = phone(1, 1, time.Now())
			}
			if err := s.NoWait().Apply(t.Context(), aor, first); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
			elsewhere := phone(1, 1, time.Now())
			elsewhere.CallID = "elsewhere"
			put(t, b.Memory, aor, elsewhere)
			time.Sleep(10 * time.Minute)
			put(t, s.NoWait(), aor, phone(1, 2, time.Now()))
			for range 2 {
				if err := s.Compact(); err != nil {
					t.Fatal(err)
				}
				s.kill(b)
				b.fail(errGone)
				s = start(t, cfg)
			}
			b.fail(nil)
			time.Sleep(10 * time.Second)
			for name, store := range map[string]location.Store{"backend": b.Memory, "memory": s.NoWait()} {
				bs, err := store.Lookup(t.Context(), aor)
				if err != nil || len(bs) != 1 || bs[0].CallID != "call-1" || bs[0].CSeq != 2 {
					t.Errorf("%s has %+v, %v", name, bs, err)
				}
			}
		})
	}
}

// TestStore_CompactKeepsRemovals: who has removed all bindings, and then one that
// came in between, has removed that too, although the journal was written anew.
func TestStore_CompactKeepsRemovals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		cfg := mirror.Config{Backend: b.connect, Dir: t.TempDir()}
		s := start(t, cfg)
		time.Sleep(time.Second)
		b.fail(errGone)
		aor := aorOf(t, "401")
		for _, c := range []location.Change{{Reset: true}, {Remove: []location.Binding{phone(1, 1, time.Now())}}} {
			if err := s.NoWait().Apply(t.Context(), aor, c); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if c.Reset {
				put(t, b.Memory, aor, phone(1, 1, time.Now()))
				put(t, b.Memory, aor, phone(2, 1, time.Now()))
				time.Sleep(time.Minute)
			}
		}
		if err := s.Compact(); err != nil {
			t.Fatal(err)
		}
		s.kill(b)
		s = start(t, cfg)
		time.Sleep(10 * time.Second)
		for name, store := range map[string]location.Store{"backend": b.Memory, "memory": s.NoWait()} {
			if got := contacts(t, store, aor); !slices.Equal(got, []string{phone(2, 0, time.Time{}).Contact}) {
				t.Errorf("%s has %v", name, got)
			}
		}
	})
}

// TestStore_LargeEntries: a user with much to be kept keeps the journal from nothing,
// be it by one REGISTER or by many.
func TestStore_LargeEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		b.fail(errGone)
		cfg := mirror.Config{Backend: b.connect, Dir: t.TempDir()}
		s := start(t, cfg)
		large := func(n int) location.Binding {
			b := phone(n, 1, time.Now())
			b.Path = strings.Repeat("p", 30_000)
			return b
		}
		var all []location.Binding
		for n := range 100 {
			all = append(all, large(n))
		}
		one, many := aorOf(t, "one"), aorOf(t, "many")
		if err := s.NoWait().Apply(t.Context(), one, location.Change{Put: all}); err != nil {
			t.Error(err)
		}
		if err := s.NoWait().Apply(t.Context(), many, location.Change{Reset: true}); err != nil {
			t.Error(err)
		}
		for n := range 100 {
			put(t, s.NoWait(), many, large(n))
		}
		if st := s.Stats(); !st.JournalOK || st.JournalFails > 0 {
			t.Errorf("%+v", st)
		}
		if err := s.Compact(); err != nil {
			t.Error(err)
		}
		s.kill(b)
		start(t, cfg)
		time.Sleep(10 * time.Second)
		for _, aor := range []location.AOR{one, many} {
			if got := contacts(t, b.Memory, aor); len(got) != 100 {
				t.Errorf("%v: the backend has %d bindings", aor, len(got))
			}
		}
	})
}
