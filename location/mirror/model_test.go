package mirror_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/mirror"
)

// TestStore_KeepsWhatWasAccepted: whatever phones do, however long the backend is
// away, and however often the process ends, is killed or writes its journal anew,
// what was accepted last is what memory and backend have in the end.
func TestStore_KeepsWhatWasAccepted(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			m := newModel(t, seed)
			for range 400 {
				m.step()
			}
			m.check()
		})
	}
}

// model is a Store on a journal of small segments, and what it has accepted.
type model struct {
	*running
	t       *testing.T
	rnd     *rand.Rand
	backend *backend
	cfg     mirror.Config
	away    bool // the backend
	lives   int  // directories that the journal was in
	cseq    int
	want    map[location.AOR]map[string]int // CSeq by Contact
	done    []string                        // all steps, for whoever looks for a fault
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{t: t, rnd: rand.New(rand.NewPCG(seed, 7)), backend: newBackend(nil), want: map[location.AOR]map[string]int{}}
	delays := rand.New(rand.NewPCG(seed, 8))
	m.backend.delay = func() time.Duration { return time.Duration(delays.IntN(2)*delays.IntN(500)) * time.Millisecond }
	m.cfg = mirror.Config{Backend: m.backend.connect, Dir: filepath.Join(t.TempDir(), "0"), Linger: -1}
	m.start()
	return m
}

func (m *model) start() {
	m.running = start(m.t, m.cfg)
	m.SetSegmentSize(4 << 10)
	time.Sleep(time.Duration(m.rnd.IntN(2)) * time.Second)
}

func (m *model) fail(away bool) {
	m.away = away
	m.backend.fail(map[bool]error{true: errGone}[away])
}

func (m *model) step() {
	kinds := [...]struct {
		weight int
		name   string
		do     func()
	}{
		{60, "put", m.put}, {10, "remove", m.remove}, {5, "reset", m.reset},
		{10, "wait", func() { time.Sleep(time.Duration(m.rnd.IntN(3000)) * time.Millisecond) }},
		{6, "away", func() { m.fail(true) }},
		{2, "back", func() { m.fail(false) }},
		{2, "compact", m.compact},
		{2, "end", m.end}, {2, "kill", m.kill}, {1, "check", m.check},
	}
	n := m.rnd.IntN(100)
	for _, k := range kinds {
		if n -= k.weight; n < 0 {
			m.done = append(m.done, k.name)
			k.do()
			return
		}
	}
}

// change applies c to one of a few AORs, some of which are rarely changed.
func (m *model) change(c location.Change) map[string]int {
	aor := aorOf(m.t, fmt.Sprint(min(m.rnd.IntN(6), m.rnd.IntN(6))))
	m.cseq++
	c.CallID, c.CSeq = "call", uint32(m.cseq)
	for i := range c.Put {
		c.Put[i].CSeq = c.CSeq
	}
	if err := m.NoWait().Apply(m.t.Context(), aor, c); err != nil {
		m.t.Fatal(err)
	}
	m.done[len(m.done)-1] += fmt.Sprint(" ", aor.User(), " ", m.cseq)
	if m.want[aor] == nil {
		m.want[aor] = map[string]int{}
	}
	return m.want[aor]
}

// phone returns one of a few phones, which have an instance that they keep when
// their Contact changes.
func (m *model) phone() location.Binding {
	b := phone(m.rnd.IntN(3), 1, time.Now())
	b.CallID, b.Expires = "call", b.Updated.Add(24*time.Hour)
	b.Path = strings.Repeat("p", m.rnd.IntN(300))
	return b
}

func (m *model) put() {
	b := m.phone()
	m.change(location.Change{Put: []location.Binding{b}})[b.Contact] = m.cseq
}

func (m *model) remove() {
	b := m.phone()
	delete(m.change(location.Change{Remove: []location.Binding{b}}), b.Contact)
}

func (m *model) reset() { clear(m.change(location.Change{Reset: true})) }

func (m *model) compact() {
	if err := m.Compact(); err != nil {
		m.t.Fatal(err)
	}
}

// end ends the process in order, which may find the backend.
func (m *model) end() {
	m.stop()
	m.start()
}

// kill leaves the journal as it is on disk now. What the process does to it when
// it is told to end is not seen by the next one.
func (m *model) kill() {
	synctest.Wait()
	m.lives++
	dir := filepath.Join(filepath.Dir(m.cfg.Dir), fmt.Sprint(m.lives))
	if err := os.CopyFS(dir, os.DirFS(m.cfg.Dir)); err != nil {
		m.t.Fatal(err)
	}
	m.backend.fail(errGone)
	m.stop()
	m.fail(m.away)
	m.cfg.Dir = dir
	m.start()
}

func (m *model) check() {
	m.t.Helper()
	m.fail(false)
	time.Sleep(20 * time.Second)
	if st := m.Stats(); st.Pending != 0 || !st.Loaded {
		m.t.Fatalf("%+v", st)
	}
	for aor, want := range m.want {
		for name, store := range map[string]location.Store{"backend": m.backend.Memory, "memory": m.NoWait()} {
			bs, err := store.Lookup(context.Background(), aor)
			if err != nil {
				m.t.Fatal(err)
			}
			got := map[string]int{}
			for _, b := range bs {
				got[b.Contact] = int(b.CSeq)
			}
			if !maps.Equal(got, want) {
				m.t.Fatalf("%v: %s has %v, want %v, after %q", aor, name, got, want, slices.Clip(m.done[max(0, len(m.done)-100):]))
			}
		}
	}
}
