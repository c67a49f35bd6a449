package cache

import (
	"errors"
	"time"

	"github.com/sipward/sipward/location"
)

// write is one or several changes of an AOR that are being made.
type write struct {
	pending int
	overlap bool // there were several at a time
}

func (sh *shard) beginWrite(aor location.AOR) *write {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.dropLoad(aor)
	w := sh.writes[aor]
	if w == nil {
		w = &write{}
		sh.writes[aor] = w
	}
	w.pending++
	w.overlap = w.overlap || w.pending > 1
	return w
}

// endWrite makes the cache agree with the backend, which has returned err.
func (sh *shard) endWrite(aor location.AOR, w *write, c location.Change, err error) {
	now := sh.cfg.Now()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.dropLoad(aor)
	if w.pending--; w.pending == 0 {
		delete(sh.writes, aor)
	}
	e, ok := sh.entries.Peek(aor)
	if !ok {
		return
	}
	if err != nil && !errors.Is(err, location.ErrStale) {
		// Nobody knows whether the change was made.
		if e.doubted.IsZero() {
			e.doubted = now
		}
		sh.entries.Add(aor, e)
		return
	}
	// Of changes at the same time the backend alone knows the order, and with
	// ErrStale it says that another program was there before.
	if err == nil && !w.overlap && e.doubted.IsZero() {
		if bs, ok := changed(e.bindings, c, now); ok {
			sh.add(aor, entry{bindings: bs, read: e.read})
			return
		}
	}
	sh.entries.Remove(aor)
}

// margin is how far the clocks and the roundings of backends may be apart.
const margin = time.Second

// changed returns bs after c. It is not ok if a backend might see it otherwise:
// if it depends on whether a binding has expired just before or just after.
func changed(bs []location.Binding, c location.Change, now time.Time) (after []location.Binding, ok bool) {
	soon := now.Add(margin)
	if countLive(bs, soon) < len(bs) || countLive(c.Put, soon) < len(c.Put) {
		return nil, false
	}
	keep := c.Keep
	c.Keep = 0
	effect, err := c.Resolve(bs, now)
	if err != nil {
		return nil, false // the backend has taken it, and so has others
	}
	for i := range effect.Put {
		effect.Put[i].Binding = compact(effect.Put[i].Binding)
	}
	after = effect.Apply(bs)
	if keep > 0 && len(after) > keep {
		return nil, false
	}
	return sorted(after), true
}
