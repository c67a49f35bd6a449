// Package mirror is a [location.Store] that has all bindings in memory, and
// mirrors them to a slower store, such as a table of a database, that outlives
// the process.
//
// Lookups are answered from memory. A change is made in memory, noted in a
// journal on disk, and then accepted; the backend gets it a moment later,
// together with others, in the order in which they were accepted, though what it
// does not take keeps no others waiting. So neither a slow backend nor one that is
// gone for hours is noticed by phones, and what was accepted survives the process
// being killed: the next one reads the journal.
// What the backend lacks is kept as the AORs that have changed, not as a list of
// changes, so that an hour of refreshes is no more than the bindings it is about.
//
// # Start
//
// [Store.Run] connects to the backend, however long that takes, and reads all of
// it while the store serves already. Until all has been read, an AOR that is not
// known yet is read on its own when it is asked for.
//
// # Several writers
//
// With [Config].MaxAge the backend may have other writers. What memory has of an
// AOR, bindings or their absence, is trusted for that long; then the next who
// asks waits for the backend. If that fails, memory counts. So another writer's
// change is seen after MaxAge at the latest. Its own changes a Store sees at
// once, and other writers see them as soon as the backend has them.
//
// What this Store accepted and what another writer did to the same AOR at the
// same time both end up in the backend: only the bindings that a change is about
// are written. Of two changes of one binding the later REGISTER counts, by its
// CSeq if they have the same Call-ID. Who only removes bindings, with the Call-ID
// and CSeq that they have, forgets what this Store knew: what another writer has
// accepted of them since stays.
package mirror

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sipward/sipward/location"
)

var (
	// ErrFull reports that the backend lacks more changes than may be kept for
	// it. Nothing was changed.
	ErrFull = errors.New("mirror: too many changes wait for the backend")
	// ErrUnsafe reports that neither the journal nor the backend takes changes.
	// Nothing was changed.
	ErrUnsafe = errors.New("mirror: neither journal nor backend takes changes")
	// ErrUnknown reports that nothing is known of an AOR yet, and that the
	// backend cannot be asked.
	ErrUnknown = errors.New("mirror: not read from the backend yet")
)

// Config configures a [Store]. Only Backend is required.
type Config struct {
	// Backend connects to the backend. Run calls it until it succeeds, and not
	// again then. It must return when ctx is done. The store it returns must be a
	// [location.Lister]; it is used better if it is a [location.Batcher] and a
	// [location.Purger].
	Backend func(ctx context.Context) (location.Store, error)

	// Refused reports whether an error of the backend's Apply says that it will
	// never take that change. It is logged then, and what is refused lives in
	// memory only, as long as the process, until another writer has a later state
	// of it. If nil there is no such error: the backend is tried for ever.
	Refused func(error) bool

	// Dir is the directory of the journal, which is made if there is none. No
	// other Store may use it at the same time. If empty there is no journal: what
	// the backend does not have yet is lost with the process.
	Dir string

	// MaxAge is how long what has been read is trusted. If 0, that is for good,
	// which is right while nobody else changes the backend.
	MaxAge time.Duration

	// MaxPending is of how many AORs the backend may lack changes; a million if 0.
	MaxPending int

	// Linger is how long a change waits for others that go to the backend with
	// it; 100 ms if 0, and not at all if negative.
	Linger time.Duration

	// Now is the clock, time.Now if nil. It is called by many goroutines at once.
	Now func() time.Time

	// Logger discards if nil.
	Logger *slog.Logger
}

const (
	defaultMaxPending = 1_000_000
	defaultLinger     = 100 * time.Millisecond
)

// Store is a [location.Store] in memory with a mirror elsewhere. All methods may
// be called concurrently. Its optional interfaces are those of a
// [location.Memory], which see what is in memory; Purge purges that.
type Store struct {
	cfg     Config
	memory  *location.Memory
	journal *journal // nil without Dir
	seed    maphash.Seed
	stripes [stripeCount]stripe
	queue   queue
	reads   chan *read

	tried   chan struct{}           // closed when it was tried to connect
	backend atomic.Pointer[backend] // nil until it is connected
	loaded  atomic.Bool
	healthy atomic.Bool // the backend did what it was asked last
	loadMu  sync.Mutex
	onLoad  map[*func()]struct{} // guarded by loadMu
	counters
}

