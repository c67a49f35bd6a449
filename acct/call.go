package acct

import (
	"net/netip"
	"slices"
	"time"
)

// Invite is an initial INVITE: one without a To tag. Its texts are copied.
type Invite struct {
	CallID, FromTag string
	FromURI, ToURI  string // without display names and parameters of the header fields
	UserAgent       string
	SetID           int
	Domain          string // of the tenant
	Direction       Direction
	Source          netip.AddrPort // where it came from
}

// Answer is a 2xx to an initial INVITE. Its texts are copied.
type Answer struct {
	ToTag     string
	Code      int
	Reason    string
	UserAgent string // User-Agent or Server
	// Destination is who answered; the last leg if it is zero.
	Destination netip.AddrPort
	// SessionExpires is the session interval, 0 if there is none (RFC 4028).
	SessionExpires time.Duration
}

// Call is a call in progress, for what happens to its initial INVITE. One that
// is sent twice before the call is up is the same Call. All methods may be called
// concurrently, on nil too, where they do nothing.
type Call struct {
	recorder *Recorder
	shard    *shard
	next     *Call // with the same Call-ID and From tag

	// The rest is guarded by the shard.
	rec     Record
	last    time.Time     // sign of life
	session time.Duration // 0 if there is no session timer
	forks   []string      // To tags of further dialogs that have become Calls of their own

	pos  uint64    // of its newest state in the journal; 0 if it has none
	kept time.Time // when that was

	pending  int32 // INVITEs without a final response
	bye      End   // there was a BYE before a 2xx
	canceled bool
	held     bool // had a final response after which it comes again
	restored bool // rang when the program ended before
	acked    bool
	followed bool // is in the shard
	done     bool // has its record, or never will
}

// now returns the time, by the clock as it was when the call began: to set the
// clock does not make calls longer.
func (c *Call) now() time.Time { return c.rec.Created.Add(time.Since(c.rec.Created)) }

func (c *Call) answered() bool { return !c.rec.Answered.IsZero() }

// isUp reports whether the caller knows that the call was answered: an INVITE that
// comes then is that of another one.
func (c *Call) isUp() bool { return c.answered() && c.acked }

// follow has the call followed, if there is room.
func (c *Call) follow() {
	if !c.shard.crowded(c.key()) && c.recorder.room() {
		c.shard.add(c)
	}
}

// again notes one more INVITE of the call.
func (c *Call) again() {
	if c.held {
		c.release()
		c.pending, c.canceled, c.bye = 0, false, Unanswered
		c.rec.Code, c.rec.Reason, c.rec.Attempts = 0, "", 0
	}
	c.pending++
	c.restored = false
	c.last = c.now()
	c.keep()
}

// keep writes the state of the call to the journal.
func (c *Call) keep() {
	if c.followed && !c.done {
		c.pos, c.kept = c.recorder.journal.open(c), c.last
	}
}

// Leg notes that the INVITE was sent to destination: once for each branch. The
// last one is the record's, unless another one answers.
func (c *Call) Leg(destination netip.AddrPort) {
	if c == nil {
		return
	}
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	c.rec.Attempts++
	if !c.answered() {
		c.rec.Destination = destination
	}
}

// Progress notes a provisional response other than 100.
func (c *Call) Progress() {
	if c == nil {
		return
	}
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	c.last = c.now()
	if c.rec.Rang.IsZero() && !c.answered() {
		c.rec.Rang = c.last
	}
}

// Cancel notes that the caller has sent a CANCEL. A 2xx that crosses it wins.
func (c *Call) Cancel() {
	if c == nil {
		return
	}
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	c.canceled = true
}

// Answer notes a 2xx that the caller gets, each time that it comes by. One with
// another To tag begins another dialog, with a record of its own.
func (c *Call) Answer(a Answer) {
	if c == nil {
		return
	}
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	a.ToTag = identifier(a.ToTag)
	switch {
	case c.answered():
		if a.ToTag != c.rec.ToTag {
			c.fork(a)
		}
	case c.done:
	case c.shard.has(c, a.ToTag): // its INVITE was no new one
		c.forget()
	default:
		c.answer(a, c.now())
	}
}

