package metrics

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/mysqlloc"
)

// operations is how long the database takes for bindings.
type operations struct {
	lookup, apply, purge operation
}

// operation is one kind of it.
type operation struct{ done, failed prometheus.Observer }

func newOperations(f *factory) operations {
	took := f.seconds("location_op_duration_seconds", "Time of an operation on the table of bindings.", "op", "result")
	of := func(op string) operation {
		return operation{took.WithLabelValues(op, "ok"), took.WithLabelValues(op, "error")}
	}
	return operations{of("lookup"), of("apply"), of("purge")}
}

// note notes an operation that began at start. One that another writer was ahead
// of has not failed.
func (o *operation) note(start time.Time, errs ...error) {
	in := o.done
	for _, err := range errs {
		if err != nil && !errors.Is(err, location.ErrStale) {
			in = o.failed
		}
	}
	in.Observe(time.Since(start).Seconds())
}

// Store returns s, with its operations timed.
func (o *operations) Store(s *mysqlloc.Store) location.Store { return &timedStore{s, o} }

type timedStore struct {
	*mysqlloc.Store
	operations *operations
}

var (
	_ location.Batcher = (*timedStore)(nil)
	_ location.Lister  = (*timedStore)(nil)
	_ location.Purger  = (*timedStore)(nil)
)

// Lookup implements [location.Store].
func (s *timedStore) Lookup(ctx context.Context, aor location.AOR) ([]location.Binding, error) {
	start := time.Now()
	bs, err := s.Store.Lookup(ctx, aor)
	s.operations.lookup.note(start, err)
	return bs, err
}

// Apply implements [location.Store].
func (s *timedStore) Apply(ctx context.Context, aor location.AOR, c location.Change) error {
	start := time.Now()
	err := s.Store.Apply(ctx, aor, c)
	s.operations.apply.note(start, err)
	return err
}

// ApplyAll implements [location.Batcher].
func (s *timedStore) ApplyAll(ctx context.Context, changes []location.AORChange) []error {
	start := time.Now()
	errs := s.Store.ApplyAll(ctx, changes)
	s.operations.apply.note(start, errs...)
	return errs
}

// Purge implements [location.Purger].
func (s *timedStore) Purge(ctx context.Context, limit int) (int, error) {
	start := time.Now()
	n, err := s.Store.Purge(ctx, limit)
	s.operations.purge.note(start, err)
	return n, err
}
