package mirror

import (
	"sync/atomic"
	"time"
)

// counters are those of a Store.
type counters struct {
	pending       atomic.Int64 // AORs, those on their way included
	rows          atomic.Uint64
	written       atomic.Uint64
	stale         atomic.Uint64
	refused       atomic.Uint64
	failures      atomic.Uint64
	swept         atomic.Uint64
	journalErrors atomic.Uint64
	journalBroken atomic.Bool
	lastErr       atomic.Pointer[error]
}

// Stats is a snapshot of how a [Store] does, in the manner of
// [database/sql.DBStats]. Numbers without another word count since Open.
type Stats struct {
	Connected    bool          // the backend has been reached some time
	Healthy      bool          // the backend did what it was asked last
	Loaded       bool          // all of the backend has been read
	Rows         uint64        // how many bindings of it, until now
	Bindings     int           // in memory, now
	Pending      int           // AORs of which the backend lacks changes, now
	Oldest       time.Duration // for how long it lacks one
	Written      uint64        // AORs whose changes it has got
	Stale        uint64        // of these, the ones another writer was ahead with
	Refused      uint64        // AORs whose changes it will never take
	Failures     uint64        // of the backend
	Swept        uint64        // expired bindings dropped from it
	JournalBytes int64         // on disk, now; 0 without a journal
	JournalFails uint64        // writes to it that failed
	JournalOK    bool          // the last one did not, or there is no journal
	Err          error         // the backend's last one; nil if healthy
}

// Stats returns the counters.
func (s *Store) Stats() Stats {
	st := Stats{
		Connected:    s.backend.Load() != nil,
		Healthy:      s.healthy.Load(),
		Loaded:       s.loaded.Load(),
		Rows:         s.rows.Load(),
		Bindings:     s.memory.Len(),
		Pending:      int(s.pending.Load()),
		Oldest:       s.oldest(),
		Written:      s.written.Load(),
		Stale:        s.stale.Load(),
		Refused:      s.refused.Load(),
		Failures:     s.failures.Load(),
		Swept:        s.swept.Load(),
		JournalFails: s.journalErrors.Load(),
		JournalOK:    !s.journalBroken.Load(),
	}
	if s.journal != nil {
		st.JournalBytes = s.journal.bytes()
	}
	if err := s.lastErr.Load(); err != nil {
		st.Err = *err
	}
	return st
}

// oldest looks at the first in the queue, which has waited longest.
func (s *Store) oldest() time.Duration {
	aor := s.queue.first()
	if !aor.IsValid() {
		return 0
	}
	st := s.stripe(aor)
	st.mu.Lock()
	defer st.mu.Unlock()
	if p := st.dirty[aor]; p != nil {
		return s.cfg.Now().Sub(p.since)
	}
	return 0
}