// answer makes the call one that is up.
func (c *Call) answer(a Answer, now time.Time) {
	c.release()
	c.rec.Answered, c.last = now, now
	c.rec.ToTag, c.rec.Code, c.rec.Reason, c.rec.CalleeAgent = a.ToTag, a.Code, cut(a.Reason, maxText), cut(a.UserAgent, maxText)
	own(&c.rec.ToTag, &c.rec.Reason, &c.rec.CalleeAgent)
	if a.Destination.IsValid() {
		c.rec.Destination = a.Destination
	}
	c.session = interval(a.SessionExpires)
	switch {
	case c.bye != Unanswered: // it has overtaken the 2xx
		c.finish(Answered, c.bye, now)
	case !c.followed:
		c.finish(Lost, Unfollowed, now)
	default:
		c.keep()
		c.expect()
	}
}

// release ends the wait for another INVITE of the call.
func (c *Call) release() {
	if c.held {
		c.held = false
		c.recorder.held.Add(-1)
	}
}

// maxForks bounds the further dialogs of an INVITE: no user has more phones, but
// a hostile one has as many tags as it likes.
const maxForks = 16

// fork makes a Call of the dialog of another phone that has answered.
func (c *Call) fork(a Answer) {
	switch {
	case slices.Contains(c.forks, a.ToTag):
		return
	case len(c.forks) == maxForks:
		c.recorder.unrecorded.Add(1)
		return
	}
	other := &Call{recorder: c.recorder, shard: c.shard, rec: c.rec}
	other.rec.Cause, other.rec.End, other.rec.Ended, other.rec.NoACK = InProgress, Unanswered, time.Time{}, false
	id := c.recorder.ids.new(c.rec.Created)
	other.rec.ID = string(id[:])
	other.follow()
	other.answer(a, c.now())
	c.forks = append(c.forks, other.rec.ToTag)
}

// Fail notes that an INVITE of the call has ended without a 2xx: once for each
// [Recorder.Begin] that was not followed by Answer. Code is that of the final
// response that the caller gets, 0 if it gets none.
func (c *Call) Fail(code int, reason string) {
	if c == nil {
		return
	}
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if c.pending > 0 {
		c.pending--
	}
	if c.done || c.answered() || c.held || c.pending > 0 {
		return
	}
	if code == 0 {
		code, reason = 408, "Request Timeout"
	}
	c.rec.Code, c.rec.Reason = code, cut(reason, maxText)
	own(&c.rec.Reason)
	c.last = c.now()
	if comesAgain(code) && c.hold() {
		return
	}
	c.end()
}

// hold lets the call wait for a better INVITE. It reports false if too many
// wait: what was no call then begins with the INVITE that has credentials.
func (c *Call) hold() bool {
	if !c.followed || c.canceled {
		return false
	}
	if c.recorder.held.Add(1) > c.recorder.maxHeld() {
		c.recorder.held.Add(-1)
		return false
	}
	c.held = true
	c.expect()
	if isChallenge(c.rec.Code) {
		c.drop()
	}
	return true
}

// end ends a call that was not answered by its final response.
func (c *Call) end() {
	if isChallenge(c.rec.Code) {
		c.forget()
		return
	}
	c.finish(causeOf(c.rec.Code, !c.rec.Rang.IsZero(), c.canceled || c.bye == ByCaller), Unanswered, c.last)
}

// finish makes the call's record.
func (c *Call) finish(cause Cause, end End, ended time.Time) {
	c.leave()
	if ended.Before(c.rec.Answered) {
		ended = c.rec.Answered
	}
	c.rec.Cause, c.rec.End, c.rec.Ended = cause, end, ended
	c.rec.NoACK = c.answered() && !c.acked && end != Unfollowed
	c.recorder.count(cause, end)
	c.recorder.journal.done(&c.rec)
}

// forget ends the call without a record.
func (c *Call) forget() {
	c.leave()
	c.drop()
}

// drop takes the call out of the journal.
func (c *Call) drop() {
	if c.pos != 0 {
		c.recorder.journal.drop(c.rec.ID)
		c.pos = 0
	}
}

// leave takes the call out of what is followed.
func (c *Call) leave() {
	c.done = true
	c.release()
	if c.followed {
		c.followed = false
		c.shard.remove(c)
		c.recorder.open.Add(-1)
	}
}
