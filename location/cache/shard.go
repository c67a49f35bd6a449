package cache

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/sipward/sipward/location"
)

// entry is what is known of an AOR. Its bindings do not change, so that they
// can be read without the lock.
type entry struct {
	bindings []location.Binding // in the order of Lookup; none is knowledge too
	read     time.Time          // when the backend was asked
	doubted  time.Time          // since when the backend may have others; zero if it does not
}

// trustedUntil returns when the backend must be asked again; never if forever.
func (e *entry) trustedUntil(cfg *Config) (t time.Time, forever bool) {
	switch {
	case len(e.bindings) == 0:
		t = e.read.Add(cfg.NegativeAge)
	case cfg.MaxAge == 0:
		return e.doubted, e.doubted.IsZero()
	default:
		t = e.read.Add(cfg.MaxAge)
	}
	if !e.doubted.IsZero() && e.doubted.Before(t) {
		t = e.doubted
	}
	return t, false
}

func (e *entry) trusted(cfg *Config, now time.Time) bool {
	t, forever := e.trustedUntil(cfg)
	return forever || now.Before(t)
}

// load is a read of the backend that several callers may wait for.
type load struct {
	done     chan struct{} // closed at the end; what follows does not change then
	bindings []location.Binding
	err      error
	gaveUp   bool // since the context of the caller that did it was done

	stale bool // guarded by the shard: a change has begun or ended meanwhile
}

// shard is a part of the cache. All of it is guarded by mu, which is never
// held over a call of the backend.
type shard struct {
	mu      sync.Mutex
	entries *simplelru.LRU[location.AOR, entry]
	loads   map[location.AOR]*load
	writes  map[location.AOR]*write
	cfg     *Config // does not change
	stats   Stats
	_       [64]byte // keeps the locks of two shards off one cache line
}

func (sh *shard) init(size int, cfg *Config) (err error) {
	sh.cfg = cfg
	sh.loads, sh.writes = map[location.AOR]*load{}, map[location.AOR]*write{}
	sh.entries, err = simplelru.NewLRU[location.AOR, entry](size, nil)
	return err
}

// lookup returns the live bindings of aor, or if these are not known the load
// that will tell. Whose load it is must do it.
func (sh *shard) lookup(aor location.AOR, now time.Time) (bs []location.Binding, l *load, mine bool) {
	sh.mu.Lock()
	e, ok := sh.entries.Get(aor)
	if ok && e.trusted(sh.cfg, now) {
		if len(e.bindings) == 0 {
			sh.stats.NegativeHits++
			sh.mu.Unlock()
			return nil, nil, false
		}
		// A phone whose bindings have all expired may have others by now.
		if n := countLive(e.bindings, now); n > 0 {
			sh.stats.Hits++
			sh.mu.Unlock()
			return copyLive(e.bindings, n, now), nil, false
		}
	}
	defer sh.mu.Unlock()
	if l := sh.loads[aor]; l != nil {
		sh.stats.SharedMisses++
		return nil, l, false
	}
	sh.stats.Misses++
	l = &load{done: make(chan struct{})}
	sh.loads[aor] = l
	return nil, l, true
}

// endLoad ends l, which began at the time now, and keeps what it found unless
// that may be older than a change.
func (sh *shard) endLoad(aor location.AOR, l *load, now time.Time) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	defer close(l.done)
	if l.err != nil && !l.gaveUp {
		sh.stats.BackendErrors++
	}
	if l.stale {
		return // it is not in loads any more
	}
	delete(sh.loads, aor)
	if l.err == nil && !l.gaveUp && sh.writes[aor] == nil {
		sh.add(aor, entry{bindings: l.bindings, read: now})
	}
}

// dropLoad makes sure that a load of aor in progress is neither kept nor joined
// any more.
func (sh *shard) dropLoad(aor location.AOR) {
	if l := sh.loads[aor]; l != nil {
		l.stale = true
		delete(sh.loads, aor)
	}
}

// lookupStale returns bindings that are not trusted, but not for too long.
func (sh *shard) lookupStale(aor location.AOR, now time.Time) []location.Binding {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e, ok := sh.entries.Peek(aor)
	if !ok {
		return nil
	}
	if t, forever := e.trustedUntil(sh.cfg); !forever && !now.Before(t.Add(sh.cfg.StaleFor)) {
		return nil
	}
	bs := live(e.bindings, now)
	if bs != nil {
		sh.stats.StaleHits++
	}
	return bs
}

// add is called with the lock held.
func (sh *shard) add(aor location.AOR, e entry) {
	if len(e.bindings) == 0 && sh.cfg.NegativeAge < 0 {
		sh.entries.Remove(aor)
		return
	}
	if !sh.entries.Contains(aor) {
		aor = aor.Clone()
	}
	if sh.entries.Add(aor, e) {
		sh.stats.Evictions++
	}
}
