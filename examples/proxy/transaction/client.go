package transaction

import (
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
)

// clientKey matches responses to client transactions (RFC 3261 section
// 17.1.3). The branch is ours and unique; the method tells a CANCEL from the
// request that it cancels.
type clientKey struct{ branch, method string }

func (k clientKey) hash(seed maphash.Seed) key { return key(maphash.Comparable(seed, k)) }

// ClientUser gets what becomes of a request. Its methods are called without
// locks held.
type ClientUser interface {
	// Response is a response: each provisional one, the first final one, and
	// each 2xx to an INVITE, repeated ones as well, for 64*T1.
	Response(c *Client, m *sipmsg.Message)
	// Failed says that there will be no response: [ErrTimeout] or
	// [ErrTransport]. It comes at most once, and never after a final response.
	Failed(c *Client, err error)
	// Timer says that the time given to [Client.After] is over.
	Timer(c *Client)
}

// Ignore is the user of a request whose fate does not matter, such as a CANCEL: what
// comes of that shows in the INVITE.
type Ignore struct{}

var _ ClientUser = Ignore{}

// Response implements [ClientUser].
func (Ignore) Response(*Client, *sipmsg.Message) {}

// Failed implements [ClientUser].
func (Ignore) Failed(*Client, error) {}

// Timer implements [ClientUser].
func (Ignore) Timer(*Client) {}

// Client is a client transaction: a request that we sent.
type Client struct {
	layer   *Layer
	flow    transport.Flow
	key     key
	branch  string
	mu      sync.Mutex
	user    ClientUser // nil when there is nothing more to tell
	state   state
	request []byte // as sent; nil when it cannot be needed any more
	ack     []byte // for a non-2xx answer to an INVITE, to be repeated
	cancel  []string
	canceled, canceling,
	invite, open bool // open: it counts in Stats.Open
	retry, end, after timer
	interval          time.Duration
}

// Request sends a request, b, on f and follows it. Branch is that of its top
// Via, b is kept and must not be changed. If sending fails at once, the error
// wraps [ErrTransport] and user is not called. The user may be called before
// Request returns.
func (l *Layer) Request(f transport.Flow, method, branch string, b []byte, user ClientUser) (*Client, error) {
	c := &Client{layer: l, user: user, flow: f, key: clientKey{branch, method}.hash(l.seed), branch: branch, request: b, invite: method == "INVITE", open: method == "INVITE"}
	s := l.shardOf(c.key)
	s.mu.Lock()
	s.clients[c.key] = c
	s.mu.Unlock()
	l.counters.clients.Add(1)
	if c.invite {
		l.counters.open.Add(1)
	}
	if f.Stream() {
		l.streams.add(c)
	}
	c.mu.Lock()
	l.wheel.start(&c.end, 64*l.t1, c) // Timers B and F
	if !f.Stream() {
		c.interval = l.t1
		l.wheel.start(&c.retry, l.t1, c) // Timers A and E
	}
	c.mu.Unlock()
	if err := f.Send(b); err != nil {
		c.mu.Lock()
		waiting := c.state <= proceeding // else the user has been told, by Closed
		c.finish()
		c.mu.Unlock()
		if waiting {
			return nil, fmt.Errorf("%w: %w", ErrTransport, err)
		}
	}
	return c, nil
}

// Flow returns where the request went.
func (c *Client) Flow() transport.Flow { return c.flow }

// After calls the user's Timer in d, instead of any earlier After; never if d
// is 0. A final response stops it. After a 2xx to an INVITE it can be set again,
// for 64*T1.
func (c *Client) After(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d == 0 || c.user == nil || c.state == terminated {
		c.layer.wheel.stop(&c.after)
		return
	}
	c.layer.wheel.start(&c.after, d, c)
}

// Abandon forgets a request that was not answered: what still comes is a stray.
func (c *Client) Abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finish()
}

// Cancel cancels an INVITE (RFC 3261 section 9.1): at once if a provisional
// response has come, else as soon as one comes, and not at all after a final
// response. Reasons are complete Reason header fields for the CANCEL; a later
// call can still give them until it is sent. If there is no final response in
// 64*T1 after the CANCEL, the request has failed with [ErrTimeout]. Other
// requests cannot be canceled.
func (c *Client) Cancel(reasons ...string) {
	c.mu.Lock()
	if c.canceling || !c.invite {
		c.mu.Unlock()
		return
	}
	c.canceled = true
	if len(reasons) > 0 {
		c.cancel = reasons
	}
	send := c.takeCancel()
	c.mu.Unlock()
	c.sendCancel(send)
}

