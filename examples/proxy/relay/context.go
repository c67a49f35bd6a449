package relay

import (
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transaction"
	"github.com/sipward/sipward/examples/proxy/transport"
)

// Target is where one branch goes.
type Target struct {
	// Flow is the way there, if it is known: that of a registered phone.
	// Otherwise Remote is dialed, from Local if that is valid.
	Flow          transport.Flow
	Network       string // "udp", "tcp"; only with Remote
	Local, Remote netip.AddrPort
	TCP           bool // for "udp": Remote may take TCP as well, see [Config].UDPMTU

	RequestURI string // becomes the Request-URI; "" keeps it
	Route      string // value of a Route to put on top, such as a Path; "" for none
	Edit       Edit   // further changes of the request; may be nil
	Context    any    // the policy's own

	RouteParams string // in place of those of the [Plan]; "" for these
}

// Edit changes a request on its way out on f. It must not keep p, and may be called
// again for another flow.
type Edit func(f transport.Flow, p *sipmsg.Patch)

// Plan says how a request is forwarded.
type Plan struct {
	// Targets are tried group by group, those of a group at once. What ends a
	// group so that the next is tried is any failure (RFC 3261 section 16.6),
	// or with Failover only what shows that a target is not alive: no answer
	// at all, or no final one to another request than INVITE, a transport error,
	// 503; and nothing once it has rung, since that would call somebody twice.
	// The relay keeps the slices.
	Targets  [][]Target
	Failover bool
	// RecordRoute keeps the dialog on the proxy. RouteParams are added to the
	// URI, each with its semicolon, if the target has none of its own.
	RecordRoute bool
	RouteParams string
	// Answer is called with each response before it is passed on, and may
	// patch it, but not keep the patch. If it returns a status other than 0, that is answered instead
	// of a final response; of a provisional one it means nothing. Each 2xx to
	// an INVITE comes, late and repeated ones as well. May be nil.
	Answer func(t *Target, m *sipmsg.Message, p *sipmsg.Patch) (status int, reason string)
	// Begin is called with each target that the request is sent to, and what it
	// returns is told how that went. May be nil.
	Begin func(t *Target) Attempt
	// Ended is called once, when the request has its final response or will
	// never have one. May be nil.
	Ended func(Result)
}

// Attempt hears how one branch goes. Its methods are called without locks held,
// in any goroutine.
type Attempt interface {
	// Report tells the status of the first response, or why there is none. It is
	// not called for a branch that was canceled before it had one.
	Report(status int, err error)
	// End tells that the branch has its final response or will have none. It is
	// called once, and not before Report.
	End()
}

// Follower hears what becomes of a request, whatever its policy does. Its methods
// are called without locks held, one after the other.
type Follower interface {
	// Canceled tells that the sender has given the request up. It is not called
	// after Ended.
	Canceled()
	// Ended is as the Ended of a [Plan].
	Ended(Result)
}

// Result is what became of a request.
type Result struct {
	Status   int     // as answered; 0 if it was not
	Reason   string  // the phrase, if it is known
	Target   *Target // whose answer it is; nil for our own
	Attempts int     // branches started
}

// Context is a request on its way through the proxy: the response context of
// RFC 3261 section 16.2. Its methods may be called in any goroutine, its fields
// read in [Policy.Route] and [Context.Resume] only.
type Context struct {
	// Message is the request as received. It is nil, and RequestURI, Route and
	// Edit of the targets are gone, some time after the request has its final
	// response: what a [Plan] calls must not need them.
	Message *sipmsg.Message
	Flow    transport.Flow // where the answers go

	// What section 16.4 leaves of the request, once our own Routes are off.
	RequestURI string   // repaired if a strict router was before us
	OwnRoutes  []string // URIs of the Routes that were ours
	NextRoute  string   // the first Route that is not ours; "" if none

	Retried bool // the policy is asked for the second time, by Retry

	Tag any // the policy's own, for it to set: [Event] has it

	// Follower may be set in [Policy.Route]. An INVITE that has one is not
	// refused without state, so that it does not come again as another one.
	Follower Follower

	relay  *Relay
	server *transaction.Server // nil for an ACK
	invite bool                // the INVITE rules apply
	began  time.Time           // of a request that has a server
	routes []string            // Routes that are not ours

	mu    sync.Mutex
	busy  bool     // somebody handles events
	queue []event  // what has come meanwhile
	space [1]event // for queue
	tag   string

	// The rest belongs to whoever handles events.
	plan     Plan
	started  bool     // there is a plan
	told     bool     // a 100 was sent
	rang     bool     // a provisional response above 100 was passed on
	canceled []string // Reasons of the CANCEL; not nil once canceled
	final    bool     // a final response was sent, or none will be
	status   int      // of the final response
	group    int      // of plan.Targets, the next one
	branches []*branch
	live     int // branches without a final response
	best     *branch
	dialog   uint64 // key in relay.dialogs, of an INVITE
}

// branch is one target of a context.
type branch struct {
	ctx      *Context
	target   *Target
	client   *transaction.Client
	due      time.Time // when the timer of client is to fire
	answered bool      // there was any response
	ended    bool      // no response will come that matters
	gaveUp   bool      // it did not answer in time; a late answer still counts
	msg      *sipmsg.Message
	status   int     // final status; with msg nil one of our own
	accepted bool    // with a 2xx
	hungUp   bool    // see hangUp
	unwanted bool    // canceled
	breadth  int     // Max-Breadth of its request
	attempt  Attempt // nil if nobody wants to know
	reported bool    // to attempt
}

