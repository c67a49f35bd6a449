package acct

import (
	"sync"
	"time"
)

// shardCount is a power of two. With it, a thousand calls a second hardly ever
// meet at a lock.
const shardCount = 64

// key is what all dialogs that one INVITE can make have in common.
type key struct{ callID, fromTag string }

// shard has the calls with some of the Call-IDs.
type shard struct {
	mu    sync.Mutex
	calls map[key]*Call // first of a list
	due   time.Time     // none of them is due before
	_     [24]byte      // keeps the locks of two shards off one cache line
}

func (c *Call) key() key { return key{c.rec.CallID, c.rec.FromTag} }

// maxAlike bounds the calls with one key, all of which are looked at with each
// request: only forks, and phones that do not make tags as they should, have some.
const maxAlike = 64

// crowded reports whether there are too many calls with a key for another one.
func (s *shard) crowded(k key) bool {
	n := 0
	for c := s.calls[k]; c != nil; c = c.next {
		n++
	}
	return n >= maxAlike
}

// has reports whether another call of the same set is the dialog with this tag.
func (s *shard) has(c *Call, tag string) bool {
	for other := s.calls[c.key()]; other != nil; other = other.next {
		if other != c && other.rec.SetID == c.rec.SetID && other.answered() && other.rec.ToTag == tag {
			return true
		}
	}
	return false
}

// add puts c into the list of its key. The caller has made [Recorder.room].
func (s *shard) add(c *Call) {
	k := c.key()
	c.followed = true
	c.next = s.calls[k]
	s.calls[k] = c
	c.expect()
}

func (s *shard) remove(c *Call) {
	k := c.key()
	first := s.calls[k]
	if first == c {
		if c.next == nil {
			delete(s.calls, k)
		} else {
			// The key's texts are those of c: the map must not keep them.
			delete(s.calls, k)
			s.calls[c.next.key()] = c.next
		}
		c.next = nil
		return
	}
	for first.next != c {
		first = first.next
	}
	first.next, c.next = c.next, nil
}

// each calls f, with the lock taken, for each call. F may end the call.
func (s *shard) each(f func(*Call)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		for c != nil {
			next := c.next
			f(c)
			c = next
		}
	}
}

// sweep closes the calls that are due. With each sign of life a call is due
// later, so that most sweeps find nothing to look at.
func (s *shard) sweep(now time.Time, timeout time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.due) {
		return
	}
	s.due = now.Add(timeout)
	for _, c := range s.calls {
		for c != nil {
			next := c.next
			if at, end := c.due(); now.Before(at) {
				c.expect()
			} else {
				c.close(end)
			}
			c = next
		}
	}
}

// find returns the first call that a request in a dialog belongs to and who sent
// it; nil if there is none.
func (s *shard) find(d Dialog) (c *Call, by End) {
	if c := s.calls[key{d.CallID, d.FromTag}].match(d.ToTag); c != nil {
		return c, ByCaller
	}
	return s.calls[key{d.CallID, d.ToTag}].match(d.FromTag), ByCallee
}

// match returns the first call from c on with the callee's tag, else one that has
// none yet.
func (c *Call) match(tag string) (early *Call) {
	if up := c.withTag(tag); up != nil {
		return up
	}
	for ; c != nil; c = c.next {
		if !c.answered() && !c.held {
			early = c
		}
	}
	return early
}

// withTag returns the first call from c on that is a dialog with the callee's tag.
func (c *Call) withTag(tag string) *Call {
	for c != nil && (!c.answered() || c.rec.ToTag != tag) {
		c = c.next
	}
	return c
}

// records returns what the calls have for records so far.
func (s *shard) records() (all []Record) {
	s.each(func(c *Call) {
		if !c.held {
			rec := c.rec
			rec.NoACK = c.answered() && !c.acked
			all = append(all, rec)
		}
	})
	return all
}
