package relay

import "github.com/sipward/sipward/examples/proxy/sipmsg"

// answer sends a final response of our own.
func (c *Context) answer(a *ownAnswer) {
	if c.server == nil {
		c.drop()
		return
	}
	if c.final {
		return
	}
	c.relay.counters.replied.Add(1)
	c.tell(Sent, a.status)
	c.server.Respond(a.status, c.Message.Respond(a.status, a.reason, c.localTag(), a.extra...))
	c.done(Result{Status: a.status, Reason: a.reason})
}

// answerWith is answer, for those who have no ownAnswer.
func (c *Context) answerWith(status int, reason string, extra ...string) {
	c.answer(&ownAnswer{status, reason, extra})
}

// refuse is answer without state.
func (c *Context) refuse(a *ownAnswer) {
	if c.server == nil {
		c.drop()
		return
	}
	if c.invite && c.Follower != nil {
		c.answer(a)
		return
	}
	if c.final {
		return
	}
	c.relay.counters.replied.Add(1)
	c.tell(Sent, a.status)
	c.server.Refuse(a.status, c.Message.Respond(a.status, a.reason, c.localTag(), a.extra...))
	c.done(Result{Status: a.status, Reason: a.reason})
}

// drop ends the request without an answer.
func (c *Context) drop() {
	if c.final {
		return
	}
	c.relay.counters.dropped.Add(1)
	if c.server != nil {
		c.server.Discard()
	}
	c.done(Result{})
}

// done notes that the request is over, with the answer of a target or our own.
// What still rings is canceled.
func (c *Context) done(r Result) {
	if c.final {
		return
	}
	c.final, c.status = true, r.Status
	if c.server != nil {
		c.tell(Done, r.Status)
	}
	if r.Status/100 == 2 && len(c.branches) > 1 {
		c.cancelBranches(`Reason: SIP;cause=200;text="Call completed elsewhere"`) // P-60
	} else {
		c.cancelBranches()
	}
	defer c.release() // whatever these do
	r.Attempts = len(c.branches)
	if c.Follower != nil {
		c.Follower.Ended(r)
	}
	if c.plan.Ended != nil {
		c.plan.Ended(r)
	}
}

// cancelBranches cancels what has no final response. A branch that was given up
// is among it: it may ring late.
func (c *Context) cancelBranches(reasons ...string) {
	for _, b := range c.branches {
		if b.client != nil && (!b.ended || b.gaveUp) {
			b.unwanted = true
			b.client.Cancel(reasons...)
		}
	}
}

// release lets go, once all branches have ended, of what is not needed for what
// may still come: repeated and late 2xx.
func (c *Context) release() {
	if !c.final || c.live > 0 {
		return
	}
	if c.server != nil {
		c.server.Attach(nil) // a CANCEL finds nothing to do
	}
	c.Message, c.routes, c.OwnRoutes, c.best = nil, nil, nil, nil
	c.RequestURI, c.NextRoute = "", "" // views into the message
	for _, b := range c.branches {
		b.msg = nil
		b.target.RequestURI, b.target.Route, b.target.Edit = "", "", nil
	}
}

// reasonOf returns the phrase of the statuses that faults have.
func reasonOf(status int) string {
	switch status {
	case 400:
		return "Bad Request"
	case 505:
		return "Version Not Supported"
	case 513:
		return "Message Too Large"
	}
	return "Error"
}

// forwardable reports whether a response has a Via besides ours: without one it
// is for nobody (RFC 3261 section 16.7 step 3).
func forwardable(m *sipmsg.Message) bool {
	fields := 0
	for range m.All(sipmsg.Via) {
		if fields++; fields == 2 {
			return true
		}
	}
	_, rest := sipmsg.CutElement(m.Get(sipmsg.Via))
	return rest != ""
}
