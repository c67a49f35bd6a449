package mirror

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sipward/sipward/location"
)

const (
	batchSize    = 128
	writeTimeout = 15 * time.Second
	minBackoff   = 100 * time.Millisecond
	maxBackoff   = 3 * time.Second
)

// writeAll writes what is pending, as it comes, until ctx is done.
func (s *Store) writeAll(ctx context.Context) {
	backoff := minBackoff
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.queue.wake:
		}
		if s.cfg.Linger > 0 && !sleep(ctx, s.cfg.Linger) {
			return
		}
		for s.queue.len() > 0 && ctx.Err() == nil {
			if s.writeSome(context.WithoutCancel(ctx)) { // what is on its way is not cut off
				backoff = minBackoff
				continue
			}
			sleep(ctx, backoff)
			backoff = min(2*backoff, maxBackoff)
		}
	}
}

// writeSome writes some of what is pending. It reports false if the backend took
// nothing, and is to be left alone for a while.
func (s *Store) writeSome(ctx context.Context) bool {
	b := s.backend.Load()
	if b == nil {
		return false
	}
	aors := s.queue.take(batchSize)
	n := s.settle(ctx, aors)
	s.queue.putBack(aors[n:])
	if n == 0 {
		return false
	}
	aors = aors[:n]
	writing, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	changes := s.begin(aors)
	errs := applyAll(writing, b, changes)
	var again []location.AOR
	var marks []entry
	for i, err := range errs {
		if !s.end(writing, changes[i].AOR, err, &marks) {
			again = append(again, changes[i].AOR)
		}
	}
	s.journal.mark(marks)
	took := len(marks) > 0
	if took {
		s.judge(nil)
	} else {
		s.judge(errors.Join(errs...))
	}
	if took || answers(ctx, b, aors[0]) { // it is about them, so let others go first
		s.queue.push(again...)
	} else {
		s.queue.putBack(again)
	}
	return took
}

// answers reports whether a backend that took nothing is there all the same.
func answers(ctx context.Context, b *backend, aor location.AOR) bool {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	_, err := b.Lookup(ctx, aor)
	return err == nil
}

// late is from when on others may have been faster with a change: that is what
// an outage makes of it, which other writers may not have had.
const late = 2 * time.Second

// settle finds out what of changes that are late, or of a former process, others
// have overtaken: the backend has a later state of these bindings, and so has
// memory then. It returns of how many of aors it has found that out, until the backend
// could not tell or took too long for all of them.
func (s *Store) settle(ctx context.Context, aors []location.AOR) int {
	start := time.Now()
	for i, aor := range aors {
		st := s.stripe(aor)
		st.mu.Lock()
		p := st.dirty[aor]
		doubtful := p.replayed || s.cfg.MaxAge > 0 && p.before(s.cfg.Now().Add(-late))
		st.mu.Unlock()
		if !doubtful {
			continue
		}
		if time.Since(start) > writeTimeout {
			return i
		}
		has, err := s.ask(ctx, aor)
		if err != nil {
			return i
		}
		st.mu.Lock()
		p.replayed = false
		mine, _ := s.memory.Lookup(ctx, aor) // an error means that ctx is done, and so is all of this
		p.yield(mine, has)
		s.adopt(st, aor, has)
		st.mu.Unlock()
	}
	return len(aors)
}

// yield gives up the bindings of which the backend has a later state.
func (p *pending) yield(mine, has []location.Binding) {
	if p.reset { // which is to drop none that came after it
		p.reset = false
		for i := range has {
			if has[i].Updated.Unix() <= p.resetAt.Unix() { // a journal has no more of times
				p.add(removeKey(&has[i], p.resetAt))
			}
		}
		for i := range mine {
			p.add(putKey(&mine[i], mine[i].Updated))
		}
	}
	p.keys = slices.DeleteFunc(p.keys, func(k key) bool {
		return slices.ContainsFunc(has, func(b location.Binding) bool {
			return k.same(&b) && b.Updated.Unix() > k.at
		})
	})
}