// takeCancel returns the CANCEL if it is time to send it.
func (c *Client) takeCancel() []byte {
	if !c.canceled || c.canceling || c.state != proceeding {
		return nil
	}
	c.canceling = true
	c.layer.wheel.start(&c.end, 64*c.layer.t1, c)
	m, err := sipmsg.Parse(string(c.request))
	if err != nil { // the user's fault; the timer ends the INVITE all the same
		return nil
	}
	return m.Derive("CANCEL", "", c.cancel...)
}

func (c *Client) sendCancel(b []byte) {
	if b != nil {
		c.layer.Request(c.flow, "CANCEL", c.branch, b, Ignore{}) // if it is lost, the timer above ends the INVITE
	}
}

// response takes a response that matches c.
func (c *Client) response(m *sipmsg.Message) {
	c.mu.Lock()
	user := c.user
	var deliver bool
	var send []byte
	switch {
	case m.Status < 200:
		if deliver = c.state <= proceeding; deliver {
			c.provisional()
			if cancel := c.takeCancel(); cancel != nil {
				defer c.sendCancel(cancel)
			}
		}
	case c.invite && m.Status < 300:
		deliver = c.accept()
	case c.state <= proceeding:
		deliver = true
		send = c.complete(m)
	default:
		send = c.ack // a non-2xx again: our ACK was lost
	}
	c.mu.Unlock()
	if send != nil {
		c.flow.Send(send)
	}
	if deliver {
		user.Response(c, m)
	}
}

func (c *Client) provisional() {
	l := c.layer
	c.state = proceeding
	if c.invite {
		l.wheel.stop(&c.retry)
		if !c.canceling {
			l.wheel.stop(&c.end) // Timer B; from here on it is the proxy's Timer C
		}
		return
	}
	c.interval = l.t2 // Timer E goes on at T2
}

// accept takes a 2xx to an INVITE (RFC 6026 section 7.2): Timer M.
func (c *Client) accept() bool {
	if c.state == accepted {
		return true
	}
	if c.state > proceeding {
		return false
	}
	c.state, c.request = accepted, nil
	c.layer.settle(&c.open)
	c.stopAll()
	c.layer.wheel.start(&c.end, 64*c.layer.t1, c)
	return true
}

// complete takes a final response that ends the request. It returns the ACK,
// if there is to be one.
func (c *Client) complete(m *sipmsg.Message) []byte {
	l := c.layer
	c.stopAll()
	if c.invite {
		if sent, err := sipmsg.Parse(string(c.request)); err == nil {
			c.ack = sent.Derive("ACK", m.Get(sipmsg.To))
		}
	}
	ack := c.ack
	c.request, c.user = nil, nil
	l.settle(&c.open)
	switch {
	case c.flow.Stream(): // Timers D and K are 0
		c.finish()
	case c.invite:
		c.state = completed
		l.wheel.start(&c.end, max(64*l.t1, 32*time.Second), c)
	default:
		c.state = completed
		l.wheel.start(&c.end, t4, c)
	}
	return ack
}

func (c *Client) stopAll() {
	w := c.layer.wheel
	w.stop(&c.retry)
	w.stop(&c.end)
	w.stop(&c.after)
}

// finish forgets c. The lock must be held; a shard's lock is taken inside.
func (c *Client) finish() {
	if c.state == terminated {
		return
	}
	accepted := c.state == accepted
	c.state, c.request, c.ack = terminated, nil, nil
	c.layer.settle(&c.open)
	c.layer.wheel.stop(&c.retry)
	c.layer.wheel.stop(&c.end)
	if !accepted {
		c.layer.wheel.stop(&c.after)
	}
	s := c.layer.shardOf(c.key)
	s.mu.Lock()
	if s.clients[c.key] == c {
		delete(s.clients, c.key)
		c.layer.counters.clients.Add(-1)
	}
	s.mu.Unlock()
	if c.flow.Stream() {
		c.layer.streams.remove(c)
	}
}

// fail ends c without a response, if it has none.
func (c *Client) fail(err error) {
	c.mu.Lock()
	user, waiting := c.user, c.state <= proceeding
	if waiting {
		c.finish()
	}
	c.mu.Unlock()
	if waiting {
		user.Failed(c, err)
	}
}

// expire is the wheel's.
func (c *Client) expire(t *timer) {
	l := c.layer
	c.mu.Lock()
	user := c.user
	var again []byte
	var failed, after bool
	switch {
	case !l.wheel.claim(t):
	case t == &c.after:
		after = true
	case t == &c.end:
		failed = c.state <= proceeding
		c.finish()
	case c.state == trying || c.state == proceeding && !c.invite:
		again = c.request
		c.interval *= 2
		if !c.invite {
			c.interval = min(c.interval, l.t2)
		}
		l.wheel.start(&c.retry, c.interval, c)
	}
	c.mu.Unlock()
	switch {
	case again != nil:
		l.counters.sentAgain.Add(1)
		c.flow.Send(again)
	case failed:
		user.Failed(c, ErrTimeout)
	case after:
		user.Timer(c)
	}
}
