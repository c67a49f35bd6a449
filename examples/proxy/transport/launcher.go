package transport

import (
	"context"
	"errors"
	"sync"
)

// launcher owns the goroutines of a layer. What is launched before begin
// starts with it, what is launched after end is refused.
type launcher struct {
	group sync.WaitGroup

	mu      sync.Mutex
	waiting []func(context.Context) error     // before begin
	start   func(func(context.Context) error) // since begin
	ended   bool
	err     error // the first of a goroutine
}

// launch calls f in a goroutine, now or from begin on. It reports whether it
// will.
func (l *launcher) launch(f func(context.Context) error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.ended:
		return false
	case l.start == nil:
		l.waiting = append(l.waiting, f)
	default:
		l.start(f)
	}
	return true
}

// begin starts the goroutines. They get the context that it returns, which
// also ends with the first error of one of them.
func (l *launcher) begin(ctx context.Context) (context.Context, context.CancelFunc, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.start != nil {
		return nil, nil, errors.New("transport: Run was called before")
	}
	ctx, cancel := context.WithCancel(ctx)
	l.start = func(f func(context.Context) error) {
		l.group.Go(func() {
			if err := f(ctx); err != nil {
				l.fail(err)
				cancel()
			}
		})
	}
	for _, f := range l.waiting {
		l.start(f)
	}
	l.waiting = nil
	return ctx, cancel, nil
}

func (l *launcher) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
}

// end refuses what is launched later.
func (l *launcher) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
}

// wait waits for all goroutines, after end, and returns the first error.
func (l *launcher) wait() error {
	l.group.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
