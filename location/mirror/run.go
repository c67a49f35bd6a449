package mirror

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sipward/sipward/location"
)

const (
	connectTimeout = 15 * time.Second
	// lastWrites is how long Run goes on writing once it is to end.
	lastWrites = 5 * time.Second

	syncInterval  = time.Second
	sweepInterval = 5 * time.Second
	// sweepLimit is how many expired bindings of the backend go at a time. It is
	// more than phones of a large system can let expire in sweepInterval.
	sweepLimit = 5000
)

// Run connects to the backend, reads it, writes to it what is accepted, sweeps
// what expires, and keeps the journal small, until ctx is done. Before it
// returns it writes what is pending for some seconds; the rest is in the
// journal.
func (s *Store) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { s.keepJournal(ctx) })
	wg.Go(func() { s.purgeMemory(ctx) })
	// Reads go on while the last writes are made.
	reading, stopReading := context.WithCancel(context.WithoutCancel(ctx))
	defer stopReading()
	for range readers {
		wg.Go(func() { s.serveReads(reading) })
	}
	if s.connect(ctx) {
		wg.Go(func() { s.sweep(ctx) })
		wg.Go(func() { s.load(ctx) })
		s.writeAll(ctx)
		s.writeLast(reading)
	}
	stopReading()
	wg.Wait()
	s.endReads()
	s.endLoad(s.loaded.Load())
	return nil
}

