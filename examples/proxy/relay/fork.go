package relay

import (
	"errors"
	"time"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transaction"
	"github.com/sipward/sipward/examples/proxy/transport"
)

// start begins with the first group.
func (c *Context) start(p *Plan) {
	switch {
	case c.server == nil:
		c.forwardAck(p)
		return
	case c.started:
		return
	case c.final: // canceled before the policy had decided
		if p.Ended != nil {
			p.Ended(Result{Status: c.status})
		}
		return
	}
	c.started, c.plan = true, *p
	if c.invite {
		c.server.AwaitTrying()
		c.dialog = c.relay.dialogKey(c.Message)
	}
	c.next()
}

// next starts the next group of targets, and ends the request if none is left.
func (c *Context) next() {
	for c.live == 0 && !c.final {
		if c.canceled != nil || c.group == len(c.plan.Targets) {
			c.finish()
			return
		}
		targets := c.plan.Targets[c.group]
		if len(targets) > c.breadth() {
			c.answerWith(440, "Max-Breadth Exceeded")
			return
		}
		c.group++
		if c.group > 1 {
			c.relay.counters.failovers.Add(1)
			c.tellFailover()
		}
		for i := range targets {
			c.branch(&targets[i], share(c.breadth(), i, len(targets)))
		}
	}
}

// branch sends the request to t.
func (c *Context) branch(t *Target, breadth int) {
	b := &branch{ctx: c, target: t, breadth: breadth}
	c.branches = append(c.branches, b)
	if c.plan.Begin != nil {
		b.attempt = c.plan.Begin(t)
	}
	if err := b.send(); err != nil {
		b.report(0, err)
		c.localEnd(b, statusOf(err))
		return
	}
	c.relay.counters.forwarded.Add(1)
	c.live++
}

// send sends the request to the target.
func (b *branch) send() error {
	c, t := b.ctx, b.target
	f, err := c.open(t)
	if err != nil {
		return err
	}
	id := c.newBranch()
	text := c.request(t, f, id, b.breadth)
	if g, ok := c.relay.wider(t, len(text)); ok {
		if b.sendOn(g, id, c.request(t, g, id, b.breadth)) == nil {
			return nil
		}
		c.relay.refusers.add(t.Remote) // it was refused already, or takes no more
	}
	return b.sendOn(f, id, text)
}

func (b *branch) sendOn(f transport.Flow, id string, text []byte) (err error) {
	r := b.ctx.relay
	if b.client, err = r.tx.Request(f, b.ctx.server.Method(), id, text, b); err == nil {
		b.await(r.cfg.NoReply)
	}
	return err
}

// await sets the branch's timer; 0 stops it.
func (b *branch) await(d time.Duration) {
	b.due = time.Now().Add(d)
	b.client.After(d)
}

// report tells what is the first that is heard of the target, unless that is our
// own doing.
func (b *branch) report(status int, err error) {
	if b.attempt != nil && !b.reported && b.ctx.canceled == nil && !errors.Is(err, transport.ErrSelf) {
		b.attempt.Report(status, err)
	}
	b.reported = true
}

// branch is what the transaction layer calls.
var _ transaction.ClientUser = (*branch)(nil)

// Response implements [transaction.ClientUser].
func (b *branch) Response(_ *transaction.Client, m *sipmsg.Message) {
	b.ctx.post(event{kind: response, branch: b, msg: m})
}

// Failed implements [transaction.ClientUser].
func (b *branch) Failed(_ *transaction.Client, err error) {
	b.ctx.post(event{kind: failed, branch: b, err: err})
}

// Timer implements [transaction.ClientUser].
func (b *branch) Timer(*transaction.Client) { b.ctx.post(event{kind: timer, branch: b}) }

// response is RFC 3261 section 16.7.
func (c *Context) response(b *branch, m *sipmsg.Message) {
	b.report(m.Status, nil)
	switch {
	case !forwardable(m):
		if m.Status >= 200 {
			c.failed(b, nil)
		}
	case m.Status < 200:
		c.provisional(b, m)
	case m.Status < 300:
		c.success(b, m)
	case b.ended:
		if b.gaveUp && !c.invite && !c.final { // still better than our 408
			b.msg, b.status = m, m.Status
			c.consider(b)
		}
	default:
		b.msg, b.status = m, m.Status
		c.end(b)
		if m.Status >= 600 { // step 5
			c.group = len(c.plan.Targets)
			c.cancelBranches()
		}
		c.settle()
	}
}

