package mirror

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/sipward/sipward/location"
)

const (
	maxReads    = 4096 // that may wait
	readers     = 4    // at a time
	readTimeout = 3 * time.Second
	// patience is how long a backend that has failed to tell of an AOR is not
	// asked for it again.
	patience = time.Second
)

// read is a read of one AOR, that several callers may wait for.
type read struct {
	aor     location.AOR
	waiting []func() // guarded by the stripe, as is the rest
	// outdated says that the AOR has been changed since the read began, so that
	// it may have found what was before.
	outdated bool
}

// Check tells what a Lookup of aor in memory, as [Store.NoWait] does it, is
// worth: with stale set, [Store.Refresh] makes it better. The error wraps
// [ErrUnknown] if memory may lack bindings and the backend cannot be asked.
func (s *Store) Check(aor location.AOR) (stale bool, err error) {
	loaded := s.loaded.Load()
	if loaded && (s.cfg.MaxAge == 0 || !s.healthy.Load()) { // then asking would only cost time
		return false, nil
	}
	st := s.stripe(aor)
	st.mu.Lock()
	defer st.mu.Unlock()
	v, ok := st.visits.Peek(aor)
	if !ok {
		return true, nil
	}
	age := s.cfg.Now().Sub(v.at)
	switch {
	case v.err == nil:
		return s.cfg.MaxAge > 0 && age >= s.cfg.MaxAge, nil
	case age >= patience:
		return true, nil
	case loaded || v.known:
		return false, nil
	}
	return false, errors.Join(ErrUnknown, v.err)
}

// Certain reports whether memory tells all that there is, now and from now on,
// so that nobody needs to ask [Store.Check].
func (s *Store) Certain() bool { return s.cfg.MaxAge == 0 && s.loaded.Load() }

// Loaded reports whether all of the backend has been read, so that what only all
// bindings together can tell, as [location.FlowFinder] does, can be relied on.
func (s *Store) Loaded() bool { return s.loaded.Load() }

// Healthy reports whether the backend did what it was asked last.
func (s *Store) Healthy() bool { return s.healthy.Load() }

// WhenLoaded calls done, from another goroutine, when [Store.Loaded] is true, or
// when Run ends. Who no longer waits calls stop, so that nothing is kept for it;
// done may be running by then. If it is true already, done is never called and
// stop is nil.
func (s *Store) WhenLoaded(done func()) (stop func()) {
	s.loadMu.Lock()
	defer s.loadMu.Unlock()
	if s.loaded.Load() {
		return nil
	}
	s.onLoad[&done] = struct{}{}
	return func() {
		s.loadMu.Lock()
		defer s.loadMu.Unlock()
		delete(s.onLoad, &done)
	}
}

// endLoad calls those that wait for all to be loaded, which it is unless Run has
// ended before.
func (s *Store) endLoad(loaded bool) {
	s.loadMu.Lock()
	s.loaded.Store(loaded)
	waiting := slices.Collect(maps.Keys(s.onLoad))
	clear(s.onLoad)
	s.loadMu.Unlock()
	for _, done := range waiting {
		(*done)()
	}
}

// Refresh reads aor from the backend, and then calls done, from another
// goroutine, whether that went well or not: [Store.Check] tells. It returns at
// once. It returns false, and never calls done, if too many are waiting.
func (s *Store) Refresh(aor location.AOR, done func()) bool {
	st := s.stripe(aor)
	st.mu.Lock()
	defer st.mu.Unlock()
	if r := st.reads[aor]; r != nil {
		r.waiting = append(r.waiting, done)
		return true
	}
	r := &read{aor: aor.Clone(), waiting: []func(){done}}
	select {
	case s.reads <- r:
		st.reads[r.aor] = r
		return true
	default:
		return false
	}
}