// connect reports false if ctx was done before it could.
func (s *Store) connect(ctx context.Context) bool {
	backoff := minBackoff
	for first := true; ; first = false {
		err := s.tryConnect(ctx)
		if first {
			close(s.tried)
		}
		switch {
		case err == nil:
			s.judge(nil)
			return true
		case ctx.Err() != nil:
			return false
		}
		s.judge(err)
		if !sleep(ctx, backoff) {
			return false
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

func (s *Store) tryConnect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	store, err := s.cfg.Backend(ctx)
	if err != nil {
		return err
	}
	b := &backend{Store: store}
	var ok bool
	if b.list, ok = location.As[location.Lister](store); !ok {
		return errors.New("the backend cannot list its bindings")
	}
	b.batch, _ = store.(location.Batcher) // what is in between is to see each change
	b.purge, _ = location.As[location.Purger](store)
	s.backend.Store(b)
	return nil
}

// judge notes whether the backend did what it was asked, and tells when that
// changes.
func (s *Store) judge(err error) {
	if err == nil {
		if !s.healthy.Swap(true) {
			s.lastErr.Store(nil)
			s.cfg.Logger.Info("the backend of registrations is there", "pending", s.pending.Load())
		}
		return
	}
	s.failures.Add(1)
	if first := s.lastErr.Swap(&err) == nil; s.healthy.Swap(false) || first {
		s.cfg.Logger.Error("the backend of registrations fails: memory and journal go on without it", "err", err)
	}
}

// load reads all of the backend.
func (s *Store) load(ctx context.Context) {
	start := time.Now()
	backoff := minBackoff
	for {
		err := s.loadOnce(ctx)
		if err == nil || ctx.Err() != nil {
			break
		}
		s.judge(err)
		if !sleep(ctx, backoff) {
			break
		}
		backoff = min(2*backoff, maxBackoff)
	}
	if ctx.Err() != nil {
		return
	}
	s.endLoad(true)
	for i := range s.stripes {
		st := &s.stripes[i]
		st.mu.Lock()
		st.changed = nil
		st.mu.Unlock()
	}
	s.cfg.Logger.Info("all registrations are read", "bindings", s.memory.Len(), "took", time.Since(start).Round(time.Millisecond))
}

func (s *Store) loadOnce(ctx context.Context) error {
	s.rows.Store(0)
	var last location.AOR
	for e, err := range s.backend.Load().list.All(ctx) {
		if err != nil {
			return err
		}
		s.rows.Add(1)
		if s.mergeRow(&e) || e.AOR == last {
			continue
		}
		// It has been changed since the list was begun, so that this row may be
		// of before.
		last = e.AOR
		if err := s.reread(ctx, e.AOR); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// reread reads one AOR, as for somebody who asks for it.
func (s *Store) reread(ctx context.Context, aor location.AOR) error {
	done := make(chan struct{})
	for !s.Refresh(aor, func() { close(done) }) {
		if !sleep(ctx, minBackoff) {
			return ctx.Err()
		}
	}
	select {
	case <-done:
	case <-ctx.Done():
		return ctx.Err()
	}
	st := s.stripe(aor)
	st.mu.Lock()
	defer st.mu.Unlock()
	v, _ := st.visits.Peek(aor)
	return v.err
}

// mergeRow takes what the list has, unless the AOR has changed since.
func (s *Store) mergeRow(e *location.Entry) bool {
	st := s.stripe(e.AOR)
	st.mu.Lock()
	defer st.mu.Unlock()
	if _, changed := st.changed[e.AOR]; changed {
		return false
	}
	s.memory.Merge(e.AOR, e.Binding)
	return true
}

// writeLast writes what is pending when the Store is to end.
func (s *Store) writeLast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastWrites)
	defer cancel()
	for s.queue.len() > 0 && ctx.Err() == nil {
		if !s.writeSome(ctx) && !sleep(ctx, minBackoff) {
			return
		}
	}
}

// sweep drops what has expired from the backend, which also tells whether it is
// there. One that does that itself is asked for a row when it has failed.
func (s *Store) sweep(ctx context.Context) {
	b := s.backend.Load()
	for sleep(ctx, sweepInterval) {
		var err error
		switch {
		case b.purge != nil:
			var n int
			n, err = b.purge.Purge(ctx, sweepLimit)
			s.swept.Add(uint64(n))
		case s.healthy.Load():
			continue
		default:
			for _, err = range b.list.All(ctx) {
				break
			}
		}
		if ctx.Err() == nil {
			s.judge(err)
		}
	}
}

// purgeMemory drops what has expired from memory.
func (s *Store) purgeMemory(ctx context.Context) {
	for sleep(ctx, time.Second) {
		_, _ = s.memory.Purge(ctx, 10_000) // memory has no errors but those of ctx
	}
}

// keepJournal puts the journal on disk, and makes it small again.
func (s *Store) keepJournal(ctx context.Context) {
	if s.journal == nil {
		return
	}
	limit := int64(compactAt)
	for sleep(ctx, syncInterval) {
		err := s.journal.sync()
		if size := s.journal.bytes(); err == nil && size > limit {
			err = s.compact()
			limit = max(compactAt, 2*s.journal.bytes())
		}
		if err != nil {
			s.journalErrors.Add(1)
			s.cfg.Logger.Error("the journal of registrations is not safe", "err", err)
		}
	}
}

// compactAt is the size from which on the journal is written anew: a phone that
// refreshes every minute of an outage is in it once a minute.
const compactAt = 64 << 20

// compact writes what is pending into new segments, so that the old ones go once
// these are on disk.
func (s *Store) compact() error {
	first, err := s.journal.begin()
	if err != nil {
		return err
	}
	for i := range s.stripes {
		if err := s.compactStripe(&s.stripes[i], first); err != nil {
			return err
		}
	}
	return s.journal.sync()
}

func (s *Store) compactStripe(st *stripe, first int) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	for aor, p := range st.writing {
		list := []*pending{p}
		if later := st.dirty[aor]; later != nil { // whose number must stay the higher one
			list = append(list, later)
		}
		if p.segment < first {
			if err := s.move(aor, list...); err != nil {
				return err
			}
		}
	}
	for aor, p := range st.dirty {
		if p.segment < first {
			if err := s.move(aor, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// move appends to the journal what is pending of an AOR, and lets it go where it
// was. The caller holds the stripe's lock.
func (s *Store) move(aor location.AOR, list ...*pending) error {
	have, _ := s.memory.Lookup(context.Background(), aor) // memory has no errors but those of ctx
	var all []*entry
	last := make([]*entry, len(list)) // of each
	for i, p := range list {
		for _, e := range p.entries(aor, have) {
			all, last[i] = append(all, e), e
		}
	}
	segment, err := s.journal.append(len(list), all...)
	if err != nil {
		return err
	}
	for i, p := range list {
		s.journal.move(p.segment)
		p.segment = segment
		if last[i] != nil {
			p.seq = last[i].seq
		}
	}
	return nil
}