func (c *Context) provisional(b *branch, m *sipmsg.Message) {
	if b.ended && !b.gaveUp {
		return
	}
	first := !b.answered
	b.answered = true
	switch {
	case b.gaveUp: // its CANCEL is on the way
		return
	case !c.invite:
		if first && !c.plan.Failover { // to a PBX a 100 gives no more time
			b.await(0)
		}
	case m.Status > 100 || first: // step 2: Timer C
		b.await(c.relay.cfg.TimerC)
	}
	if m.Status > 100 && !c.final {
		c.pass(b, m)
		c.ringing(m.Status)
	}
}

// success passes a 2xx on, each one of an INVITE.
func (c *Context) success(b *branch, m *sipmsg.Message) {
	b.status = m.Status
	switch {
	case !c.invite:
	case !b.accepted: // it may yield several dialogs; their ACKs go the same way
		b.accepted = true
		c.relay.dialogs.put(c.dialog, b.client.Flow())
		b.await(64 * c.relay.cfg.T1)
	case c.final && c.status/100 == 2:
		b.tell(AnsweredAgain)
	}
	c.end(b)
	switch {
	case c.final && !c.invite:
		c.relay.counters.late.Add(1)
	case c.final && c.status/100 != 2: // nobody waits for it any more
		c.relay.counters.late.Add(1)
		b.tell(HungUp)
		c.hangUp(b, m)
	case !c.pass(b, m): // something else was answered in its stead
		c.hangUp(b, m)
	default:
		c.done(Result{Status: m.Status, Reason: m.Reason, Target: b.target})
	}
	c.settle()
}

// pass sends a response on, with further header fields. It reports false if the
// policy had another answer.
func (c *Context) pass(b *branch, m *sipmsg.Message, extra ...string) bool {
	p := patches.Get().(*sipmsg.Patch)
	defer patches.Put(p)
	p.Init(m)
	p.RemoveTopVia()
	for _, line := range extra {
		p.Prepend(sipmsg.Other, line)
	}
	if c.plan.Answer != nil {
		if status, reason := c.plan.Answer(b.target, m, p); status != 0 && m.Status >= 200 {
			c.answerWith(status, reason)
			return false
		}
	}
	if errors.Is(c.server.Respond(m.Status, p.Bytes()), transaction.ErrAnswered) {
		c.relay.counters.late.Add(1)
	} else {
		c.tell(Sent, m.Status)
	}
	return true
}

// failed ends a branch that will have no response, or none that can be used.
func (c *Context) failed(b *branch, err error) {
	refused := c.relay.refusedTCP(b.target, err)
	if b.ended || refused && !b.unwanted && b.send() == nil {
		return
	}
	b.report(0, err)
	c.localEnd(b, statusOf(err))
	c.live--
	c.settle()
}

// localEnd ends a branch with a status of our own.
func (c *Context) localEnd(b *branch, status int) {
	b.status = status
	b.over()
	c.consider(b)
}

// over notes that b has ended.
func (b *branch) over() {
	b.ended = true
	b.tell(BranchEnded)
	if b.attempt != nil {
		b.attempt.End()
	}
}

// end notes that b has its final response.
func (c *Context) end(b *branch) {
	if !b.ended {
		b.over()
		c.live--
	}
	if b.status >= 300 {
		c.consider(b)
	}
}

// timer is the end of a branch's patience: with the first answer, or Timer C.
func (c *Context) timer(b *branch) {
	switch {
	case time.Now().Before(b.due): // it was set again while it fired
	case b.accepted:
		c.relay.dialogs.remove(c.dialog)
	case b.ended:
	case b.answered && c.invite: // section 16.8
		b.client.Cancel()
	case !c.invite && !c.plan.Failover:
		// A phone that does not answer; its transaction ends by itself.
	default:
		// Tried long enough. Should it answer after all, the INVITE is
		// canceled, unless the answer is a 2xx: then the call is up.
		b.gaveUp = true
		b.report(0, transaction.ErrTimeout)
		b.client.Cancel()
		c.localEnd(b, 408)
		c.live--
		c.settle()
	}
}

// cancel takes a CANCEL (section 16.10), with its Reasons.
func (c *Context) cancel(m *sipmsg.Message) {
	c.relay.tellCancel(c.Tag, 200)
	if c.canceled != nil {
		return
	}
	c.canceled = []string{}
	for i := range m.All(sipmsg.Reason) {
		c.canceled = append(c.canceled, "Reason: "+m.Value(i))
	}
	if c.final {
		return
	}
	if c.Follower != nil {
		c.Follower.Canceled()
	}
	c.cancelBranches(c.canceled...)
	if c.live == 0 {
		c.finish()
	}
}

// settle goes on when a group has ended.
func (c *Context) settle() {
	if c.live > 0 {
		return
	}
	if c.final {
		c.release()
		return
	}
	if c.plan.Failover && (c.rang || c.best != nil && !c.best.dead()) {
		c.finish()
		return
	}
	c.next()
}
