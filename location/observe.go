package location

import (
	"context"
	"time"
)

// Observe wraps s so that f sees each Lookup and Apply, for metrics and traces:
// op is "lookup" or "apply", d how long the call took, and err what it
// returned. F runs in the caller's goroutine after the call and must not
// block; it must be safe for concurrent use.
//
// The result has an Unwrap method, so [As] finds the optional interfaces of s;
// calls of those are not seen.
func Observe(s Store, f func(ctx context.Context, op string, d time.Duration, err error)) Store {
	return &observed{s, f}
}

type observed struct {
	store Store
	f     func(ctx context.Context, op string, d time.Duration, err error)
}

func (o *observed) Lookup(ctx context.Context, aor AOR) ([]Binding, error) {
	start := time.Now()
	bs, err := o.store.Lookup(ctx, aor)
	o.f(ctx, "lookup", time.Since(start), err)
	return bs, err
}

func (o *observed) Apply(ctx context.Context, aor AOR, c Change) error {
	start := time.Now()
	err := o.store.Apply(ctx, aor, c)
	o.f(ctx, "apply", time.Since(start), err)
	return err
}

// Unwrap returns the observed store.
func (o *observed) Unwrap() Store { return o.store }