var _ location.Store = (*Store)(nil)

// backend is the backend with what it can do.
type backend struct {
	location.Store
	list  location.Lister
	batch location.Batcher // nil if it cannot
	purge location.Purger  // nil if it cannot
}

// Open returns a Store with what its journal has. It does not touch the backend
// and starts no goroutine: Run does. Without Run, changes end up in the journal.
func Open(cfg Config) (*Store, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s := &Store{
		cfg:    cfg,
		memory: location.NewMemory(location.MemoryConfig{Now: cfg.Now}),
		seed:   maphash.MakeSeed(),
		reads:  make(chan *read, maxReads),
		tried:  make(chan struct{}),
		onLoad: map[*func()]struct{}{},
	}
	s.queue.wake = make(chan struct{}, 1)
	for i := range s.stripes {
		if err := s.stripes[i].init(); err != nil {
			return nil, fmt.Errorf("mirror: %w", err)
		}
	}
	if cfg.Dir == "" {
		return s, nil
	}
	var err error
	if s.journal, err = openJournal(cfg.Dir, s.replay); err != nil {
		return nil, fmt.Errorf("mirror: %w", err)
	}
	// What this process writes is then all its own, so that it can be told from
	// what the backend has got.
	if err := s.compact(); err != nil {
		return nil, errors.Join(fmt.Errorf("mirror: %w", err), s.journal.close())
	}
	for _, fault := range s.journal.faults {
		cfg.Logger.Error("part of the journal cannot be read, and is kept aside", "err", fault)
	}
	return s, nil
}

// complete checks c and fills in what is left to us.
func (c *Config) complete() error {
	var errs []error
	if c.Backend == nil {
		errs = append(errs, errors.New("mirror: Config.Backend is nil"))
	}
	if c.MaxAge < 0 {
		errs = append(errs, fmt.Errorf("mirror: maximum age %v is negative", c.MaxAge))
	}
	if c.MaxPending < 0 {
		errs = append(errs, fmt.Errorf("mirror: limit %d of pending AORs is negative", c.MaxPending))
	}
	if c.MaxPending == 0 {
		c.MaxPending = defaultMaxPending
	}
	if c.Linger == 0 {
		c.Linger = defaultLinger
	}
	if c.Refused == nil {
		c.Refused = func(error) bool { return false }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return errors.Join(errs...)
}

// Close closes the journal. Call it when Run has returned, if it was called, and
// nobody uses the Store any more.
func (s *Store) Close() error {
	if s.journal == nil {
		return nil
	}
	if err := s.journal.close(); err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	return nil
}

// Unwrap returns the memory.
func (s *Store) Unwrap() location.Store { return s.memory }

// Lookup implements [location.Store]. It waits for the backend if what memory
// has is not to be trusted. Its error wraps [ErrUnknown] or is that of ctx.
func (s *Store) Lookup(ctx context.Context, aor location.AOR) ([]location.Binding, error) {
	if err := s.await(ctx, aor); err != nil {
		return nil, err
	}
	return s.memory.Lookup(ctx, aor)
}

// Apply implements [location.Store]. It waits for the backend if what memory has
// is not to be trusted, and never for the backend to take the change. The error
// can wrap [ErrFull], [ErrUnsafe] and [ErrUnknown].
func (s *Store) Apply(ctx context.Context, aor location.AOR, c location.Change) error {
	if err := s.await(ctx, aor); err != nil {
		return err
	}
	return s.apply(ctx, aor, c)
}

// NoWait returns a view of s that never waits for the backend: Lookup tells what
// is in memory, and Apply decides by that. For callers that must not block, and
// that ask [Store.Check] first.
func (s *Store) NoWait() location.Store { return view{s} }

type view struct{ store *Store }

func (v view) Lookup(ctx context.Context, aor location.AOR) ([]location.Binding, error) {
	return v.store.memory.Lookup(ctx, aor)
}

func (v view) Apply(ctx context.Context, aor location.AOR, c location.Change) error {
	return v.store.apply(ctx, aor, c)
}

// Unwrap returns the memory.
func (v view) Unwrap() location.Store { return v.store.memory }