// begin takes what is pending of aors on its way.
func (s *Store) begin(aors []location.AOR) []location.AORChange {
	changes := make([]location.AORChange, 0, len(aors))
	for _, aor := range aors {
		st := s.stripe(aor)
		st.mu.Lock()
		p := st.dirty[aor]
		delete(st.dirty, aor)
		st.writing[aor] = p
		have, _ := s.memory.Lookup(context.Background(), aor) // memory has no errors but those of ctx
		changes = append(changes, location.AORChange{AOR: aor, Change: p.change(have)})
		st.mu.Unlock()
	}
	return changes
}

// end notes what became of the change of an AOR, in marks too if that is settled.
// It reports false if it is pending again, and in no queue.
func (s *Store) end(ctx context.Context, aor location.AOR, err error, marks *[]entry) bool {
	st := s.stripe(aor)
	stale := errors.Is(err, location.ErrStale)
	if stale {
		s.stale.Add(1)
	}
	if stale || err != nil && s.cfg.Refused(err) {
		err = s.mend(ctx, st, aor)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	p := st.writing[aor]
	delete(st.writing, aor)
	switch {
	case err == nil:
		s.written.Add(1)
	case s.cfg.Refused(err):
		s.refused.Add(1)
		st.refuse(aor, p)
		s.cfg.Logger.Error("the backend refuses a registration, which lives in memory only", "aor", aor, "err", err)
	default:
		return s.requeue(st, aor, p, err)
	}
	// A read that began before may not have seen what was written.
	if r := st.reads[aor]; r != nil {
		r.outdated = true
	}
	*marks = append(*marks, entry{aor: aor, seq: p.seq, at: s.cfg.Now(), kind: written})
	s.journal.release(p.segment)
	s.pending.Add(-1)
	return true
}

// requeue makes p pending again. It returns false if the AOR is in no queue.
func (s *Store) requeue(st *stripe, aor location.AOR, p *pending, err error) (queued bool) {
	if p.failures++; p.failures == 3 && s.healthy.Load() {
		s.cfg.Logger.Warn("the backend takes the changes of others, but not these", "aor", aor, "err", err)
	}
	later := st.dirty[aor]
	if later == nil {
		st.dirty[aor] = p
		return false
	}
	segment := later.segment
	later.merge(p)
	s.journal.release(max(segment, p.segment))
	s.pending.Add(-1)
	return true
}

// mend writes one by one what the backend did not take as a whole, and makes
// memory agree: another writer has a later state of one of the bindings, or one is
// refused, which is then all that is left on its way, and the error.
func (s *Store) mend(ctx context.Context, st *stripe, aor location.AOR) error {
	st.mu.Lock()
	have, _ := s.memory.Lookup(ctx, aor)
	p := *st.writing[aor]
	st.mu.Unlock()
	whole := p.change(have)
	var parts []location.Change
	if whole.Reset || len(whole.Remove) > 0 {
		parts = append(parts, location.Change{Reset: whole.Reset, Remove: whole.Remove})
	}
	for i := range whole.Put {
		parts = append(parts, location.Change{Put: whole.Put[i : i+1]})
	}
	b := s.backend.Load()
	var taken []location.Binding
	var refused error
	var keys []key
	for _, c := range parts {
		part := c.Put
		c.Put = append(slices.Clip(taken), part...) // else one took the place of another that came from the same socket
		switch err := b.Apply(ctx, aor, c); {
		case err == nil:
			taken = c.Put
		case errors.Is(err, location.ErrStale):
		case s.cfg.Refused(err):
			refused = err
			for i := range part {
				keys = append(keys, putKey(&part[i], part[i].Updated))
			}
		default:
			return err
		}
	}
	has, err := s.ask(ctx, aor)
	if err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	w := st.writing[aor] // which may have been moved in the journal
	st.writing[aor] = &pending{segment: w.segment, seq: w.seq, keys: keys}
	s.adopt(st, aor, has)
	return refused
}

// applyAll applies changes at once, if the backend can.
func applyAll(ctx context.Context, b *backend, changes []location.AORChange) []error {
	if b.batch != nil {
		return b.batch.ApplyAll(ctx, changes)
	}
	errs := make([]error, len(changes))
	for i := range changes {
		errs[i] = b.Apply(ctx, changes[i].AOR, changes[i].Change)
	}
	return errs
}

// sleep reports false if ctx was done before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
