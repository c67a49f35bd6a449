package guard

import (
	"sync"
	"sync/atomic"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// known remembers the addresses that phones have registered from. Only an
// accepted REGISTER adds one, so strangers cannot push any out.
type known struct {
	mu  sync.RWMutex
	lru *simplelru.LRU[network, *acquaintance]
}

// acquaintance is a known address.
type acquaintance struct {
	bucket      bucket       // its limit, which it shares with nobody
	connections bucket       // likewise
	until       atomic.Int64 // the end of its last binding
}

const maxKnown = 65_536

func newKnown() *known {
	k := &known{}
	k.lru, _ = simplelru.NewLRU[network, *acquaintance](maxKnown, nil) // it fails for 0 only
	return k
}

// get returns what is known of n; nil if nothing is, or nothing recent.
func (k *known) get(n network, now int64) *acquaintance {
	k.mu.RLock()
	a, _ := k.lru.Peek(n)
	k.mu.RUnlock()
	if a == nil || now-memory > a.until.Load() {
		return nil
	}
	return a
}

// bound reports whether a phone is registered from n now.
func (k *known) bound(n network, now int64) bool {
	a := k.get(n, now)
	return a != nil && a.until.Load() > now
}

// add notes that n has a binding until then.
func (k *known) add(n network, until int64) *acquaintance {
	k.mu.Lock()
	defer k.mu.Unlock()
	a, ok := k.lru.Get(n)
	if !ok {
		a = &acquaintance{}
		k.lru.Add(n, a)
	}
	a.until.Store(max(a.until.Load(), until))
	return a
}
