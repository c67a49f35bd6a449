package location

import (
	"context"
	"errors"
	"hash/maphash"
	"iter"
	"slices"
	"time"
)

// Memory is a [Store] in memory. It is meant for production: a binding of a
// usual phone takes some 520 bytes with everything around it, a lookup
// makes one allocation, and no call but All scans the table.
//
// Memory starts no goroutine. Expired bindings are never returned. Each Apply
// frees a few of them, and Purge frees all. The tables keep the size of their
// fullest time, some 60 bytes for each AOR that there was then. Times are kept
// to the microsecond and come back in UTC.
//
// All methods may be called concurrently. Memory is a [ContactFinder], a
// [FlowFinder], a [Lister] and a [Purger].
type Memory struct {
	now      func() time.Time
	seed     maphash.Seed
	shards   [shardCount]shard
	contacts contactIndex
	flows    flowIndex
	domains  domainCount
}

var _ interface {
	Store
	ContactFinder
	FlowFinder
	Lister
	Purger
} = (*Memory)(nil)

// MemoryConfig configures a [Memory]. The zero value is ready to use.
type MemoryConfig struct {
	Now func() time.Time // time.Now if nil; called by many goroutines at once
}

// NewMemory returns an empty Memory.
func NewMemory(cfg MemoryConfig) *Memory {
	m := &Memory{now: cfg.Now, seed: maphash.MakeSeed()}
	if m.now == nil {
		m.now = time.Now
	}
	m.contacts.init()
	m.flows.init()
	m.domains.init()
	for i := range m.shards {
		m.shards[i].init(&m.contacts, &m.flows, &m.domains)
	}
	return m
}

// shard returns the part of m that has aor's bindings.
func (m *Memory) shard(aor AOR) *shard {
	return &m.shards[maphash.Comparable(m.seed, aor)%shardCount]
}

// Lookup implements [Store]. The strings of a binding are parts of one that has
// all of its texts, so that keeping one of them keeps them all in memory.
func (m *Memory) Lookup(ctx context.Context, aor AOR) ([]Binding, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	bs := m.shard(aor).lookup(aor, micros(m.now()))
	if len(bs) > 1 {
		slices.SortStableFunc(bs, Binding.Compare)
	}
	return bs, nil
}

// freedByApply is how many expired bindings each Apply frees: more than it
// usually adds, so that their number cannot grow.
const freedByApply = 4

// Apply implements [Store].
func (m *Memory) Apply(ctx context.Context, aor AOR, c Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !aor.IsValid() {
		return errors.New("location: change of the zero AOR")
	}
	now := m.now()
	s := m.shard(aor)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(micros(now), freedByApply, false)
	return s.apply(aor, c, now)
}

// Merge adds a binding that another store has, for filling m from there. What m
// has of the same phone, by instance or Contact, gives way to it if it is older
// by the second, as stores may cut times to that, or by the CSeq of the same
// Call-ID; else it stays, and b is not taken. Merge reports whether b was. It
// looks at nothing else of the AOR, and does not take a binding that has
// expired.
func (m *Memory) Merge(aor AOR, b Binding) bool {
	now := m.now()
	if !aor.IsValid() || !b.liveAt(now) {
		return false
	}
	s := m.shard(aor)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.merge(aor, &b)
}

// LookupContact implements [ContactFinder].
func (m *Memory) LookupContact(ctx context.Context, contact AOR) ([]Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := micros(m.now())
	// Most phones have their AOR's user in their Contact, so that the index is
	// kept for the others only.
	es := m.shard(contact).lookupOwn(contact, now)
	es = m.contacts.lookup(es, contact, now)
	slices.SortStableFunc(es, func(a, b Entry) int {
		if c := compare(&a.Binding, &b.Binding); c != 0 {
			return c
		}
		return a.AOR.Compare(b.AOR)
	})
	return es, nil
}

// HasFlow implements [FlowFinder]. It calls accept with a part of m locked.
func (m *Memory) HasFlow(ctx context.Context, f Flow, accept func(AOR) bool) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	return m.flows.has(f, accept, micros(m.now())), nil
}

// All implements [Lister]. No lock is held while the loop's body runs. Beside
// it, All needs memory for the addresses of a 64th of the bindings.
func (m *Memory) All(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		var records []*record
		for i := range m.shards {
			records = m.shards[i].appendAll(records[:0])
			for _, r := range records {
				if err := ctx.Err(); err != nil {
					yield(Entry{}, err)
					return
				}
				if r.liveAt(micros(m.now())) && !yield(r.entry(), nil) {
					return
				}
			}
			clear(records)
		}
		if err := ctx.Err(); err != nil {
			yield(Entry{}, err)
		}
	}
}

// purgeStep is how many bindings Purge frees before it lets others have the
// lock.
const purgeStep = 256

// Purge implements [Purger]. It looks at no bindings but those that have
// expired or will within seconds.
func (m *Memory) Purge(ctx context.Context, limit int) (int, error) {
	now := micros(m.now())
	n := 0
	for i := range m.shards {
		for n < limit {
			if err := ctx.Err(); err != nil {
				return n, err
			}
			step := min(limit-n, purgeStep)
			freed := m.shards[i].purge(now, step)
			n += freed
			if freed < step {
				break
			}
		}
	}
	return n, ctx.Err()
}

// Len returns how many bindings m holds, among them those that have expired
// and are not freed yet.
func (m *Memory) Len() int {
	n := 0
	for i := range m.shards {
		n += m.shards[i].len()
	}
	return n
}

// AORs returns how many AORs of a canonical domain have bindings, among them
// those whose bindings have expired and are not freed yet.
func (m *Memory) AORs(domain string) int { return m.domains.get(domain) }
