package guard

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Limit is a token bucket: so many a second, and so many at once after a time
// of quiet. The zero Limit stands for a default.
type Limit struct {
	Rate  float64 // a second; negative: no limit
	Burst int     // what ten seconds give if 0
}

// rate is a [Limit] in nanoseconds. The zero rate limits nothing.
type rate struct {
	each int64 // what one takes
	full int64 // what all of the burst takes
}

// The shares of a limit that there are, in quarters.
const (
	half  = 2
	most  = 3
	whole = 4
)

const maxRate = 1e6

// rate returns l, or byDefault if l is zero. Name is for the error.
func (l Limit) rate(name string, byDefault Limit) (rate, error) {
	if l == (Limit{}) {
		l = byDefault
	}
	if l.Rate < 0 {
		return rate{}, nil
	}
	if l.Burst == 0 {
		l.Burst = max(int(10*min(l.Rate, maxRate)), 1)
	}
	if !(l.Rate > 0 && l.Rate <= maxRate) || l.Burst < 0 || float64(l.Burst)/l.Rate > (24*time.Hour).Seconds() {
		return rate{}, fmt.Errorf("guard: %s: %v a second with a burst of %d cannot be kept", name, l.Rate, l.Burst)
	}
	each := int64(float64(time.Second) / l.Rate)
	return rate{each, each * int64(l.Burst)}, nil
}

// bucket is a token bucket in one word: the time at which it will be full again
// (the virtual scheduling of the generic cell rate algorithm). The zero bucket
// is full.
type bucket struct{ at atomic.Int64 }

// debt returns how long it takes until b is full.
func (b *bucket) debt(now int64) int64 { return max(b.at.Load()-now, 0) }

func (b *bucket) add(now, d int64) {
	for {
		old := b.at.Load()
		if b.at.CompareAndSwap(old, max(old, now)+d) {
			return
		}
	}
}

// raise makes at the time at which b will be full, if that is not later already.
func (b *bucket) raise(at int64) {
	for old := b.at.Load(); old < at && !b.at.CompareAndSwap(old, at); {
		old = b.at.Load()
	}
}

// tokens is a bucket with the rate at which it fills. The zero tokens never run
// out.
type tokens struct {
	rate   rate
	bucket *bucket
}

// left reports whether there is one in this share of the bucket.
func (t tokens) left(now int64, share int64) bool {
	return t.rate.each == 0 || t.bucket.debt(now)+t.rate.each <= t.rate.full*share/whole
}

// take takes one, there or not.
func (t tokens) take(now int64) { t.add(now, 1) }

// giveBack undoes n takes.
func (t tokens) giveBack(now int64, n int64) { t.add(now, -n) }

func (t tokens) add(now, n int64) {
	if t.rate.each != 0 {
		t.bucket.add(now, n*t.rate.each)
	}
}

// draw takes one of a and one of b, and reports whether both had one in this
// share. When many draw at once there may be some too many.
func draw(now, share int64, a, b tokens) bool {
	if !a.left(now, share) || !b.left(now, share) {
		return false
	}
	a.take(now)
	b.take(now)
	return true
}

// buckets are those of all networks. Some share one, by chance: nobody outside
// knows which. Senders with forged addresses, however many, only raise the level
// of all a little.
type buckets []bucket

// newBuckets returns 2^log buckets.
func newBuckets(log int) buckets { return make(buckets, 1<<log) }

func (s buckets) of(n hashed) *bucket { return &s[n.sum&uint64(len(s)-1)] }

// limiter limits each network.
type limiter struct {
	rate    rate
	buckets buckets
}

func (l *limiter) of(n hashed) tokens { return tokens{l.rate, l.buckets.of(n)} }
