package mirror

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/sipward/sipward/location"
)

// key names a binding of an AOR, and says since when it differs from what the
// backend has.
type key struct {
	contact, instance string
	regID             int
	at                int64 // Unix time since when that is so
	// gone says that the binding was removed, if only to be put anew: what the
	// backend has is not to be compared with what comes then.
	gone bool
}

func putKey(b *location.Binding, at time.Time) key {
	return key{b.Contact, b.Instance, b.RegID, at.Unix(), false}
}

func removeKey(b *location.Binding, at time.Time) key {
	return key{b.Contact, b.Instance, b.RegID, at.Unix(), true}
}

// binding returns what [location.Binding.Same] needs to know k by.
func (k key) binding() location.Binding {
	return location.Binding{Contact: k.contact, Instance: k.instance, RegID: k.regID}
}

// equal reports whether k and o have the same texts.
func (k *key) equal(o *key) bool {
	return k.contact == o.contact && k.instance == o.instance && k.regID == o.regID
}

// names reports whether b has the texts of k.
func (k *key) names(b *location.Binding) bool {
	return k.contact == b.Contact && k.instance == b.Instance && k.regID == b.RegID
}

// same reports whether b is the [location.Binding.Same] as what k names.
func (k key) same(b *location.Binding) bool { return k.binding().Same(*b) }

// pending says what of an AOR the backend does not have yet. What it is to have
// is what memory has of these bindings when they are written.
type pending struct {
	reset    bool      // the backend is to have nothing but what memory has
	resetAt  time.Time // of what came later, that is not said
	keys     []key
	segment  int    // of the journal: the oldest one that has a part of this
	seq      uint64 // of the last entry of this
	replayed bool   // by another process: the backend may have what is newer
	failures int    // of the backend to take it, when it took others
	since    time.Time
}

// maxKeys bounds the bindings that are told one by one. A phone that changes its
// Contact with each REGISTER would make a list without end of them.
const maxKeys = 64

// add notes a binding. Keys that are the Same but differ are kept both, since
// there may be others that are the Same as only one of them.
func (p *pending) add(k key) {
	for i := range p.keys {
		if old := &p.keys[i]; old.equal(&k) {
			old.at, old.gone = k.at, k.gone || old.gone
			return
		}
	}
	k.contact, k.instance = strings.Clone(k.contact), strings.Clone(k.instance) // they are of a message
	if p.keys = append(p.keys, k); len(p.keys) > maxKeys {
		if !p.reset {
			p.resetAt = p.since // nobody has asked for it
		}
		p.reset, p.keys = true, nil
	}
}

// addBefore adds keys from before those of p.
func (p *pending) addBefore(keys []key) {
	later := p.keys
	p.keys = keys
	for _, k := range later {
		p.add(k)
	}
}

// merge adds what was pending before p.
func (p *pending) merge(before *pending) {
	p.failures, p.since = before.failures, before.since
	p.addBefore(before.keys)
	if !p.reset {
		p.reset, p.resetAt = before.reset, before.resetAt
	}
	p.segment = min(p.segment, before.segment)
	p.replayed = p.replayed || before.replayed
}

// covers reports whether p says something of b.
func (p *pending) covers(b *location.Binding) bool {
	if p == nil {
		return false
	}
	if p.reset {
		return true
	}
	return slices.ContainsFunc(p.keys, func(k key) bool { return k.same(b) })
}

// before reports whether p says something of before t.
func (p *pending) before(t time.Time) bool {
	return p.reset && p.resetAt.Before(t) || slices.ContainsFunc(p.keys, func(k key) bool { return k.at < t.Unix() })
}

// change returns the change that makes the backend agree with what memory has.
func (p *pending) change(have []location.Binding) location.Change {
	c := location.Change{Reset: p.reset}
	if p.reset {
		c.Put = have
		return c
	}
	for i := range p.keys {
		k := &p.keys[i]
		at := slices.IndexFunc(have, func(b location.Binding) bool { return k.names(&b) })
		if at >= 0 {
			c.Put = append(c.Put, have[at])
		}
		if at < 0 || k.gone {
			c.Remove = append(c.Remove, k.binding())
		}
	}
	return c
}