type event struct {
	kind   kind
	branch *branch
	msg    *sipmsg.Message
	err    error
	plan   *Plan
	own    *ownAnswer
	then   func()
}

// ownAnswer is a final response of ours.
type ownAnswer struct {
	status int
	reason string
	extra  []string
}

type kind uint8

const (
	arrived kind = iota
	resumed
	forward
	reply
	refuse
	drop
	response
	failed
	timer
	canceled
	waited
)

// post handles e now, or after what is being handled.
func (c *Context) post(e event) {
	c.mu.Lock()
	if c.busy {
		if c.queue == nil {
			c.queue = c.space[:0]
		}
		c.queue = append(c.queue, e)
		c.mu.Unlock()
		if e.kind == response {
			c.giveWay()
		}
		return
	}
	c.busy = true
	c.mu.Unlock()
	for more := true; more; e, more = c.take() {
		c.handle(&e)
	}
}

// giveWay lets whoever handles events go on until all are handled, within limits:
// he has just sent the request that is answered already, and what comes next on the
// same way is not to overtake the answer.
func (c *Context) giveWay() {
	const patience = 2000 // far below a millisecond if nobody else wants to run
	for range patience {
		runtime.Gosched()
		c.mu.Lock()
		busy := c.busy
		c.mu.Unlock()
		if !busy {
			return
		}
	}
}

// take returns the next event; without one, nobody handles events any more.
func (c *Context) take() (event, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		c.busy, c.queue = false, nil
		return event{}, false
	}
	e := c.queue[0]
	n := copy(c.queue, c.queue[1:])
	c.queue[n] = event{} // it may hold a message
	c.queue = c.queue[:n]
	return e, true
}

// waiting reports whether more has come.
func (c *Context) waiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue) > 0
}

func (c *Context) handle(e *event) {
	defer c.guard()
	switch e.kind {
	case arrived:
		c.arrive()
	case resumed:
		if !c.final && !c.started {
			e.then()
		}
	case forward:
		c.start(e.plan)
	case reply:
		c.answer(e.own)
	case refuse:
		c.refuse(e.own)
	case drop:
		c.drop()
	case response:
		c.response(e.branch, e.msg)
	case failed:
		c.failed(e.branch, e.err)
	case timer:
		c.timer(e.branch)
	case canceled:
		c.cancel(e.msg)
	case waited:
		c.trying()
	}
}

// guard turns a panic of the policy, or of ours, into a 500, so that it costs
// this request only (R33).
func (c *Context) guard() {
	p := recover()
	if p == nil {
		return
	}
	c.relay.panicked(c.Message, p)
	defer func() { // Ended may do it again
		if p := recover(); p != nil {
			c.relay.panicked(nil, p)
		}
	}()
	if c.server != nil && !c.final {
		c.answer(&ownAnswer{status: 500, reason: "Server Internal Error"})
	}
}

// arrive checks the request and hands it to the policy.
func (c *Context) arrive() {
	defer c.tell(Arrived, 0) // with the Tag
	if !c.check() {
		return
	}
	c.relay.cfg.Policy.Route(c)
	if !c.waiting() { // the policy takes its time
		c.trying()
	}
}

// trying tells the sender of an INVITE that we have it (R28). It is not for
// what is refused at once: that is done without state, and an INVITE that has a
// 100 is not repeated (RFC 3261 section 8.2.7).
func (c *Context) trying() {
	if c.invite && !c.told && !c.rang && !c.final {
		c.told = true
		c.tell(Sent, 100)
		c.server.Respond(100, c.Message.Respond(100, "Trying", ""))
	}
}

// Retry asks the policy again, as [Context.Resume] does.
func (c *Context) Retry() {
	c.Resume(func() {
		c.Retried = true
		c.relay.cfg.Policy.Route(c)
	})
}

// Resume calls f as [Policy.Route] is called, for a request that the policy has
// held back until it has what it lacked. It does not if the request has been
// decided on or canceled meanwhile: its fields are gone then.
func (c *Context) Resume(f func()) { c.post(event{kind: resumed, then: f}) }

// Forward sends the request on as p says. An ACK goes to the first target only,
// and nothing of p is called but the target's Edit.
func (c *Context) Forward(p Plan) { c.post(event{kind: forward, plan: &p}) }

// Reply answers the request. An ACK is not answered. Extra are complete header
// fields without line ends.
func (c *Context) Reply(status int, reason string, extra ...string) {
	c.post(event{kind: reply, own: &ownAnswer{status, reason, extra}})
}

// Refuse answers the request like Reply, and keeps no state for it: for what
// strangers send.
func (c *Context) Refuse(status int, reason string, extra ...string) {
	c.post(event{kind: refuse, own: &ownAnswer{status, reason, extra}})
}

// Drop does not answer the request, and forgets it.
func (c *Context) Drop() { c.post(event{kind: drop}) }

// Peer returns the way to who answered the INVITE with 2xx that an ACK is for,
// if that was less than 64*T1 ago. The zero Flow if not known. It is for
// [Policy.Route].
func (c *Context) Peer() transport.Flow { return c.relay.dialogs.get(c.relay.dialogKey(c.Message)) }

// localTag is the To tag of all our own answers to the request.
func (c *Context) localTag() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tag == "" {
		c.tag = c.relay.newTag()
	}
	return c.tag
}

func (c *Context) open(t *Target) (transport.Flow, error) {
	if t.Flow != (transport.Flow{}) {
		return t.Flow, nil
	}
	return c.relay.cfg.Network.Dial(t.Network, t.Local, t.Remote)
}
