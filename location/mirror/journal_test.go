package mirror_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/mirror"
)

// hostile are texts that a phone can send.
func hostile() []string {
	return []string{"", "'", `"`, `\`, "%", "\x00", "😀", "\xff\xfe", "\r\n", strings.Repeat("x", 300), mirrorMagic}
}

const mirrorMagic = "sipward journal 2\n"

// sample returns entries with all that there can be in them.
func sample(t testing.TB) (list []mirror.Parsed) {
	for i, text := range hostile() {
		aor, err := location.MakeAOR("user "+text, "a.example")
		if err != nil {
			aor = aorOf(t, fmt.Sprint(i))
		}
		b := phone(i, i, time.Unix(1_700_000_000, 123_000).UTC())
		b.Contact, b.CallID, b.Instance, b.UserAgent, b.Token, b.Path, b.Registrar = text, text, text, text, text, text, text
		b.RegID, b.Methods, b.Q = -1, 1<<31, 1000
		list = append(list,
			mirror.Parsed{AOR: aor, At: 1_700_000_000, Put: []location.Binding{b, phone(1, 2, time.Unix(0, 0).UTC())}},
			mirror.Parsed{AOR: aor, At: -1, Reset: true, Remove: []location.Binding{{Contact: text, Instance: text, RegID: 7}}},
		)
	}
	return list
}

func segmentOf(list []mirror.Parsed) (data []byte) {
	for _, p := range list {
		data = mirror.AppendEntry(data, p)
	}
	return data
}

func TestJournal_KeepsAll(t *testing.T) {
	want := sample(t)
	got, _, err := mirror.ReadEntries(segmentOf(want))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b location.AOR) bool { return a == b }), cmp.Comparer(sameBinding)); d != "" {
		t.Error(d)
	}
}

// TestJournal_TornAnywhere: of a segment that ends anywhere, as after a kill or a
// full disk, all whole entries are read.
func TestJournal_TornAnywhere(t *testing.T) {
	list := sample(t)[:4]
	data := segmentOf(list)
	ends := []int{0}
	for i := range list {
		ends = append(ends, len(segmentOf(list[:i+1])))
	}
	for n := range len(data) {
		whole := 0
		for whole+1 < len(ends) && ends[whole+1] <= n {
			whole++
		}
		got, _, err := mirror.ReadEntries(data[:n])
		if len(got) != whole || err != nil && !strings.Contains(err.Error(), "EOF") {
			t.Fatalf("cut at %d: %d entries, want %d; %v", n, len(got), whole, err)
		}
	}
}

// TestOpen_Damaged: a journal that was altered costs what was altered, and a
// copy of it stays.
func TestOpen_Damaged(t *testing.T) {
	dir := t.TempDir()
	list := []mirror.Parsed{
		{AOR: aorOf(t, "1"), At: time.Now().Unix(), Put: []location.Binding{phone(1, 1, time.Now())}},
		{AOR: aorOf(t, "2"), At: time.Now().Unix(), Put: []location.Binding{phone(2, 1, time.Now())}},
		{AOR: aorOf(t, "3"), At: time.Now().Unix(), Put: []location.Binding{phone(3, 1, time.Now())}},
	}
	damaged := segmentOf(list[:2])
	damaged[len(damaged)-3] ^= 1
	for name, data := range map[string][]byte{
		"0000000001.journal": damaged, "0000000002.journal": segmentOf(list[2:]),
		"0000000003.journal": []byte("sipward journal 9\nwhat is this"), "note.txt": []byte("x"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b := newBackend(nil)
	s, err := mirror.Open(mirror.Config{Backend: b.connect, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for user, want := range map[string]int{"1": 1, "2": 0, "3": 1} {
		if got := contacts(t, s.NoWait(), aorOf(t, user)); len(got) != want {
			t.Errorf("%s has %v", user, got)
		}
	}
	copies, err := filepath.Glob(filepath.Join(dir, "*.damaged"))
	if err != nil || len(copies) != 2 {
		t.Errorf("copies: %v, %v", copies, err)
	}
}

// TestStore_JournalShrinks: neither an outage without end nor one that is over
// leaves more on disk than what is pending.
func TestStore_JournalShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		cfg := mirror.Config{Backend: b.connect, Dir: t.TempDir()}
		s := start(t, cfg)
		time.Sleep(time.Second)
		b.fail(errGone)
		for cseq := range 2000 {
			for n := range 10 {
				put(t, s, aorOf(t, fmt.Sprint(n)), phone(n, cseq+1, time.Now()))
			}
		}
		if err := s.Apply(t.Context(), aorOf(t, "9"), location.Change{CallID: "x", Remove: []location.Binding{phone(9, 1, time.Now())}}); err != nil {
			t.Fatal(err)
		}
		before := s.Stats().JournalBytes
		if err := s.Compact(); err != nil {
			t.Fatal(err)
		}
		after := s.Stats().JournalBytes
		if before < 1_000_000 || after > 10_000 {
			t.Errorf("%d bytes before, %d after", before, after)
		}
		s.kill(b)
		b.fail(errGone)
		s = start(t, cfg)
		for n := range 10 {
			bs, err := s.NoWait().Lookup(t.Context(), aorOf(t, fmt.Sprint(n)))
			if want := n < 9; err != nil || want != (len(bs) == 1 && bs[0].CSeq == 2000) {
				t.Errorf("%d has %+v, %v", n, bs, err)
			}
		}
		b.fail(nil)
		time.Sleep(10 * time.Second)
		if b.Len() != 9 {
			t.Errorf("the backend has %d bindings", b.Len())
		}
		s.stop()
		left, err := os.ReadDir(cfg.Dir)
		if err != nil || len(left) != 0 {
			t.Errorf("in the directory: %v, %v", left, err)
		}
	})
}

// endsAt is a context that has ended when it is asked for the nth time.
type endsAt struct {
	context.Context
	n int
}

func (c *endsAt) Err() error {
	if c.n--; c.n <= 0 {
		return context.Canceled
	}
	return nil
}

// TestStore_CanceledInBetween: a change is made in journal and memory, or in
// neither, whenever its context ends.
func TestStore_CanceledInBetween(t *testing.T) {
	for n := range 10 {
		b := newBackend(nil)
		s, err := mirror.Open(mirror.Config{Backend: b.connect, Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		before := s.Stats().JournalBytes
		err = s.NoWait().Apply(&endsAt{t.Context(), n}, aorOf(t, "401"), location.Change{Put: []location.Binding{phone(1, 1, time.Now())}})
		st := s.Stats()
		if accepted := err == nil; accepted != (st.Bindings == 1) || accepted != (st.Pending == 1) || accepted != (st.JournalBytes > before) {
			t.Errorf("ended at %d: %v, %+v", n, err, st)
		}
	}
}

// TestStore_DiskFull: without a journal, changes are accepted while the backend
// takes them, and not when nothing would keep them.
func TestStore_DiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		s := start(t, mirror.Config{Backend: b.connect, Dir: t.TempDir()})
		time.Sleep(time.Second)
		repair, err := s.BreakJournal()
		if err != nil {
			t.Fatal(err)
		}
		defer repair()
		aor, other := aorOf(t, "1"), aorOf(t, "2")
		put(t, s, aor, phone(1, 1, time.Now()))
		if st := s.Stats(); st.JournalOK || st.JournalFails == 0 {
			t.Errorf("%+v", st)
		}
		b.fail(errGone)
		time.Sleep(6 * time.Second)
		err = s.Apply(t.Context(), other, location.Change{Put: []location.Binding{phone(2, 1, time.Now())}})
		if !errors.Is(err, mirror.ErrUnsafe) {
			t.Errorf("with neither: %v, want ErrUnsafe", err)
		}
		if got := contacts(t, s, other); got != nil {
			t.Errorf("it is there: %v", got)
		}
		b.fail(nil)
		time.Sleep(6 * time.Second)
		put(t, s, other, phone(2, 1, time.Now()))
		time.Sleep(time.Second)
		if b.Len() != 2 {
			t.Errorf("the backend has %d bindings", b.Len())
		}
	})
}

// TestRun_EndsWithoutBackend: who waits for the backend is let go.
func TestRun_EndsWithoutBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := mirror.Open(mirror.Config{Backend: func(ctx context.Context) (location.Store, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		released := make(chan struct{})
		if !s.Refresh(aorOf(t, "1"), func() { close(released) }) {
			t.Fatal("Refresh is busy")
		}
		synctest.Wait()
		cancel()
		<-released
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestOpen_Faults(t *testing.T) {
	for name, cfg := range map[string]mirror.Config{
		"no backend":   {},
		"negative age": {Backend: newBackend(nil).connect, MaxAge: -1},
		"a file":       {Backend: newBackend(nil).connect, Dir: "/dev/null/x"},
	} {
		if _, err := mirror.Open(cfg); err == nil || !strings.HasPrefix(err.Error(), "mirror: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzReadEntries: whatever is in a segment, reading ends, and what was read is
// written as it was.
func FuzzReadEntries(f *testing.F) {
	f.Add(segmentOf(sample(f)))
	f.Add([]byte(mirrorMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, again, _ := mirror.ReadEntries(data)
		for _, body := range again {
			if !bytes.Contains(data, body) {
				// Numbers can be written in more than their shortest form.
				list, _, err := mirror.ReadEntries(mirror.Frame(body))
				if err != nil || len(list) != 1 {
					t.Fatalf("%q is read as %v, %v", body, list, err)
				}
			}
		}
	})
}

func BenchmarkApply(b *testing.B) {
	backend := newBackend(nil)
	s, err := mirror.Open(mirror.Config{Backend: backend.connect, Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	view, now := s.NoWait(), time.Now()
	aors := make([]location.AOR, 1000)
	for i := range aors {
		aors[i] = aorOf(b, fmt.Sprint(i))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		put(b, view, aors[i%len(aors)], phone(1, 1+i, now))
	}
}

// TestAdopt: a process takes over what others have left, whichever of them was
// there last.
func TestAdopt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		b.fail(errGone)
		root := t.TempDir()
		dirs := []string{filepath.Join(root, "0"), filepath.Join(root, "1"), filepath.Join(root, "2")}
		for i, dir := range []string{dirs[1], dirs[0]} { // so that the older one comes last
			s := start(t, mirror.Config{Backend: b.connect, Dir: dir})
			put(t, s.NoWait(), aorOf(t, "both"), phone(1, i+1, time.Now()))
			put(t, s.NoWait(), aorOf(t, fmt.Sprint(i)), phone(1, 1, time.Now()))
			s.kill(b)
			b.fail(errGone)
			time.Sleep(time.Minute)
		}
		for _, from := range dirs[1:] {
			if err := mirror.Adopt(dirs[0], from); err != nil {
				t.Fatal(err)
			}
		}
		b.fail(nil)
		s := start(t, mirror.Config{Backend: b.connect, Dir: dirs[0]})
		time.Sleep(5 * time.Second)
		for user, cseq := range map[string]uint32{"both": 2, "0": 1, "1": 1} {
			bs, err := b.Lookup(t.Context(), aorOf(t, user))
			if err != nil || len(bs) != 1 || bs[0].CSeq != cseq {
				t.Errorf("%s: the backend has %+v, %v", user, bs, err)
			}
		}
		if st := s.Stats(); st.Pending != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// TestStore_WrittenIsNotReplayed: what the backend has got, and has lost since by
// the hand of an operator, is not brought back by the journal of a process that
// was killed; and of an AOR that has changed again the change is.
func TestStore_WrittenIsNotReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		cfg := mirror.Config{Backend: b.connect, Dir: t.TempDir()}
		s := start(t, cfg)
		removed, changed, waiting := aorOf(t, "removed"), aorOf(t, "changed"), aorOf(t, "waiting")
		for _, aor := range []location.AOR{removed, changed} {
			put(t, s, aor, phone(1, 1, time.Now()))
		}
		time.Sleep(time.Second)
		for _, aor := range []location.AOR{removed, changed} {
			if err := b.Memory.Apply(t.Context(), aor, location.Change{CallID: "operator", Reset: true}); err != nil {
				t.Fatal(err)
			}
		}
		b.fail(errGone)
		put(t, s, changed, phone(1, 2, time.Now()))
		put(t, s, waiting, phone(2, 1, time.Now())) // keeps the segment
		s.kill(b)
		for range 2 { // the second time after an end that nothing was written before
			b.fail(errGone)
			s = start(t, cfg)
			time.Sleep(time.Second)
			s.kill(b)
		}
		s = start(t, cfg)
		time.Sleep(5 * time.Second)
		for aor, want := range map[location.AOR]int{removed: 0, changed: 1, waiting: 1} {
			for name, store := range map[string]location.Store{"backend": b.Memory, "memory": s.NoWait()} {
				if got := contacts(t, store, aor); len(got) != want {
					t.Errorf("%v: %s has %v", aor, name, got)
				}
			}
		}
	})
}

// TestStore_KilledOnOneSocket: of a phone that has two Contacts on one socket, both
// are there after a restart without the backend, although they were refreshed one
// after the other.
func TestStore_KilledOnOneSocket(t *testing.T) {
	for _, compact := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newBackend(nil)
			cfg := mirror.Config{Backend: b.connect, Dir: t.TempDir()}
			s := start(t, cfg)
			aor := aorOf(t, "401")
			if err := s.Apply(t.Context(), aor, location.Change{Put: onOneSocket(1, "sip:a@10.0.0.1", "sip:b@10.0.0.1")}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			b.fail(errGone)
			for i, contact := range []string{"sip:a@10.0.0.1", "sip:b@10.0.0.1"} {
				time.Sleep(time.Minute)
				put(t, s.NoWait(), aor, onOneSocket(2+i, contact)[0])
			}
			if compact {
				if err := s.Compact(); err != nil {
					t.Fatal(err)
				}
			}
			s.kill(b)
			b.fail(errGone)
			s = start(t, cfg)
			if got := contacts(t, s.NoWait(), aor); len(got) != 2 {
				t.Errorf("compacted %v: without the backend, memory has %v", compact, got)
			}
			b.fail(nil)
			time.Sleep(10 * time.Second)
			if got := contacts(t, b.Memory, aor); len(got) != 2 {
				t.Errorf("compacted %v: the backend has %v", compact, got)
			}
		})
	}
}
