package dispatcher

import "time"

// start is the slow start of a destination that came back.
type start struct {
	at    address
	hash  uint64
	began time.Time
	takes time.Duration
}

// share returns what part of its requests the destination is to get.
func (s *start) share(now time.Time) float64 { return float64(now.Sub(s.began)) / float64(s.takes) }

// findStarts notes which of the usable destinations are in their slow start.
func (s *Set) findStarts(takes time.Duration, now time.Time) {
	for i := range s.members {
		m, h := &s.members[i], s.health[i]
		if m.State == Active && now.Sub(h.back) < takes {
			s.starts = append(s.starts, start{m.address(), identityHash(*m), h.back, takes})
		}
	}
	s.starting.Store(s.starts != nil)
}

// slowStart lets the destination that comes first in order do so with the share
// of the requests that it is to get by now. Otherwise the next one takes its
// place that has a weight, if it has, and is not in its own slow start.
//
// A key comes back once, and stays. Requests without one are drawn.
func (s *Set) slowStart(order []Destination, key string) {
	now := time.Now()
	if s.allStarted(now) {
		s.starting.Store(false)
		return
	}
	if len(order) == 0 {
		return
	}
	st := s.startOf(&order[0], now)
	if st == nil || s.draw(st, key) < st.share(now) {
		return
	}
	for i := 1; i < len(order); i++ {
		next := order[i]
		if (next.Weight > 0) == (order[0].Weight > 0) && s.startOf(&next, now) == nil {
			copy(order[1:i+1], order[:i])
			order[0] = next
			return
		}
	}
}

// startOf returns the slow start that d is in, or nil.
func (s *Set) startOf(d *Destination, now time.Time) *start {
	for i := range s.starts {
		if st := &s.starts[i]; st.at == d.address() && st.share(now) < 1 {
			return st
		}
	}
	return nil
}

func (s *Set) allStarted(now time.Time) bool {
	for i := range s.starts {
		if s.starts[i].share(now) < 1 {
			return false
		}
	}
	return true
}

// draw returns a number from 0 to 1: always the same for a key, so that it moves
// once, and otherwise another one each time, evenly spread.
func (s *Set) draw(st *start, key string) float64 {
	if key == "" {
		const golden = 0x9e3779b97f4a7c15 // 2^64 over the golden ratio
		return unit(s.startsTurn.Add(1) * golden)
	}
	// Not the hash by which it came first, which would be above average.
	return unit(mix(keyHash(key) + st.hash))
}
