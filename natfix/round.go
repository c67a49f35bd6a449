package natfix

import (
	"cmp"
	"context"
	"hash/crc32"
	"math/bits"
	"slices"
	"time"

	"github.com/sipward/sipward/location"
)

const (
	// roundTime is for how long the pings are known ahead. All bindings are
	// enumerated once in it.
	roundTime = 2 * time.Second
	// tick is the shortest pause: a timer for each ping would cost more than
	// the pings.
	tick = 10 * time.Millisecond
	// maxLate is how late a ping may be before those after it are put off too.
	maxLate = 100 * time.Millisecond
	// minInterval bounds the pings of one binding.
	minInterval = time.Second
)

// round is the pings of a Keepalive for one roundTime.
type round struct {
	entries []location.Entry
	pings   []ping
	key     []byte
}

// ping is a moment for an entry, counted from the start of the round.
type ping struct {
	at    time.Duration
	entry int
}

// fill looks for what is to be pinged in the roundTime from a time since 1970
// on. If it fails, what it has found is there.
func (r *round) fill(ctx context.Context, cfg *KeepaliveConfig, from time.Duration) (err error) {
	clear(r.entries) // which would keep their bindings in memory
	r.entries, r.pings = r.entries[:0], r.pings[:0]
	for e, failure := range cfg.Entries(ctx) {
		if failure != nil {
			err = failure
			break
		}
		r.add(cfg, &e, from)
	}
	slices.SortFunc(r.pings, func(a, b ping) int { return cmp.Compare(a.at, b.at) })
	return err
}

// add adds the pings of one binding.
func (r *round) add(cfg *KeepaliveConfig, e *location.Entry, from time.Duration) {
	b := &e.Binding
	if !b.Flow.Remote.IsValid() || b.Path != "" || b.Flow.Transport != "udp" && !cfg.Streams {
		return
	}
	interval := cfg.Interval(*e)
	if interval <= 0 {
		return
	}
	interval = max(interval, minInterval)
	phase, _ := bits.Mul64(uint64(r.hash(e))<<32, uint64(interval))
	at := time.Duration(phase) - from%interval
	if at < 0 {
		at += interval
	}
	if at >= roundTime || !cfg.Public && !NeedsAlias(b.Contact, b.Flow) {
		return
	}
	for ; at < roundTime; at += interval {
		r.pings = append(r.pings, ping{at, len(r.entries)})
	}
	r.entries = append(r.entries, *e)
}

// hash decides on the moment of a binding. It must be the same after a restart,
// which rules out hash/maphash.
func (r *round) hash(e *location.Entry) uint32 {
	r.key = append(append(r.key[:0], e.AOR.User()...), 0)
	r.key = append(append(r.key, e.AOR.Domain()...), 0)
	r.key = e.Binding.Flow.Remote.AppendTo(r.key)
	return crc32.ChecksumIEEE(r.key)
}

// play calls send for each ping at its moment, in a round that is to end at end,
// or until ctx ends. What fill has taken of the time is taken from the pauses.
func (r *round) play(ctx context.Context, end time.Time, send func(location.Entry)) {
	begin := time.Now()
	scale := float64(max(end.Sub(begin), 0)) / float64(roundTime)
	for _, p := range r.pings {
		wait := time.Until(begin.Add(time.Duration(float64(p.at) * scale)))
		switch {
		case wait > 0:
			sleep(ctx, max(wait, tick))
		case wait < -maxLate:
			begin = begin.Add(-wait)
		}
		if ctx.Err() != nil {
			return
		}
		send(r.entries[p.entry])
	}
}

// sleep returns after d, or when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
