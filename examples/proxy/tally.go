package main

import (
	"container/list"
	"hash/maphash"
	"sync"
	"time"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/guard"
)

// tally has the calls that count for somebody, from their INVITE until they have
// failed or are hung up. It is safe for concurrent use.
type tally struct {
	silence time.Duration // a call of which nothing is heard for so long has ended
	seed    maphash.Seed

	mu    sync.Mutex
	calls map[uint64]*alike // by the hash of their ID: a Call-ID may be as long as a message
}

// dialogID is what a call is known by: what our Record-Route proves of its dialog,
// so that nobody ends the calls of another tenant.
type dialogID struct {
	domain [domainSize]byte
	callID string
}

// alike are the calls with one ID. Mostly it is one, but who sends them may give all
// of them the same.
type alike struct {
	timer *time.Timer // of all: whose sign of life it is, is not known
	calls list.List   // of *counted, the oldest first
}

// counted is a call in a tally.
type counted struct {
	sum  uint64
	at   *list.Element       // among those that are alike; nil once it has ended
	seat *guard.Seat         // nil if its set has no ceiling
	pbx  *dispatcher.Attempt // nil if no PBX has answered it, or none is chosen by its calls
}

func newTally(silence time.Duration) *tally {
	return &tally{silence: silence, seed: maphash.MakeSeed(), calls: map[uint64]*alike{}}
}

// begin counts a call. The Call-ID is not kept.
func (t *tally) begin(id dialogID, seat *guard.Seat) *counted {
	c := &counted{sum: t.sum(id), seat: seat}
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.calls[c.sum]
	if of == nil {
		of = &alike{}
		of.timer = time.AfterFunc(t.silence, func() { t.silent(of) })
		t.calls[c.sum] = of
	}
	of.timer.Reset(t.silence)
	c.at = of.calls.PushBack(c)
	return c
}

func (t *tally) sum(id dialogID) uint64 { return maphash.Comparable(t.seed, id) }

// answered has c, whose INVITE was answered, count for a PBX as well. If it has been
// hung up meanwhile, pbx ends.
func (t *tally) answered(c *counted, pbx *dispatcher.Attempt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.at == nil {
		pbx.End()
		return
	}
	c.pbx = pbx
}

// alive notes that something is heard of a call.
func (t *tally) alive(id dialogID) {
	sum := t.sum(id)
	t.mu.Lock()
	defer t.mu.Unlock()
	if of := t.calls[sum]; of != nil {
		of.timer.Reset(t.silence)
	}
}

// hungUp ends a call that is hung up, one if there are several with that ID: each of
// them has its BYE.
func (t *tally) hungUp(id dialogID) {
	sum := t.sum(id)
	t.mu.Lock()
	defer t.mu.Unlock()
	if of := t.calls[sum]; of != nil {
		t.remove(of.oldest())
	}
}

// silent ends calls of which nothing is heard any more.
func (t *tally) silent(of *alike) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for of.calls.Len() > 0 {
		t.remove(of.oldest())
	}
}

// end ends c, if it has not ended.
func (t *tally) end(c *counted) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.at != nil {
		t.remove(c)
	}
}

func (a *alike) oldest() *counted { return a.calls.Front().Value.(*counted) }

// remove needs the lock, and a call that is there.
func (t *tally) remove(c *counted) {
	of := t.calls[c.sum]
	of.calls.Remove(c.at)
	c.at = nil
	c.seat.End()
	c.pbx.End()
	if of.calls.Len() == 0 {
		of.timer.Stop()
		delete(t.calls, c.sum)
	}
}
