package relay

import (
	"errors"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transaction"
	"github.com/sipward/sipward/examples/proxy/transport"
)

// selfStatus is the status of a branch whose target are we ourselves (P-28).
const selfStatus = 699

// dead reports whether the branch shows that its target is not alive: no
// answer, no way there, or 503. Nothing else makes a failover (P-27).
func (b *branch) dead() bool { return b.msg == nil || b.status == 503 }

// statusOf returns the status that stands for an error (RFC 3261 section 16.9).
func statusOf(err error) int {
	switch {
	case errors.Is(err, transaction.ErrTimeout):
		return 408
	case errors.Is(err, transport.ErrSelf):
		return selfStatus
	}
	return 503
}

// consider keeps b if it is the best final response so far (RFC 3261 section
// 16.7 step 6).
func (c *Context) consider(b *branch) {
	if c.best == nil || c.rank(b) < c.rank(c.best) {
		c.best = b
	}
}

// rank orders final responses: a 6xx decides, then of a canceled request a 487,
// else the lowest class, and in it first what tells the caller how to succeed.
// What a target said counts before what we say in its stead, and a dead target's
// word is worth least.
func (c *Context) rank(b *branch) int {
	switch {
	case b.status >= 600 && b.msg != nil:
		return 0
	case b.msg == nil:
		return 9000 + b.status
	case b.status == 487 && c.canceled != nil:
		return 1
	case b.status == 503:
		return 8000
	}
	r := b.status / 100 * 1000
	switch b.status {
	case 401, 407, 415, 420, 484:
	default:
		r += 100
	}
	return r
}

// finish answers with the best response there is.
func (c *Context) finish() {
	if c.final {
		return
	}
	b := c.best
	switch {
	case b != nil && !b.dead():
		c.passBest(b)
	case c.canceled != nil:
		c.answerWith(487, "Request Terminated")
	case b == nil:
		c.answerWith(480, "Temporarily Unavailable")
	default:
		c.dead(b)
	}
}

// dead answers when no target is alive. B is the best of them.
func (c *Context) dead(b *branch) {
	switch {
	case b.status == selfStatus:
		c.answerWith(482, "Loop Detected")
	case b.msg != nil && c.plan.Failover:
		c.passBest(b)
	case b.msg != nil: // a 503 would say that it is the proxy that cannot serve
		c.answerWith(500, "Server Internal Error")
	case c.plan.Failover && !c.rang:
		c.answerWith(503, "Service Unavailable", "Retry-After: 10")
	case b.status == 408 && !c.invite:
		// RFC 4320 section 4.2: no 408 to a non-INVITE. The other side has
		// given up too, and takes any answer for a sign of life.
		c.server.Discard()
		c.done(Result{})
	case b.status == 408:
		c.answerWith(408, "Request Timeout")
	default: // its connection is gone
		c.answerWith(480, "Temporarily Unavailable")
	}
}

// passBest passes the response of b on.
func (c *Context) passBest(b *branch) {
	var extra []string
	if b.status == 401 || b.status == 407 {
		extra = c.otherChallenges(b)
	}
	if c.pass(b, b.msg, extra...) {
		c.done(Result{Status: b.status, Reason: b.msg.Reason, Target: b.target})
	}
}

// otherChallenges returns the challenges of all branches but b, which go with
// b's own (RFC 3261 section 16.7 step 7).
func (c *Context) otherChallenges(b *branch) []string {
	var lines []string
	for _, o := range c.branches {
		if o != b && o.msg != nil && (o.status == 401 || o.status == 407) {
			lines = append(lines, challenges(o.msg)...)
		}
	}
	return lines
}

// challenges returns the header fields of m that are challenges, unfolded.
func challenges(m *sipmsg.Message) []string {
	var lines []string
	for _, k := range [...]sipmsg.Kind{sipmsg.WWWAuthenticate, sipmsg.ProxyAuthenticate} {
		for _, v := range m.Values(k) {
			lines = append(lines, k.String()+": "+v)
		}
	}
	return lines
}