// entries returns what the journal is to have of p: that all was dropped, if it was,
// and one entry for all that was changed in the same second, so that nothing becomes
// older or younger by it.
func (p *pending) entries(aor location.AOR, have []location.Binding) (list []*entry) {
	if p.reset {
		others := slices.DeleteFunc(slices.Clone(have), func(b location.Binding) bool {
			return slices.ContainsFunc(p.keys, func(k key) bool { return k.names(&b) })
		})
		list = append(list, &entry{aor: aor, at: p.resetAt, kind: reset, put: others})
	}
	keys := slices.SortedStableFunc(slices.Values(p.keys), func(a, b key) int { return cmp.Compare(a.at, b.at) })
	for i, k := range keys {
		if i == 0 || k.at != keys[i-1].at {
			list = append(list, &entry{aor: aor, at: time.Unix(k.at, 0)})
		}
		e := list[len(list)-1]
		c := (&pending{keys: keys[i : i+1]}).change(have)
		e.put = append(e.put, c.Put...)
		for i := range c.Remove {
			e.remove = append(e.remove, removeKey(&c.Remove[i], e.at))
		}
	}
	return list
}

const (
	stripeCount = 64
	// maxVisits is how many AORs, of a stripe, it is known of when the backend
	// was asked for them.
	maxVisits = 4096
	// maxRefused is of how many AORs, of a stripe, it is known what the backend
	// refuses.
	maxRefused = 1024
)

// stripe has what is known of some of the AORs. An AOR's changes are made under
// its stripe's lock, so that memory and journal have them in the same order.
type stripe struct {
	mu      sync.Mutex
	dirty   map[location.AOR]*pending
	writing map[location.AOR]*pending              // on its way to the backend
	refused *simplelru.LRU[location.AOR, *pending] // what it will never take
	reads   map[location.AOR]*read
	visits  *simplelru.LRU[location.AOR, visit]
	changed map[location.AOR]struct{} // since the Store was opened; nil when all has been read
	_       [64]byte                  // keeps the locks of two stripes off one cache line
}

// visit is the last time that the backend was asked for an AOR.
type visit struct {
	at    time.Time
	err   error
	known bool // it has answered some time
}

func (st *stripe) init() (err error) {
	st.dirty, st.writing = map[location.AOR]*pending{}, map[location.AOR]*pending{}
	st.reads, st.changed = map[location.AOR]*read{}, map[location.AOR]struct{}{}
	if st.refused, err = simplelru.NewLRU[location.AOR, *pending](maxRefused, nil); err != nil {
		return err
	}
	st.visits, err = simplelru.NewLRU[location.AOR, visit](maxVisits, nil)
	return err
}

// refuse notes that the backend will never take p, unless the AOR has changed
// since: then it is tried with that once more.
func (st *stripe) refuse(aor location.AOR, p *pending) {
	if later := st.dirty[aor]; later != nil {
		later.addBefore(p.keys)
		return
	}
	st.refused.Add(aor, p)
}

// takeRefused returns what the backend has refused of an AOR, and forgets it.
func (st *stripe) takeRefused(aor location.AOR) []key {
	p, _ := st.refused.Peek(aor)
	if p == nil {
		return nil
	}
	st.refused.Remove(aor)
	return p.keys
}

// covered reports whether the backend does not have, or not yet, what memory has
// of b.
func (st *stripe) covered(aor location.AOR, b *location.Binding) bool {
	refused, _ := st.refused.Peek(aor)
	return st.dirty[aor].covers(b) || st.writing[aor].covers(b) || refused.covers(b)
}

// queue has the AORs that are to be written, each once.
type queue struct {
	mu    sync.Mutex
	front []location.AOR // put back, before all others
	aors  []location.AOR
	wake  chan struct{} // has room for one
}

func (q *queue) push(aors ...location.AOR) {
	q.mu.Lock()
	q.aors = append(q.aors, aors...)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// putBack puts what was taken before all others. Only who takes may do it.
func (q *queue) putBack(aors []location.AOR) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.front = append(aors, q.front...)
}

// take takes at most n AORs out. The caller may change the list.
func (q *queue) take(n int) []location.AOR {
	q.mu.Lock()
	defer q.mu.Unlock()
	from := &q.front
	if len(q.front) == 0 {
		from = &q.aors
	}
	n = min(n, len(*from))
	taken := slices.Clone((*from)[:n])
	clear((*from)[:n])
	if *from = (*from)[n:]; len(*from) == 0 {
		*from = nil
	}
	return taken
}

// first returns the AOR that has waited longest; the zero one if there is none.
func (q *queue) first() location.AOR {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, list := range [...][]location.AOR{q.front, q.aors} {
		if len(list) > 0 {
			return list[0]
		}
	}
	return location.AOR{}
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.front) + len(q.aors)
}
