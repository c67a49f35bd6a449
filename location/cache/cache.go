// Package cache is a write-through cache in front of a [location.Store].
//
// Lookups of what is in the cache do not touch the backend. A change goes to
// the backend first and then, once that has taken it, to the cache, so that
// the next lookup finds it there. A change that the backend fails at makes the
// cache ask the backend again. No read that began before a change ended can
// put the state of before into the cache.
//
// A cache sees the changes of other programs, and of users of its backend,
// when [Config].MaxAge has passed or [Store.Forget] is called.
//
// The optional interfaces of the backend are found by [location.As] and are
// not cached: a [location.ContactFinder] is asked each time.
package cache

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/sipward/sipward/location"
)

// Config configures a [Store]. The zero value is ready to use.
type Config struct {
	// Size is how many AORs are held; the least recently used one makes room.
	// 100,000 if 0. Large caches are made of parts that each hold their share,
	// so that one part may be full a little before the cache is.
	Size int

	// MaxAge is how long bindings that have been read are trusted. If 0, that
	// is until they expire, which is right only while nobody else changes the
	// backend, and while a change that it gave up is never made after all.
	MaxAge time.Duration

	// NegativeAge is how long it is trusted that an AOR has no bindings. One
	// second if 0; if negative, the backend is asked each time.
	NegativeAge time.Duration

	// StaleFor is how long bindings are still served, after they are not
	// trusted any more, while the backend fails. Never if 0. That an AOR has
	// no bindings is never served so.
	StaleFor time.Duration

	// Now is the clock, time.Now if nil, that must agree with the backend's.
	// It is called by many goroutines at once.
	Now func() time.Time
}

// Store is a [location.Store] that caches lookups and writes through to its
// backend. All methods may be called concurrently.
type Store struct {
	backend location.Store
	cfg     Config
	seed    maphash.Seed
	shards  []shard // their number is a power of two
}

var _ location.Store = (*Store)(nil)

const (
	defaultSize        = 100_000
	defaultNegativeAge = time.Second

	// A cache of at least shardedSize has shardCount parts, each with a lock of
	// its own. A smaller one is exact about its size instead.
	shardCount  = 64
	shardedSize = 64 * shardCount
)

// New returns an empty cache in front of backend.
func New(backend location.Store, cfg Config) (*Store, error) {
	var errs []error
	if backend == nil {
		errs = append(errs, errors.New("no backend"))
	}
	if cfg.Size < 0 {
		errs = append(errs, fmt.Errorf("size %d is negative", cfg.Size))
	}
	if cfg.MaxAge < 0 {
		errs = append(errs, fmt.Errorf("maximum age %v is negative", cfg.MaxAge))
	}
	if cfg.StaleFor < 0 {
		errs = append(errs, fmt.Errorf("stale time %v is negative", cfg.StaleFor))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	if cfg.Size == 0 {
		cfg.Size = defaultSize
	}
	if cfg.NegativeAge == 0 {
		cfg.NegativeAge = defaultNegativeAge
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Store{backend: backend, cfg: cfg, seed: maphash.MakeSeed()}
	return s, s.makeShards()
}

func (s *Store) makeShards() error {
	n := 1
	if s.cfg.Size >= shardedSize {
		n = shardCount
	}
	s.shards = make([]shard, n)
	for i := range s.shards {
		if err := s.shards[i].init((s.cfg.Size+n-1)/n, &s.cfg); err != nil {
			return fmt.Errorf("cache: %w", err)
		}
	}
	return nil
}

// shard returns the part of s that has aor.
func (s *Store) shard(aor location.AOR) *shard {
	return &s.shards[maphash.Comparable(s.seed, aor)%uint64(len(s.shards))]
}

// Lookup implements [location.Store]. It asks the backend for what is not in
// the cache or not trusted any more; of callers that want the same, one does.
// Its error is the backend's.
func (s *Store) Lookup(ctx context.Context, aor location.AOR) ([]location.Binding, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !aor.IsValid() {
		return s.backend.Lookup(ctx, aor)
	}
	for {
		now := s.cfg.Now()
		bs, l, mine := s.shard(aor).lookup(aor, now)
		switch {
		case l == nil:
			return bs, nil
		case mine:
			return s.load(ctx, aor, l, now)
		}
		select {
		case <-l.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		// What ended the other caller's patience need not end ours.
		if !l.gaveUp {
			return s.loaded(aor, l)
		}
	}
}

// load asks the backend on behalf of all that wait for l.
func (s *Store) load(ctx context.Context, aor location.AOR, l *load, now time.Time) ([]location.Binding, error) {
	l.gaveUp = true // unless the backend returns
	defer func() { s.shard(aor).endLoad(aor, l, now) }()
	l.bindings, l.err = s.backend.Lookup(ctx, aor)
	l.gaveUp = l.err != nil && ctx.Err() != nil
	if l.gaveUp {
		return nil, l.err
	}
	return s.loaded(aor, l)
}

// loaded returns what l came to, or in the place of its error what is in the
// cache.
func (s *Store) loaded(aor location.AOR, l *load) ([]location.Binding, error) {
	now := s.cfg.Now()
	if l.err == nil {
		return live(l.bindings, now), nil
	}
	if bs := s.shard(aor).lookupStale(aor, now); bs != nil {
		return bs, nil
	}
	return nil, l.err
}

// Apply implements [location.Store]. Its error is the backend's.
func (s *Store) Apply(ctx context.Context, aor location.AOR, c location.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	sh := s.shard(aor)
	w := sh.beginWrite(aor)
	err := errors.New("cache: the backend has panicked")
	defer func() { sh.endWrite(aor, w, c, err) }()
	err = s.backend.Apply(ctx, aor, c)
	return err
}

// Forget drops aor from the cache, for programs that are told of the change of
// another one.
func (s *Store) Forget(aor location.AOR) {
	sh := s.shard(aor)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.dropLoad(aor)
	sh.entries.Remove(aor)
}

// Unwrap returns the backend.
func (s *Store) Unwrap() location.Store { return s.backend }
