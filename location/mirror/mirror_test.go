package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/locationtest"
	"github.com/sipward/sipward/location/mirror"
)

// running is a Store that runs until it is stopped.
type running struct {
	*mirror.Store
	dir  string // of its journal
	stop func()
}

// start opens a Store and runs it.
func start(t testing.TB, cfg mirror.Config) *running {
	t.Helper()
	s, err := mirror.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	r := &running{Store: s, dir: cfg.Dir}
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// files returns the segments of r's journal.
func (r *running) files(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(r.dir, "*.journal"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// kill ends r's use of its journal as the end of the process would: what Run
// still does when it is told to end finds no backend.
func (r *running) kill(b *backend) {
	b.fail(errGone)
	r.stop()
	b.fail(nil)
}

var errGone = errors.New("the backend is gone")

// backend is a store that fails on demand, and that takes batches if it is told
// to. What is not its business it has from Memory.
type backend struct {
	*location.Memory
	mu       sync.Mutex
	err      error
	refuse   map[location.AOR]error
	lookups  int
	applied  []location.AORChange
	check    func(*location.Binding) error // of what Apply puts
	onLookup func(location.AOR)
	onApply  func()               // called by an Apply that fails
	delay    func() time.Duration // of Apply
}

func newBackend(now func() time.Time) *backend {
	return &backend{Memory: location.NewMemory(location.MemoryConfig{Now: now}), refuse: map[location.AOR]error{}}
}

// connect is a [mirror.Config].Backend.
func (b *backend) connect(context.Context) (location.Store, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b, b.err
}

func (b *backend) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

func (b *backend) Lookup(ctx context.Context, aor location.AOR) ([]location.Binding, error) {
	b.mu.Lock()
	b.lookups++
	err, hook := b.err, b.onLookup
	b.mu.Unlock()
	if err != nil {
		return nil, err
	}
	bs, err := b.Memory.Lookup(ctx, aor)
	if hook != nil {
		hook(aor)
	}
	return bs, err
}

func (b *backend) Apply(ctx context.Context, aor location.AOR, c location.Change) error {
	if b.delay != nil {
		time.Sleep(b.delay())
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		if b.onApply != nil {
			b.onApply()
		}
		return b.err
	}
	if err := b.refuse[aor]; err != nil {
		return err
	}
	for i := range c.Put {
		if b.check == nil {
			break
		}
		if err := b.check(&c.Put[i]); err != nil {
			return err
		}
	}
	b.applied = append(b.applied, location.AORChange{AOR: aor, Change: c})
	return b.Memory.Apply(ctx, aor, c)
}

func (b *backend) Purge(ctx context.Context, limit int) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	return b.Memory.Purge(ctx, limit)
}

func (b *backend) order() (aors []location.AOR) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.applied {
		aors = append(aors, c.AOR)
	}
	return aors
}

func aorOf(t testing.TB, user string) location.AOR {
	t.Helper()
	aor, err := location.MakeAOR(user, "a.example")
	if err != nil {
		t.Fatal(err)
	}
	return aor
}

// phone returns the binding of phone n at its REGISTER number cseq.
func phone(n, cseq int, now time.Time) location.Binding {
	return location.Binding{
		Contact: fmt.Sprintf("sip:phone@10.0.0.%d", n),
		Flow: location.Flow{
			Transport: "udp",
			Remote:    netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), 5060),
			Local:     netip.MustParseAddrPort("198.51.100.1:5060"),
		},
		Q: location.QUnspecified, CallID: fmt.Sprintf("call-%d", n), CSeq: uint32(cseq),
		Token: "token", Registrar: "sip:10.0.1.10", UserAgent: "phone",
		Updated: now, Expires: now.Add(time.Hour),
	}
}

// onOneSocket returns bindings that a phone without instance has made by one REGISTER.
func onOneSocket(cseq int, contacts ...string) (list []location.Binding) {
	for _, c := range contacts {
		b := phone(1, cseq, time.Now())
		b.Contact = c
		list = append(list, b)
	}
	return list
}

