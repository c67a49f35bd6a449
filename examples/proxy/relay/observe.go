package relay

import "time"

// Event is something that happened to a request, for metrics.
type Event struct {
	Kind   EventKind
	Method string // of the request; only valid during the call
	Tag    any    // of its [Context]; nil if the policy has not seen it
	Status int    // of the response; 0 if there is none
	// NoAnswer tells that no response is behind Status: nothing came in time if
	// it is 408, else there is no way to the target.
	NoAnswer bool
	Took     time.Duration // of Ringing and Done: since the request came
}

// EventKind says what happened.
type EventKind uint8

// The kinds of events. An ACK arrives, and no more is told of it; nor are
// retransmissions, which the transaction layer absorbs.
const (
	Arrived       EventKind = iota // a request, of which the policy knows by now
	Received                       // a response, to a request of whomever
	Sent                           // a response, our own or passed on
	Ringing                        // the first provisional response above 100 was passed on
	BranchEnded                    // a target has its final response, or will have none
	FailedOver                     // another target is tried; the status is that of the last one
	HungUp                         // a 2xx that nobody waited for any more got its ACK and BYE
	AnsweredAgain                  // a 2xx was passed on that was passed on before
	Done                           // the request has its final response, or will have none
)

// tell tells e, if anybody wants to know.
func (r *Relay) tell(e Event) {
	if r.cfg.Observe != nil {
		r.cfg.Observe(e)
	}
}

// tellCancel tells of a CANCEL for a request with that Tag, and of its answer.
func (r *Relay) tellCancel(tag any, status int) {
	r.tell(Event{Kind: Arrived, Method: "CANCEL", Tag: tag})
	r.tell(Event{Kind: Sent, Method: "CANCEL", Tag: tag, Status: status})
}

// tell tells what happened to the request.
func (c *Context) tell(kind EventKind, status int) { c.tellEvent(Event{Kind: kind, Status: status}) }

// tell tells what happened to the branch.
func (b *branch) tell(kind EventKind) {
	b.ctx.tellEvent(Event{Kind: kind, Status: b.status, NoAnswer: b.msg == nil && b.status >= 300})
}

// ringing tells of the first provisional response.
func (c *Context) ringing(status int) {
	if !c.rang {
		c.rang = true
		c.tell(Ringing, status)
	}
}

// tellFailover tells that a target was given up for the next one.
func (c *Context) tellFailover() {
	if n := len(c.branches); n > 0 && c.plan.Failover {
		c.branches[n-1].tell(FailedOver)
	}
}

func (c *Context) tellEvent(e Event) {
	if c.relay.cfg.Observe == nil {
		return
	}
	e.Method, e.Tag = "ACK", c.Tag
	if c.server != nil {
		e.Method = c.server.Method()
	}
	if e.Kind == Ringing || e.Kind == Done {
		e.Took = time.Since(c.began)
	}
	c.relay.cfg.Observe(e)
}
