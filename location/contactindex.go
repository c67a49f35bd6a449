package location

import (
	"hash/maphash"
	"strings"
	"sync"
)

// contactIndex finds records by the user of their Contact and the domain of
// their AOR. It has only those whose Contact has another user than their AOR,
// since the others are found by their AOR.
//
// It is sharded by its own key, so that the records of one shard of Memory are
// in all shards of the index. Whoever holds both locks took Memory's first.
type contactIndex struct {
	seed   maphash.Seed
	shards [shardCount]contactShard
}

type contactShard struct {
	mu      sync.RWMutex
	records map[AOR]*chain // never empty chains
	_       [64]byte       // see shard
}

func (x *contactIndex) init() {
	x.seed = maphash.MakeSeed()
	for i := range x.shards {
		x.shards[i].records = map[AOR]*chain{}
	}
}

func (x *contactIndex) shard(key AOR) *contactShard {
	return &x.shards[maphash.Comparable(x.seed, key)%shardCount]
}

func (x *contactIndex) add(r *record) {
	key := r.contact()
	if !key.IsValid() {
		return
	}
	s := x.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(key, r)
}

func (x *contactIndex) remove(r *record) {
	key := r.contact()
	if !key.IsValid() {
		return
	}
	s := x.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(key, r)
}

// replace is remove and add in one step if both have the same key, so that a
// phone can be found all through its refresh.
func (x *contactIndex) replace(old, r *record) {
	key := old.contact()
	if key != r.contact() {
		x.add(r)
		x.remove(old)
		return
	}
	if !key.IsValid() {
		return
	}
	s := x.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(key, r)
	s.remove(key, old)
}

// lookup appends the live entries with that key to es.
func (x *contactIndex) lookup(es []Entry, key AOR, now int64) []Entry {
	s := x.shard(key)
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := s.records[key]
	if c == nil {
		return es
	}
	for r := c.head; r != nil; r = r.byContact.next {
		if r.liveAt(now) {
			es = append(es, r.entry())
		}
	}
	return es
}

func (s *contactShard) add(key AOR, r *record) {
	c := s.records[key]
	if c == nil {
		c = &chain{}
		key.user = strings.Clone(key.user) // not part of the record's text, which a refresh replaces
		s.records[key] = c
	}
	c.add(r, contactLinks)
}

func (s *contactShard) remove(key AOR, r *record) {
	c := s.records[key]
	c.remove(r, contactLinks)
	if c.head == nil {
		delete(s.records, key)
	}
}
