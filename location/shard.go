package location

import (
	"strings"
	"sync"
	"time"
)

// shardCount is a power of two. With it, ten thousand writes a second find a
// lock taken once in a thousand times.
const shardCount = 64

// shard has the bindings of some of the AORs. Its lock comes before those of
// the contactIndex, the flowIndex and the domainCount, which it calls.
type shard struct {
	mu       sync.RWMutex
	aors     map[AOR]*record // first of the AOR's bindings
	count    int             // of records
	expiry   expiryQueue
	contacts *contactIndex
	flows    *flowIndex
	domains  *domainCount
	_        [64]byte // keeps the locks of two shards off one cache line
}

func (s *shard) init(contacts *contactIndex, flows *flowIndex, domains *domainCount) {
	s.aors = map[AOR]*record{}
	s.expiry.init()
	s.contacts, s.flows, s.domains = contacts, flows, domains
}

func (s *shard) lookup(aor AOR, now int64) []Binding {
	s.mu.RLock()
	defer s.mu.RUnlock()
	first := s.aors[aor]
	n := 0
	for r := first; r != nil; r = r.next {
		if r.liveAt(now) {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	bs := make([]Binding, 0, n)
	for r := first; r != nil; r = r.next {
		if r.liveAt(now) {
			bs = append(bs, r.binding())
		}
	}
	return bs
}

// lookupOwn returns the bindings of aor whose Contact has the same user.
func (s *shard) lookupOwn(aor AOR, now int64) []Entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var es []Entry
	for r := s.aors[aor]; r != nil; r = r.next {
		if r.ownUser && r.liveAt(now) {
			es = append(es, r.entry())
		}
	}
	return es
}

func (s *shard) appendAll(rs []*record) []*record {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, first := range s.aors {
		for r := first; r != nil; r = r.next {
			rs = append(rs, r)
		}
	}
	return rs
}

func (s *shard) len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.count
}

// apply does c. The caller holds the lock, as for all methods below.
func (s *shard) apply(aor AOR, c Change, now time.Time) error {
	var (
		recordBuf  [4]*record // enough for most AORs, and on the stack
		bindingBuf [4]Binding
		records    = recordBuf[:0]
		stored     = bindingBuf[:0]
	)
	for r := s.aors[aor]; r != nil; r = r.next {
		records = append(records, r)
		stored = append(stored, r.binding())
	}
	effect, err := c.Resolve(stored, now)
	if err != nil {
		return err
	}
	var user string
	if len(records) > 0 {
		user = records[0].user
	} else {
		user = strings.Clone(aor.user)
	}
	for i := range effect.Put {
		w := &effect.Put[i]
		r := newRecord(user, aor.domain, &w.Binding)
		if w.Replaces >= 0 {
			s.replace(records[w.Replaces], r)
		} else {
			s.add(r)
		}
	}
	for _, i := range effect.Drop {
		s.drop(records[i])
	}
	return nil
}

// merge does what Memory.Merge says.
func (s *shard) merge(aor AOR, b *Binding) bool {
	user := ""
	for r := s.aors[aor]; r != nil; r = r.next {
		user = r.user
		old := r.binding()
		if !sameKey(&old, b) {
			continue
		}
		if !newer(b, &old) {
			return false
		}
		s.replace(r, newRecord(user, aor.domain, b))
		return true
	}
	if user == "" {
		user = strings.Clone(aor.user)
	}
	s.add(newRecord(user, aor.domain, b))
	return true
}

// newer reports whether a is of a later REGISTER than b, as far as the whole
// seconds of their times and their CSeq tell.
func newer(a, b *Binding) bool {
	if at, bt := a.Updated.Unix(), b.Updated.Unix(); at != bt {
		return at > bt
	}
	return a.CallID == b.CallID && a.CSeq > b.CSeq
}

func (s *shard) add(r *record) {
	// The key is made of the record's strings, which live as long as it does,
	// and not of the caller's, which may be parts of a whole SIP message.
	aor := r.aor()
	if r.next = s.aors[aor]; r.next == nil {
		s.domains.add(aor.domain)
	}
	s.aors[aor] = r
	s.count++
	s.expiry.add(r)
	s.contacts.add(r)
	s.flows.add(r)
}

func (s *shard) drop(r *record) {
	s.relink(r, r.next)
	s.count--
	s.expiry.remove(r)
	s.contacts.remove(r)
	s.flows.remove(r)
}

func (s *shard) replace(old, r *record) {
	r.next = old.next
	s.relink(old, r)
	s.expiry.remove(old)
	s.expiry.add(r)
	s.contacts.replace(old, r)
	s.flows.add(r)
	s.flows.remove(old)
}

// relink puts r where old is in the list of their AOR. A nil r shortens it.
func (s *shard) relink(old, r *record) {
	aor := old.aor()
	first := s.aors[aor]
	switch {
	case first != old:
		for first.next != old {
			first = first.next
		}
		first.next = r
	case r != nil:
		s.aors[r.aor()] = r
	default:
		delete(s.aors, aor)
		s.domains.remove(aor.domain)
	}
}

// purge is sweep with the lock taken, and exact.
func (s *shard) purge(now int64, limit int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sweep(now, limit, true)
}

// sweep frees at most limit expired bindings and returns how many. Unless it
// is to be exact, it leaves those that expired within the last slotWidth, so
// that it never looks at a live one.
func (s *shard) sweep(now int64, limit int, exact bool) int {
	n := 0
	for n < limit {
		r := s.expiry.firstBefore(now)
		if r == nil {
			break
		}
		s.drop(r)
		n++
	}
	if !exact {
		return n
	}
	for r := s.expiry.slotAt(now); r != nil && n < limit; {
		next := r.byExpiry.next
		if !r.liveAt(now) {
			s.drop(r)
			n++
		}
		r = next
	}
	return n
}
