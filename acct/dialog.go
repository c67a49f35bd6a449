package acct

import "time"

// Dialog names the dialog of a request as the request does: the From tag is
// that of whoever sends it.
type Dialog struct{ CallID, FromTag, ToTag string }

// calleeTag returns the callee's tag in a request of that side.
func (d *Dialog) calleeTag(by End) string {
	if by == ByCaller {
		return d.ToTag
	}
	return d.FromTag
}

// Ack notes the ACK for a 2xx.
func (r *Recorder) Ack(d Dialog) {
	r.dialog(d, func(c *Call, by End) {
		c.revive(d, by)
		c.acked = c.answered()
		c.alive()
	})
}

// Alive notes a sign of life: a request in the dialog other than ACK and BYE.
func (r *Recorder) Alive(d Dialog) {
	r.dialog(d, func(c *Call, _ End) { c.alive() })
}

// Refresh notes a 2xx to an INVITE or UPDATE in the dialog that d is of.
// Expires is its session interval, 0 if it has none: then there is no session
// timer any more (RFC 4028 section 7.2).
func (r *Recorder) Refresh(d Dialog, expires time.Duration) {
	expires = interval(expires)
	r.dialog(d, func(c *Call, _ End) {
		if c.answered() && c.session != expires {
			c.session, c.kept = expires, time.Time{}
		}
		c.alive()
		c.expect()
	})
}

// Bye notes a BYE: it ends the call, whatever is answered.
func (r *Recorder) Bye(d Dialog) {
	done := false
	r.dialog(d, func(c *Call, by End) {
		if done { // one that comes by again ends the next one
			return
		}
		done = true
		c.revive(d, by)
		if !c.answered() {
			c.bye = by // its 2xx or its final response is still to come
			return
		}
		c.finish(Answered, by, c.now())
	})
}

// interval returns the session interval that a header field means: none is
// shorter than 90 seconds (RFC 4028 section 4).
func interval(expires time.Duration) time.Duration {
	if expires <= 0 {
		return 0
	}
	return max(expires, 90*time.Second)
}

// dialog calls f, with the shard locked, for each call that d belongs to: they are
// several if the INVITE has come by for several tenants. F may end the call.
func (r *Recorder) dialog(d Dialog, f func(c *Call, by End)) {
	if r == nil {
		return
	}
	d = Dialog{identifier(d.CallID), identifier(d.FromTag), identifier(d.ToTag)}
	s := r.shardOf(d.CallID)
	s.mu.Lock()
	defer s.mu.Unlock()
	c, by := s.find(d)
	for c != nil {
		next := c.next.withTag(d.calleeTag(by))
		f(c, by)
		c = next
	}
}

// revive makes a call that rang before the program started one that is up, as
// its ACK or BYE shows. The 2xx came when the program was not there, or a moment
// before it was killed.
func (c *Call) revive(d Dialog, by End) {
	if !c.restored {
		return
	}
	c.restored = false
	c.acked = true
	c.answer(Answer{ToTag: d.calleeTag(by), Code: 200, Reason: "OK"}, c.now())
}

// keepInterval is how old the sign of life in the journal may be.
const keepInterval = time.Minute

func (c *Call) alive() {
	c.last = c.now()
	if c.last.Sub(c.kept) >= keepInterval {
		c.keep()
	}
}

const (
	// heldFor is how long a call waits for an INVITE with credentials: a phone
	// may have to ask its user.
	heldFor = 32 * time.Second
	// reviveFor is how long a call that rang when the program ended may show
	// that it is up after all: as long as its 2xx is repeated.
	reviveFor = 32 * time.Second
)

// due reports when the call is closed without a sign of life, and as what.
func (c *Call) due() (time.Time, End) {
	timeout := c.recorder.cfg.DialogTimeout
	switch session := c.session + c.session/2; {
	case c.held:
		return c.last.Add(heldFor), Unanswered
	case c.restored:
		return c.last.Add(reviveFor), Restarted
	case c.answered() && session > 0 && session < timeout:
		return c.last.Add(session), SessionExpired
	}
	return c.last.Add(timeout), Timeout
}

// expect has the call looked at when it is due. It must be called whenever that
// may have become sooner.
func (c *Call) expect() {
	if at, _ := c.due(); at.Before(c.shard.due) {
		c.shard.due = at
	}
}

// close closes a call that is due. It lasted until its last sign of life.
func (c *Call) close(end End) {
	switch {
	case c.held:
		c.end()
	case c.answered():
		c.finish(Lost, end, c.last)
	default:
		c.rec.Code, c.rec.Reason = 408, "Request Timeout"
		c.finish(TimedOut, end, c.last)
	}
}
