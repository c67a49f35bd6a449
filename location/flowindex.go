package location

import (
	"hash/maphash"
	"sync"
)

// flowIndex finds records by the transport and remote address of their flow.
// Its keys are hashes, so that an entry is small; a record found by one must be
// compared. Locks are as in contactIndex.
type flowIndex struct {
	seed   maphash.Seed
	shards [shardCount]flowShard
}

type flowShard struct {
	mu    sync.RWMutex
	first map[uint64]*record // of a list by byFlow
	_     [64]byte           // see shard
}

func (x *flowIndex) init() {
	x.seed = maphash.MakeSeed()
	for i := range x.shards {
		x.shards[i].first = map[uint64]*record{}
	}
}

// shard returns where the records of f are, and their key there.
func (x *flowIndex) shard(f Flow) (*flowShard, uint64) {
	f.Local = Flow{}.Local
	key := maphash.Comparable(x.seed, f)
	return &x.shards[key%shardCount], key
}

func (x *flowIndex) add(r *record) {
	if !r.remote.IsValid() {
		return
	}
	s, key := x.shard(r.flow())
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.first[key]
	r.byFlow = links{next: next}
	if next != nil {
		next.byFlow.prev = r
	}
	s.first[key] = r
}

func (x *flowIndex) remove(r *record) {
	if !r.remote.IsValid() {
		return
	}
	s, key := x.shard(r.flow())
	s.mu.Lock()
	defer s.mu.Unlock()
	prev, next := r.byFlow.prev, r.byFlow.next
	if next != nil {
		next.byFlow.prev = prev
	}
	switch {
	case prev != nil:
		prev.byFlow.next = next
	case next != nil:
		s.first[key] = next
	default:
		delete(s.first, key)
	}
	r.byFlow = links{}
}

// has does what Memory.HasFlow says.
func (x *flowIndex) has(f Flow, accept func(AOR) bool, now int64) bool {
	s, key := x.shard(f)
	s.mu.RLock()
	defer s.mu.RUnlock()
	for r := s.first[key]; r != nil; r = r.byFlow.next {
		if r.liveAt(now) && r.remote == f.Remote && r.common.Value().transport == f.Transport && (accept == nil || accept(r.aor())) {
			return true
		}
	}
	return false
}
