package natfix

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/sipward/sipward/location"
)

// KeepaliveConfig configures a [Keepalive]. Its funcs are called without a lock
// held, and all but Entries must not block.
type KeepaliveConfig struct {
	// Entries enumerates the live bindings, as [location.Lister] does, of phones
	// that can be pinged from here: if several proxies share a store, of those that
	// have registered with this one. It is called every two seconds, so it should
	// enumerate memory. Required.
	Entries func(ctx context.Context) iter.Seq2[location.Entry, error]

	// Interval returns how often the phone of a binding is pinged: never if it
	// is 0 or less, once a second at most. It is called for every binding each
	// time that Entries is. Required.
	Interval func(e location.Entry) time.Duration

	// Ping sends something on the flow of e. An OPTIONS, which the phone
	// answers, keeps every NAT open; CR LF CR LF over UDP only those that count
	// what comes from outside, too (RFC 4787 section 4.3). Where there is an
	// answer to wait for, result is to be called once, by any goroutine: with
	// true if it came, with false if not or if nothing could be sent. A phone
	// without results, as with CR LF CR LF over UDP, is never lost. Required.
	Ping func(e location.Entry, result func(alive bool))

	// Streams includes phones on connections. By default there are only those
	// on UDP.
	Streams bool

	// Public includes phones without a sign of NAT. By default there are only
	// those whose Contact is not where they were heard ([NeedsAlias]). That a
	// phone behind NAT has learned its public address, by STUN or from a router
	// that rewrites SIP, cannot be seen.
	Public bool

	// MaxLost is how many pings in a row a phone leaves unanswered before it
	// is lost. All after the first count only if another phone has answered since
	// the one before: else it may be our own network that is down. So the only
	// phone that is pinged is not lost unless this is 1, and an outage of ours
	// counts as two, for its beginning and its end. 3 if 0.
	MaxLost int

	// Lost is called with a binding whose phone is lost, by the goroutine that
	// brings the result. The store may have another one by now; if it has this
	// one still, counting begins anew. Nil is fine.
	Lost func(e location.Entry)

	// Logger gets a warning when Entries begins to fail. Nil discards.
	Logger *slog.Logger
}

// Keepalive keeps the NAT bindings of registered phones open. The moment of
// each phone within its interval depends on its AOR and address only, so that
// pings spread evenly and stay where they are after a restart. A binding with a
// Path is left to the proxy that its phone is behind.
//
// A Keepalive has no table of all bindings: it copies those of the next two
// seconds, and counts for those that do not answer.
type Keepalive struct {
	cfg  KeepaliveConfig
	seed maphash.Seed

	mu      sync.Mutex
	losses  map[uint64]loss // by the hash of a lossKey
	answers uint64          // of all phones
}

// loss is what is known of a phone that does not answer.
type loss struct {
	pings   int       // in a row
	answers uint64    // of all phones before the last of them
	until   time.Time // the binding expires
}

// lossKey tells bindings apart. One that was refreshed is another one: its phone
// is there.
type lossKey struct {
	aor     location.AOR
	contact string
	flow    location.Flow
	updated int64
}

// NewKeepalive returns a Keepalive, which does nothing until its Run. All
// faults of cfg are reported, joined.
func NewKeepalive(cfg KeepaliveConfig) (*Keepalive, error) {
	var faults []error
	if cfg.Entries == nil {
		faults = append(faults, errors.New("natfix: keepalive without Entries"))
	}
	if cfg.Interval == nil {
		faults = append(faults, errors.New("natfix: keepalive without Interval"))
	}
	if cfg.Ping == nil {
		faults = append(faults, errors.New("natfix: keepalive without Ping"))
	}
	if cfg.MaxLost < 0 {
		faults = append(faults, errors.New("natfix: negative MaxLost"))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	cfg.MaxLost = cmp.Or(cfg.MaxLost, 3)
	if cfg.Lost == nil {
		cfg.Lost = func(location.Entry) {}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Keepalive{cfg: cfg, seed: maphash.MakeSeed(), losses: map[uint64]loss{}}, nil
}

// Run pings until ctx ends, and returns nil. It starts no goroutine and is to be
// called once. When it cannot keep up, or the machine was asleep, all pings are
// late from then on rather than many sent at once. When Entries fails, the
// bindings that it did not yield are left out for two seconds.
func (k *Keepalive) Run(ctx context.Context) error {
	var r round
	begin, failed := time.Now(), false
	for from := time.Duration(begin.UnixNano()); ctx.Err() == nil; from += roundTime {
		err := r.fill(ctx, &k.cfg, from)
		if err != nil && !failed && ctx.Err() == nil {
			k.cfg.Logger.Warn("not all phones are kept alive: bindings cannot be enumerated", "err", err)
		}
		failed = err != nil
		k.forget()

		end := begin.Add(roundTime)
		r.play(ctx, end, k.ping)
		sleep(ctx, time.Until(end))
		begin = end
		if late := time.Since(end); late > maxLate {
			begin = end.Add(late)
		}
	}
	return nil
}

func (k *Keepalive) ping(e location.Entry) {
	k.cfg.Ping(e, func(alive bool) {
		if k.count(e, alive) {
			k.cfg.Lost(e)
		}
	})
}

// count notes the result of a ping and reports whether the phone is lost by it.
func (k *Keepalive) count(e location.Entry, alive bool) (lost bool) {
	b := &e.Binding
	key := maphash.Comparable(k.seed, lossKey{e.AOR, b.Contact, b.Flow, b.Updated.UnixNano()})
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.losses[key]
	switch {
	case alive:
		k.answers++
		delete(k.losses, key)
		return false
	case l.pings > 0 && l.answers == k.answers:
		return false // nobody answers
	}
	l = loss{l.pings + 1, k.answers, b.Expires}
	if l.pings < k.cfg.MaxLost {
		k.losses[key] = l
		return false
	}
	delete(k.losses, key)
	return true
}

// forget drops what was counted for bindings that are not there any more.
func (k *Keepalive) forget() {
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	for key, l := range k.losses {
		if !now.Before(l.until) {
			delete(k.losses, key)
		}
	}
}
