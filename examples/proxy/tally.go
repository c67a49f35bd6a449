package main

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/guard"
)

// tally has the calls that count for somebody, from their INVITE until they have
// failed or are hung up. It is safe for concurrent use.
type tally struct {
	silence time.Duration // a call of which nothing is heard for so long has ended

	mu    sync.Mutex
	calls map[dialogID][]*counted // those with the same ID, the oldest first
}

// dialogID is what a call is known by: what our Record-Route proves of its dialog,
// so that nobody ends the calls of another tenant.
type dialogID struct {
	domain [domainSize]byte
	callID string
}

// counted is a call in a tally.
type counted struct {
	id    dialogID
	timer *time.Timer
	ended bool
	seat  *guard.Seat         // nil if its set has no ceiling
	pbx   *dispatcher.Attempt // nil if no PBX has answered it, or none is chosen by its calls
}

func newTally(silence time.Duration) *tally {
	return &tally{silence: silence, calls: map[dialogID][]*counted{}}
}

// begin counts a call. The Call-ID is copied.
func (t *tally) begin(id dialogID, seat *guard.Seat) *counted {
	id.callID = strings.Clone(id.callID)
	c := &counted{id: id, seat: seat}
	t.mu.Lock()
	defer t.mu.Unlock()
	c.timer = time.AfterFunc(t.silence, func() { t.end(c) })
	t.calls[id] = append(t.calls[id], c)
	return c
}

// answered has c, whose INVITE was answered, count for a PBX as well. If it has been
// hung up meanwhile, pbx ends.
func (t *tally) answered(c *counted, pbx *dispatcher.Attempt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.ended {
		pbx.End()
		return
	}
	c.pbx = pbx
}

// alive notes that something is heard of a call.
func (t *tally) alive(id dialogID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.calls[id] {
		c.timer.Reset(t.silence)
	}
}

// hungUp ends a call that is hung up, one if there are several with that ID: each of
// them has its BYE.
func (t *tally) hungUp(id dialogID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if of := t.calls[id]; of != nil {
		t.remove(of[0])
	}
}

// end ends c, if it has not ended.
func (t *tally) end(c *counted) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !c.ended {
		t.remove(c)
	}
}

// remove needs the lock, and a call that is there.
func (t *tally) remove(c *counted) {
	c.ended = true
	c.timer.Stop()
	c.seat.End()
	c.pbx.End()
	of := t.calls[c.id]
	at := slices.Index(of, c)
	if of = slices.Delete(of, at, at+1); len(of) > 0 {
		t.calls[c.id] = of
	} else {
		delete(t.calls, c.id)
	}
}
