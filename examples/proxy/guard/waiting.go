package guard

import "sync/atomic"

// waiting remembers who was refused and is expected to ask again, as phones do
// (RFC 3261 section 17.1.2.2) and forged addresses seldom: each request of a flood
// is the first one of somebody, so that it never comes before a phone that has
// waited. A newer one may take an older one's place, who then begins anew.
type waiting struct {
	hasher hasher
	slots  [1 << 16]atomic.Uint64 // hashes
}

func (w *waiting) add(n network, callID string) {
	sum := w.hasher.text(n, callID)
	w.slot(sum).Store(sum)
}

func (w *waiting) has(n network, callID string) bool {
	sum := w.hasher.text(n, callID)
	return w.slot(sum).Load() == sum
}

func (w *waiting) slot(sum uint64) *atomic.Uint64 { return &w.slots[sum>>48] }