func put(t testing.TB, s location.Store, aor location.AOR, b location.Binding) {
	t.Helper()
	if err := s.Apply(context.Background(), aor, location.Change{CallID: b.CallID, CSeq: b.CSeq, Put: []location.Binding{b}}); err != nil {
		t.Fatalf("Apply(%v): %v", aor, err)
	}
}

// contacts returns the Contacts that s has.
func contacts(t testing.TB, s location.Store, aor location.AOR) (list []string) {
	t.Helper()
	bs, err := s.Lookup(context.Background(), aor)
	if err != nil {
		t.Fatalf("Lookup(%v): %v", aor, err)
	}
	for _, b := range bs {
		list = append(list, b.Contact)
	}
	return list
}

// configs are those that the suite must pass with: one that trusts memory, and
// one that asks the backend each time.
func configs(t testing.TB) map[string]mirror.Config {
	return map[string]mirror.Config{
		"sole writer": {Dir: t.TempDir(), Linger: -1},
		"doubtful":    {MaxAge: 1, Linger: -1},
	}
}

func TestStore_Conformance(t *testing.T) {
	for name, cfg := range configs(t) {
		t.Run(name, func(t *testing.T) {
			backends := map[location.Store]*backend{}
			reopen := func(t testing.TB, b *backend) location.Store {
				cfg.Backend = b.connect
				if cfg.Dir != "" {
					cfg.Dir = t.TempDir()
				}
				s := start(t, cfg)
				backends[s] = b
				return s
			}
			locationtest.Run(t, locationtest.Harness{
				New: func(t testing.TB, now func() time.Time) location.Store {
					cfg.Now = now
					return reopen(t, newBackend(now))
				},
				Reopen: func(t testing.TB, s location.Store) location.Store {
					s.(*running).stop()
					return reopen(t, backends[s])
				},
			})
		})
	}
}

// TestStore_SeenAtOnce (P-05): a lookup after Apply finds the binding, whatever
// the backend does.
func TestStore_SeenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		b.fail(errGone)
		s := start(t, mirror.Config{Backend: b.connect, Dir: t.TempDir()})
		view := s.NoWait()
		for i := range 1000 {
			aor := aorOf(t, fmt.Sprint(i))
			put(t, view, aor, phone(1, 1, time.Now()))
			if got := contacts(t, view, aor); len(got) != 1 {
				t.Fatalf("%v has %v", aor, got)
			}
		}
		if st := s.Stats(); st.Pending != 1000 || st.Healthy || st.Err == nil || st.JournalBytes == 0 {
			t.Errorf("%+v", st)
		}
		b.fail(nil)
		time.Sleep(time.Minute)
		if st := s.Stats(); st.Pending != 0 || !st.Healthy || !st.Loaded || st.Err != nil || st.Written != 1000 {
			t.Errorf("%+v", st)
		}
		if n := b.Len(); n != 1000 {
			t.Errorf("the backend has %d bindings", n)
		}
	})
}

