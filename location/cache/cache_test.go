package cache_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/internal/mysqltest"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/cache"
	"github.com/sipward/sipward/location/locationtest"
	"github.com/sipward/sipward/location/mysqlloc"
)

func TestMain(m *testing.M) { mysqltest.Main(m) }

func newCache(t testing.TB, backend location.Store, cfg cache.Config) *cache.Store {
	t.Helper()
	s, err := cache.New(backend, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// configs are those that the suite must pass with: large and trusting, and so
// small and doubtful that every rule meets all of its paths.
var configs = map[string]cache.Config{
	"default": {},
	"doubtful": {
		Size: 3, MaxAge: 10 * time.Second, NegativeAge: -1, StaleFor: time.Minute,
	},
}

func TestStore_OverMemory(t *testing.T) {
	for name, cfg := range configs {
		t.Run(name, func(t *testing.T) {
			backends := map[location.Store]*faulty{}
			locationtest.Run(t, locationtest.Harness{
				New: func(t testing.TB, now func() time.Time) location.Store {
					backend := &faulty{Store: location.NewMemory(location.MemoryConfig{Now: now})}
					cfg.Now = now
					s := newCache(t, backend, cfg)
					backends[s] = backend
					return s
				},
				Reopen: func(t testing.TB, s location.Store) location.Store {
					return newCache(t, backends[s], cfg)
				},
				Break: func(_ testing.TB, s location.Store) func() {
					backends[s].fail(errBroken)
					return func() { backends[s].fail(nil) }
				},
			})
		})
	}
}

func TestStore_OverMySQL(t *testing.T) {
	server := mysqltest.New(t)
	var backend *mysqlloc.Store
	var cfg cache.Config
	locationtest.Run(t, locationtest.Harness{
		New: func(t testing.TB, now func() time.Time) location.Store {
			db := server.DB(t)
			if err := mysqlloc.Create(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			var err error
			backend, err = mysqlloc.New(t.Context(), db, mysqlloc.Config{Now: now, TimeZone: time.UTC})
			if err != nil {
				t.Fatal(err)
			}
			cfg = cache.Config{Now: now}
			return newCache(t, backend, cfg)
		},
		Reopen: func(t testing.TB, _ location.Store) location.Store { return newCache(t, backend, cfg) },
		Break: func(t testing.TB, _ location.Store) func() {
			server.Kill(t)
			return func() { server.Start(t) }
		},
	})
}

var errBroken = errors.New("backend is broken")

// faulty is a store that fails on demand, and counts. Unwrap gives the test
// suite the interfaces of the store.
type faulty struct {
	location.Store
	mu      sync.Mutex
	err     error
	lookups int
}

func (f *faulty) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *faulty) failure(lookups int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lookups += lookups
	return f.err
}

func (f *faulty) Lookup(ctx context.Context, aor location.AOR) ([]location.Binding, error) {
	if err := f.failure(1); err != nil {
		return nil, err
	}
	return f.Store.Lookup(ctx, aor)
}

func (f *faulty) Apply(ctx context.Context, aor location.AOR, c location.Change) error {
	if err := f.failure(0); err != nil {
		return err
	}
	return f.Store.Apply(ctx, aor, c)
}

func (f *faulty) Unwrap() location.Store { return f.Store }

// fixture is a cache over a Memory, and a clock for both.
type fixture struct {
	*testing.T
	clock   *locationtest.Clock
	memory  *location.Memory
	backend *faulty
	cache   *cache.Store
	aor     location.AOR
}

func newFixture(t *testing.T, cfg cache.Config) *fixture {
	t.Helper()
	clock := locationtest.NewClock()
	memory := location.NewMemory(location.MemoryConfig{Now: clock.Now})
	backend := &faulty{Store: memory}
	cfg.Now = clock.Now
	return &fixture{t, clock, memory, backend, newCache(t, backend, cfg), aor(t, "bob", "a.example")}
}

func aor(t testing.TB, user, domain string) location.AOR {
	t.Helper()
	a, err := location.MakeAOR(user, domain)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// put registers contacts for an hour.
func (f *fixture) put(s location.Store, contacts ...string) {
	f.Helper()
	var c location.Change
	for _, contact := range contacts {
		c.Put = append(c.Put, location.Binding{
			Contact: contact, CallID: contact, CSeq: 1, Q: location.QUnspecified,
			Updated: f.clock.Now(), Expires: f.clock.Now().Add(time.Hour),
		})
	}
	if err := s.Apply(f.Context(), f.aor, c); err != nil {
		f.Fatal(err)
	}
}

// want checks what the cache says, by contacts in the order of their texts, and
// whether it asked the backend.
func (f *fixture) want(lookups int, contacts ...string) {
	f.Helper()
	before := f.backend.lookups
	bs, err := f.cache.Lookup(f.Context(), f.aor)
	if err != nil {
		f.Fatal(err)
	}
	var got []string
	for _, b := range bs {
		got = append(got, b.Contact)
	}
	slices.Sort(got)
	if d := cmp.Diff(contacts, got); d != "" {
		f.Error(d)
	}
	if n := f.backend.lookups - before; n != lookups {
		f.Errorf("%d lookups of the backend, want %d", n, lookups)
	}
}

func TestNew_Faults(t *testing.T) {
	_, err := cache.New(nil, cache.Config{Size: -1, MaxAge: -1, StaleFor: -1})
	const want = "cache: no backend\nsize -1 is negative\nmaximum age -1ns is negative\nstale time -1ns is negative"
	if err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}

// What others write is seen when MaxAge has passed, or at once after Forget.
func TestStore_MaxAge(t *testing.T) {
	f := newFixture(t, cache.Config{MaxAge: 30 * time.Second})
	f.put(f.memory, "sip:1@a")
	f.want(1, "sip:1@a")
	f.put(f.memory, "sip:2@a")
	f.clock.Advance(29 * time.Second)
	f.want(0, "sip:1@a")

	// What is written through does not make what was read any younger.
	f.put(f.cache, "sip:3@a")
	f.want(0, "sip:1@a", "sip:3@a")
	f.clock.Advance(time.Second)
	f.want(1, "sip:1@a", "sip:2@a", "sip:3@a")

	f.put(f.memory, "sip:4@a")
	f.cache.Forget(f.aor)
	f.want(1, "sip:1@a", "sip:2@a", "sip:3@a", "sip:4@a")
}

func TestStore_NegativeAge(t *testing.T) {
	f := newFixture(t, cache.Config{NegativeAge: 5 * time.Second})
	f.want(1)
	f.put(f.memory, "sip:1@a")
	f.clock.Advance(4 * time.Second)
	f.want(0)
	f.clock.Advance(time.Second)
	f.want(1, "sip:1@a")
}

// Without MaxAge, bindings are trusted until they expire; who has none left
// may have got others.
func TestStore_Expiry(t *testing.T) {
	f := newFixture(t, cache.Config{})
	f.put(f.memory, "sip:1@a")
	f.clock.Advance(time.Minute)
	f.put(f.memory, "sip:2@a")
	f.want(1, "sip:1@a", "sip:2@a")
	f.clock.Advance(59 * time.Minute)
	f.want(0, "sip:2@a")
	f.clock.Advance(time.Minute)
	f.want(1)
	f.want(0)
}

// P-05: the lookup that follows a registration finds it, and costs the backend
// nothing while the AOR is in use.
func TestStore_WriteThrough(t *testing.T) {
	f := newFixture(t, cache.Config{})
	f.put(f.cache, "sip:1@a")
	f.want(1, "sip:1@a")
	f.put(f.cache, "sip:2@a")
	f.want(0, "sip:1@a", "sip:2@a")
	if err := f.cache.Apply(f.Context(), f.aor, location.Change{CSeq: 2, Reset: true}); err != nil {
		f.Fatal(err)
	}
	f.want(0)
	f.put(f.cache, "sip:3@a")
	f.want(0, "sip:3@a")
}

// Where it depends on the backend's clock what a change comes to, the backend
// is asked.
func TestStore_NearExpiry(t *testing.T) {
	f := newFixture(t, cache.Config{})
	f.put(f.cache, "sip:1@a")
	f.want(1, "sip:1@a")
	f.clock.Advance(time.Hour)
	f.put(f.cache, "sip:2@a")
	f.want(1, "sip:2@a")
}

// The outcome of a change that failed is not known: it may have been made.
func TestStore_FailedChange(t *testing.T) {
	f := newFixture(t, cache.Config{StaleFor: 10 * time.Second})
	f.put(f.cache, "sip:1@a")
	f.want(1, "sip:1@a")
	f.backend.fail(errBroken)
	if err := f.cache.Apply(f.Context(), f.aor, location.Change{Reset: true}); !errors.Is(err, errBroken) {
		t.Fatalf("got error %v", err)
	}
	f.clock.Advance(9 * time.Second)
	f.want(1, "sip:1@a") // in place of the error
	f.clock.Advance(time.Second)
	if _, err := f.cache.Lookup(f.Context(), f.aor); !errors.Is(err, errBroken) {
		t.Errorf("got error %v", err)
	}
	f.backend.fail(nil)
	f.put(f.memory, "sip:2@a")
	f.want(1, "sip:1@a", "sip:2@a")
	f.want(0, "sip:1@a", "sip:2@a")
}

// ErrStale means that another program has written what the cache has not.
func TestStore_ErrStale(t *testing.T) {
	f := newFixture(t, cache.Config{})
	f.put(f.cache, "sip:1@a")
	f.want(1, "sip:1@a")
	b := location.Binding{Contact: "sip:1@a", CallID: "sip:1@a", CSeq: 9, Updated: f.clock.Now(), Expires: f.clock.Now().Add(time.Hour)}
	if err := f.memory.Apply(f.Context(), f.aor, location.Change{Put: []location.Binding{b}}); err != nil {
		f.Fatal(err)
	}
	b.CSeq = 5
	if err := f.cache.Apply(f.Context(), f.aor, location.Change{Put: []location.Binding{b}}); !errors.Is(err, location.ErrStale) {
		t.Errorf("got error %v, want ErrStale", err)
	}
	bs, err := f.cache.Lookup(f.Context(), f.aor)
	if err != nil || len(bs) != 1 || bs[0].CSeq != 9 {
		t.Errorf("got %v, %v; want CSeq 9", bs, err)
	}
}

func TestStore_StaleFor(t *testing.T) {
	f := newFixture(t, cache.Config{MaxAge: time.Minute, StaleFor: 2 * time.Minute, NegativeAge: time.Second})
	f.put(f.memory, "sip:1@a")
	f.want(1, "sip:1@a")
	f.backend.fail(errBroken)
	f.clock.Advance(time.Minute)
	f.want(1, "sip:1@a")
	f.clock.Advance(2 * time.Minute)
	if bs, err := f.cache.Lookup(f.Context(), f.aor); !errors.Is(err, errBroken) {
		t.Errorf("got %v, %v", bs, err)
	}

	// That there are none is never served so.
	f.backend.fail(nil)
	f.aor = aor(t, "eve", "a.example")
	f.want(1)
	f.backend.fail(errBroken)
	f.clock.Advance(time.Second)
	if bs, err := f.cache.Lookup(f.Context(), f.aor); !errors.Is(err, errBroken) {
		t.Errorf("got %v, %v", bs, err)
	}
}

func TestStore_SizeAndStats(t *testing.T) {
	f := newFixture(t, cache.Config{Size: 2})
	for _, user := range []string{"a", "b", "a", "c", "b", "none", "none"} { // c drops b, b drops a
		f.aor = aor(t, user, "a.example")
		if user != "none" {
			f.put(f.memory, "sip:1@"+user)
		}
		if _, err := f.cache.Lookup(f.Context(), f.aor); err != nil {
			t.Fatal(err)
		}
	}
	f.backend.fail(errBroken)
	f.aor = aor(t, "d", "a.example")
	if _, err := f.cache.Lookup(f.Context(), f.aor); err == nil {
		t.Error("no error")
	}
	want := cache.Stats{Entries: 2, Hits: 1, NegativeHits: 1, Misses: 6, Evictions: 3, BackendErrors: 1}
	if d := cmp.Diff(want, f.cache.Stats()); d != "" {
		t.Error(d)
	}
}

func TestStore_Unwrap(t *testing.T) {
	f := newFixture(t, cache.Config{})
	finder, ok := location.As[location.ContactFinder](f.cache)
	if !ok || finder != location.ContactFinder(f.memory) {
		t.Errorf("got %v", finder)
	}
}