// await waits until memory is to be trusted with aor, or as much as it can be.
func (s *Store) await(ctx context.Context, aor location.AOR) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !aor.IsValid() {
		return nil
	}
	stale, err := s.Check(aor)
	if !stale || err != nil {
		return err
	}
	done := make(chan struct{})
	if !s.Refresh(aor, func() { close(done) }) {
		return ErrUnknown
	}
	select {
	case <-done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if stale, err = s.Check(aor); stale {
		return nil // again already, by so short a MaxAge
	}
	return err
}

// serveReads does the reads that are asked for.
func (s *Store) serveReads(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-s.reads:
			s.finish(r, s.readNow(ctx, r))
		}
	}
}

// endReads lets all go that still wait.
func (s *Store) endReads() {
	for {
		select {
		case r := <-s.reads:
			s.finish(r, errors.New("closed"))
		default:
			return
		}
	}
}

// readNow does r, and again until no change has outrun it.
func (s *Store) readNow(ctx context.Context, r *read) error {
	for {
		if again, err := s.readOnce(ctx, r); !again {
			return err
		}
	}
}

// readOnce reports whether it was outrun by a change.
func (s *Store) readOnce(ctx context.Context, r *read) (again bool, err error) {
	st := s.stripe(r.aor)
	st.mu.Lock()
	r.outdated = false
	st.mu.Unlock()
	bindings, err := s.ask(ctx, r.aor)
	if err != nil {
		return false, err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if r.outdated && ctx.Err() == nil {
		return true, nil
	}
	s.adopt(st, r.aor, bindings)
	return false, nil
}

// ask looks aor up in the backend.
func (s *Store) ask(ctx context.Context, aor location.AOR) ([]location.Binding, error) {
	select {
	case <-s.tried:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	b := s.backend.Load()
	if b == nil {
		return nil, errors.New("not connected")
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	bindings, err := b.Lookup(ctx, aor)
	s.judge(err)
	return bindings, err
}

// finish notes when r was done, and lets those go that have waited.
func (s *Store) finish(r *read, err error) {
	st := s.stripe(r.aor)
	st.mu.Lock()
	v, _ := st.visits.Peek(r.aor)
	st.visits.Add(r.aor, visit{at: s.cfg.Now(), err: err, known: v.known || err == nil})
	if st.reads[r.aor] == r {
		delete(st.reads, r.aor)
	}
	waiting := r.waiting
	r.waiting = nil
	st.mu.Unlock()
	for _, done := range waiting {
		done()
	}
}

// adopt makes memory agree with what the backend has of an AOR, but for what the
// backend does not have yet. The caller holds the stripe's lock.
func (s *Store) adopt(st *stripe, aor location.AOR, has []location.Binding) {
	ctx := context.Background()
	mine, _ := s.memory.Lookup(ctx, aor) // memory has no errors but those of ctx
	st.reviewRefused(aor, mine, has)
	for i := range mine {
		if st.covered(aor, &mine[i]) || slices.ContainsFunc(has, func(b location.Binding) bool { return sameRegister(&mine[i], &b) }) {
			continue
		}
		_ = s.memory.Apply(ctx, aor, location.Change{
			CallID: mine[i].CallID, CSeq: math.MaxUint32, Remove: mine[i : i+1],
		})
	}
	for i := range has {
		if !st.covered(aor, &has[i]) {
			s.memory.Merge(aor, has[i])
		}
	}
}

// reviewRefused forgets what the backend has refused of an AOR if it has a later
// state of that, or if memory has none.
func (st *stripe) reviewRefused(aor location.AOR, mine, has []location.Binding) {
	p, _ := st.refused.Peek(aor)
	if p == nil {
		return
	}
	p.yield(mine, has)
	if !slices.ContainsFunc(mine, func(b location.Binding) bool { return p.covers(&b) }) {
		st.refused.Remove(aor)
	}
}

// sameRegister reports whether a and b are one binding as one REGISTER left it.
// A backend may have cut its times.
func sameRegister(a, b *location.Binding) bool {
	return a.CallID == b.CallID && a.CSeq == b.CSeq && putKey(a, a.Updated).same(b)
}
