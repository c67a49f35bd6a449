package mirror

import (
	"context"
	"errors"
	"hash/maphash"
	"math"
	"slices"
	"time"

	"github.com/sipward/sipward/location"
)

func (s *Store) stripe(aor location.AOR) *stripe {
	return &s.stripes[maphash.Comparable(s.seed, aor)%stripeCount]
}

// apply makes a change in journal and memory.
func (s *Store) apply(ctx context.Context, aor location.AOR, c location.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !aor.IsValid() {
		return errors.New("mirror: change of the zero AOR")
	}
	st := s.stripe(aor)
	st.mu.Lock()
	defer st.mu.Unlock()
	stored, err := s.memory.Lookup(ctx, aor)
	if err != nil {
		return err
	}
	effect, err := c.Resolve(stored, s.cfg.Now())
	if err != nil {
		return err
	}
	r := s.entryOf(aor, &c, stored, &effect)
	if r.empty() {
		return nil
	}
	if st.dirty[aor] == nil && s.pending.Load() >= int64(s.cfg.MaxPending) {
		return ErrFull
	}
	segment, err := s.note(st, &r)
	if err != nil {
		return err
	}
	// The journal has it, so it is too late for ctx to end.
	if err := s.memory.Apply(context.WithoutCancel(ctx), aor, c); err != nil {
		return err
	}
	s.mark(st, &r, segment, false)
	return nil
}

// entryOf returns what c, which has this effect, does to single bindings.
func (s *Store) entryOf(aor location.AOR, c *location.Change, stored []location.Binding, effect *location.Effect) entry {
	e := entry{aor: aor, at: asOf(c, stored, effect, s.cfg.Now())}
	if c.Reset {
		e.kind = reset
	}
	for i := range c.Remove {
		e.remove = append(e.remove, removeKey(&c.Remove[i], e.at))
	}
	for _, i := range effect.Drop {
		e.remove = append(e.remove, removeKey(&stored[i], e.at))
	}
	for i := range effect.Put {
		w := &effect.Put[i]
		e.put = append(e.put, w.Binding)
		if w.Replaces < 0 {
			continue
		}
		old := &stored[w.Replaces]
		if !putKey(&w.Binding, e.at).same(old) { // it only came from the same socket
			e.remove = append(e.remove, removeKey(old, e.at))
		}
	}
	return e
}

// asOf returns since when c, which has this effect, is true. Who only removes what
// has his own Call-ID and CSeq speaks of what that REGISTER has left, and of none
// that came to another writer since.
func asOf(c *location.Change, stored []location.Binding, effect *location.Effect, now time.Time) time.Time {
	others := slices.ContainsFunc(effect.Drop, func(i int) bool { return stored[i].CallID != c.CallID || stored[i].CSeq != c.CSeq })
	if c.Reset || len(c.Put) > 0 || len(effect.Drop) == 0 || others {
		return now
	}
	return stored[effect.Drop[0]].Updated
}

// note writes e to the journal and returns the segment that has it. It holds
// that segment, unless the AOR already holds one.
func (s *Store) note(st *stripe, e *entry) (segment int, err error) {
	if s.journal == nil {
		return 0, nil
	}
	p := st.dirty[e.aor]
	holds := 0
	if p == nil || p.segment == noSegment {
		holds = 1
	}
	segment, err = s.journal.append(holds, e)
	if err == nil {
		s.journalBroken.Store(false)
		return segment, nil
	}
	s.journalErrors.Add(1)
	if s.journalBroken.CompareAndSwap(false, true) {
		s.cfg.Logger.Error("the journal of registrations cannot be written", "err", err)
	}
	if !s.healthy.Load() {
		return 0, errors.Join(ErrUnsafe, err)
	}
	return noSegment, nil
}

// mark makes e pending, and keeps no memory of the message that e comes from. The
// caller holds the stripe's lock, and, unless the AOR has something pending already,
// the segment.
func (s *Store) mark(st *stripe, e *entry, segment int, replayed bool) {
	p := st.dirty[e.aor]
	if p == nil {
		p = &pending{segment: segment, since: e.at, keys: st.takeRefused(e.aor)}
		if !replayed {
			p.since = s.cfg.Now() // e may speak of before
		}
		aor := e.aor.Clone()
		st.dirty[aor] = p
		s.pending.Add(1)
		s.queue.push(aor) // who takes it waits for the lock
	}
	if p.segment == noSegment {
		p.segment = segment
	}
	p.replayed = p.replayed || replayed
	p.seq = e.seq
	if e.kind == reset {
		p.reset, p.resetAt, p.keys = true, e.at, nil
	}
	for _, k := range e.remove {
		p.add(k)
	}
	for i := range e.put {
		p.add(putKey(&e.put[i], e.at))
	}
	st.outdate(e.aor)
}

// outdate makes sure that what is just being read of an AOR, which may be older
// than what memory has, is not taken for the truth.
func (st *stripe) outdate(aor location.AOR) {
	if st.changed != nil {
		st.changed[aor.Clone()] = struct{}{}
	}
	if r := st.reads[aor]; r != nil {
		r.outdated = true
	}
}

// replay makes what the journal of a former process has pending again.
func (s *Store) replay(e *entry, segment int, hold func()) {
	ctx := context.Background()
	st := s.stripe(e.aor)
	st.mu.Lock()
	defer st.mu.Unlock()
	// One journal has the order in which all of it was accepted. That of another
	// process, which [Adopt] has added, may be older, and so may be what compact
	// has written just before the process was killed.
	stored, _ := s.memory.Lookup(ctx, e.aor) // memory has no errors but those of ctx
	later := func(k key) bool {
		return slices.ContainsFunc(stored, func(b location.Binding) bool { return k.same(&b) && b.Updated.Unix() > k.at })
	}
	e.put = slices.DeleteFunc(e.put, func(b location.Binding) bool { return later(putKey(&b, b.Updated)) })
	e.remove = slices.DeleteFunc(e.remove, later)
	stays := slices.DeleteFunc(stored, func(b location.Binding) bool {
		return e.kind == reset && b.Updated.Unix() <= e.at.Unix() || slices.ContainsFunc(e.remove, func(k key) bool { return k.same(&b) })
	})
	// What stays is put again, so that it does not give way to what only came from
	// the same socket: the entry names all that did.
	_ = s.memory.Apply(ctx, e.aor, location.Change{CSeq: math.MaxUint32, Reset: true, Put: append(stays, e.put...)})
	if e.empty() {
		return
	}
	if st.dirty[e.aor] == nil {
		hold()
	}
	s.mark(st, e, segment, true)
}