// TestStore_Outage: phones refresh and go for an hour without the backend. What
// it gets then is the last state of each, in the order in which they first
// changed, and it is not the length of the outage.
func TestStore_Outage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		s := start(t, mirror.Config{Backend: b.connect, Dir: t.TempDir()})
		gone := aorOf(t, "gone")
		put(t, s, gone, phone(1, 1, time.Now()))
		time.Sleep(time.Second)
		if got := contacts(t, b, gone); len(got) != 1 {
			t.Fatalf("the backend has %v", got)
		}
		b.fail(errGone)
		var want []location.AOR
		want = append(want, gone)
		for minute := range 60 {
			for n := range 20 {
				aor := aorOf(t, fmt.Sprint(n))
				put(t, s, aor, phone(n, 1+minute, time.Now()))
				if minute == 0 {
					want = append(want, aor)
				}
			}
			time.Sleep(time.Minute)
		}
		if err := s.Apply(t.Context(), gone, location.Change{CallID: "call-1", CSeq: 2, Reset: true}); err != nil {
			t.Fatal(err)
		}
		if st := s.Stats(); st.Pending != 21 || st.Oldest < 59*time.Minute {
			t.Errorf("%+v", st)
		}
		b.fail(nil)
		time.Sleep(10 * time.Second)
		if got := contacts(t, b, gone); got != nil {
			t.Errorf("the backend still has %v", got)
		}
		for n := range 20 {
			bs, err := b.Lookup(t.Context(), aorOf(t, fmt.Sprint(n)))
			if err != nil || len(bs) != 1 || bs[0].CSeq != 60 {
				t.Errorf("%d: the backend has %+v, %v", n, bs, err)
			}
		}
		order := b.order()
		if len(order) != 22 { // gone was there before
			t.Fatalf("%d changes: %v", len(order), order)
		}
		for i, aor := range append(want[1:], gone) {
			if order[1+i] != aor {
				t.Errorf("change %d is of %v, want %v", i, order[1+i], aor)
			}
		}
	})
}

// TestStore_Killed: what was accepted while the backend was away survives the
// end of the process, and reaches the backend from the next one.
func TestStore_Killed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(nil)
		cfg := mirror.Config{Backend: b.connect, Dir: t.TempDir()}
		first := start(t, cfg)
		stays, leaves, moves := aorOf(t, "stays"), aorOf(t, "leaves"), aorOf(t, "moves")
		for _, aor := range []location.AOR{leaves, moves} {
			put(t, first, aor, phone(1, 1, time.Now()))
		}
		time.Sleep(time.Second)
		b.fail(errGone)
		put(t, first, stays, phone(2, 1, time.Now()))
		if err := first.Apply(t.Context(), leaves, location.Change{CallID: "call-1", CSeq: 2, Remove: []location.Binding{phone(1, 2, time.Now())}}); err != nil {
			t.Fatal(err)
		}
		put(t, first, moves, phone(3, 1, time.Now()))
		first.kill(b)

		b.fail(errGone)
		second := start(t, cfg)
		time.Sleep(time.Second)
		for aor, want := range map[location.AOR]int{stays: 1, leaves: 0, moves: 1} { // and what the backend has is not known
			if got := contacts(t, second.NoWait(), aor); len(got) != want {
				t.Errorf("without the backend, %v has %v", aor, got)
			}
		}
		if _, err := second.Lookup(t.Context(), aorOf(t, "other")); !errors.Is(err, mirror.ErrUnknown) {
			t.Errorf("what only the backend knows: %v, want ErrUnknown", err)
		}
		b.fail(nil)
		time.Sleep(10 * time.Second)
		for aor, want := range map[location.AOR]int{stays: 1, leaves: 0, moves: 2} {
			if got := contacts(t, b, aor); len(got) != want {
				t.Errorf("the backend has for %v: %v", aor, got)
			}
			if got := contacts(t, second, aor); len(got) != want {
				t.Errorf("memory has for %v: %v", aor, got)
			}
		}
		bs, err := second.Lookup(t.Context(), stays)
		if want := phone(2, 1, bs[0].Updated); err != nil || len(bs) != 1 || bs[0] != want {
			t.Errorf("got %+v, %v; want %+v", bs, err, want)
		}
	})
}

// slowLister lists its bindings when it is let to.
type slowLister struct {
	*backend
	release chan struct{}
}

func (s slowLister) All(ctx context.Context) iter.Seq2[location.Entry, error] {
	select {
	case <-s.release:
		return s.backend.All(ctx)
	case <-ctx.Done():
		return func(yield func(location.Entry, error) bool) { yield(location.Entry{}, ctx.Err()) }
	}
}
