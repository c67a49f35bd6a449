// Package relay is the core of a stateful SIP proxy (RFC 3261 section 16).
//
// It takes messages from the transport, keeps a response context ([Context])
// for each request, and asks a [Policy] where the request goes. What a proxy
// must do whatever the policy is done here: Max-Forwards, Max-Breadth, loops, Via and
// Record-Route, its own Routes, forking, choosing the best response, CANCEL
// and its races, failover. Messages are forwarded byte for byte but for these.
//
// Nothing waits: a policy may answer at once or later, and every event of a
// context, from whichever socket or timer it comes, is handled after the one
// before it, without a lock held.
package relay

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transaction"
	"github.com/sipward/sipward/examples/proxy/transport"
)

// Policy decides where requests go.
type Policy interface {
	// Symmetric reports whether answers to requests from f go to where the
	// request came from even if its Via did not ask for that (RFC 3581): true
	// for whoever may be behind NAT.
	Symmetric(f transport.Flow) bool
	// Route calls exactly one of c.Forward, c.Reply, c.Refuse and c.Drop, at
	// once or later.
	Route(c *Context)
}

// Network is what the relay needs of the transport.
type Network interface {
	// Find returns an existing way to remote; see [transport.Layer.Find].
	Find(network string, local, remote netip.AddrPort) (transport.Flow, bool)
	// Dial returns a way to remote; see [transport.Layer.Dial].
	Dial(network string, local, remote netip.AddrPort) (transport.Flow, error)
}

// Config configures a [Relay].
type Config struct {
	Policy  Policy  // required
	Network Network // required
	// Own reports whether host and port are the proxy itself: a listener or a
	// name it is known by. Port 0 is no port. Required.
	Own func(host string, port uint16) bool
	// SentBy is what Via and Record-Route call the proxy for messages that
	// leave on f: host or host:port. The local address of f if nil.
	SentBy func(f transport.Flow) string

	// UDPMTU is how many bytes a request may have that goes over UDP to a [Target]
	// that may take TCP; what is larger goes over TCP, and over UDP all the same if
	// no connection can be opened (RFC 3261 section 18.1.1). No limit if 0.
	UDPMTU int

	T1, T2  time.Duration // of RFC 3261 section 17; 500ms and 4s if 0
	NoReply time.Duration // without any answer the next target is tried; 8s if 0
	TimerC  time.Duration // an INVITE may ring so long (section 16.6 step 11); 185s if 0

	// Observe is told what happens to requests, in order for each of them but for
	// Received. It is called without locks held, in any goroutine, and must not
	// block. May be nil.
	Observe func(Event)

	Logger *slog.Logger // discards if nil
}

// Relay is a stateful proxy. It is safe for concurrent use.
type Relay struct {
	cfg      Config
	tx       *transaction.Layer
	log      *slog.Logger
	seed     maphash.Seed
	dialogs  dialogs
	refusers refusers
	counters counters
}

type counters struct {
	forwarded, replied, dropped, failovers, loops, merged,
	strays, faults, panics, late atomic.Uint64
}

// Stats is a snapshot of counters since the start.
type Stats struct {
	Forwarded uint64 // requests sent on, each branch
	Replied   uint64 // requests answered by the proxy itself
	Dropped   uint64 // requests without an answer
	Failovers uint64 // a next target tried because the one before did not serve
	Loops     uint64 // requests that came by again
	Merged    uint64 // requests that came on two ways
	Strays    uint64 // responses to nothing
	Faults    uint64 // messages that could not be read
	Panics    uint64 // of the policy
	Late      uint64 // answers that came when the request had its final one

	Transactions transaction.Stats
}

// New returns a relay. All faults of cfg are reported, joined.
func New(cfg Config) (*Relay, error) {
	var faults []error
	if cfg.Policy == nil {
		faults = append(faults, errors.New("relay: no Policy"))
	}
	if cfg.Network == nil {
		faults = append(faults, errors.New("relay: no Network"))
	}
	if cfg.Own == nil {
		faults = append(faults, errors.New("relay: no Own"))
	}
	if cfg.T1 < 0 || cfg.T2 < 0 || cfg.NoReply < 0 || cfg.TimerC < 0 {
		faults = append(faults, errors.New("relay: negative timer"))
	}
	if cfg.UDPMTU < 0 {
		faults = append(faults, errors.New("relay: negative UDPMTU"))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	if cfg.SentBy == nil {
		cfg.SentBy = func(f transport.Flow) string { return f.Local().String() }
	}
	cfg.T1 = cmp.Or(cfg.T1, 500*time.Millisecond)
	cfg.NoReply = cmp.Or(cfg.NoReply, 8*time.Second)
	cfg.TimerC = cmp.Or(cfg.TimerC, 185*time.Second)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Relay{cfg: cfg, log: cfg.Logger, seed: maphash.MakeSeed()}
	r.refusers.until = map[netip.AddrPort]time.Time{}
	r.dialogs.flows = map[uint64]transport.Flow{}
	var err error
	if r.tx, err = transaction.New(transaction.Config{User: (*user)(r), T1: cfg.T1, T2: cfg.T2}); err != nil {
		return nil, err
	}
	return r, nil
}

// Run fires timers until ctx is done.
func (r *Relay) Run(ctx context.Context) error { return r.tx.Run(ctx) }

// Stats returns the present figures.
func (r *Relay) Stats() Stats {
	c := &r.counters
	return Stats{
		Forwarded: c.forwarded.Load(), Replied: c.replied.Load(), Dropped: c.dropped.Load(),
		Failovers: c.failovers.Load(), Loops: c.loops.Load(), Merged: c.merged.Load(),
		Strays: c.strays.Load(), Faults: c.faults.Load(), Panics: c.panics.Load(), Late: c.late.Load(),
		Transactions: r.tx.Stats(),
	}
}

var _ transport.Handler = (*Relay)(nil)

// Message takes a message from the transport.
func (r *Relay) Message(f transport.Flow, m *sipmsg.Message) {
	if m.IsRequest() {
		var ok bool
		if f, ok = r.stamp(f, m); !ok {
			return
		}
	} else {
		r.tell(Event{Kind: Received, Method: m.CSeqMethod, Status: m.Status})
	}
	r.tx.Handle(f, m)
}

// stamp notes in m where it came from, and returns where its answers go (RFC
// 3261 section 18.2.2, RFC 3581): to the source, but to the port that the Via
// names if it did not ask for the source's and is not behind NAT. It reports
// false if the policy panicked, which it has answered (R33).
func (r *Relay) stamp(f transport.Flow, m *sipmsg.Message) (_ transport.Flow, ok bool) {
	defer func() {
		if p := recover(); p != nil {
			r.panicked(m, p)
			if m.Method != "ACK" {
				f.Send(m.Respond(500, "Server Internal Error", r.newTag()))
			}
		}
	}()
	src := f.Remote()
	symmetric := f.Stream() || r.cfg.Policy.Symmetric(f)
	m.Stamp(src, symmetric && !f.Stream())
	if _, port := m.Via.SentBy(); !symmetric && !m.Via.RPort && port != src.Port() {
		if g, ok := r.cfg.Network.Find(f.Network(), f.Local(), netip.AddrPortFrom(src.Addr(), port)); ok {
			return g, true
		}
	}
	return f, true
}

// panicked counts and logs a panic. M is the request that it costs, nil if it
// has its answer already.
func (r *Relay) panicked(m *sipmsg.Message, p any) {
	r.counters.panics.Add(1)
	method, callID := "", ""
	if m != nil {
		method, callID = m.Method, m.CallID
	}
	r.log.Error("panic while a request was handled", "method", method, "call_id", callID,
		"panic", p, "stack", string(debug.Stack()))
}

// Fault answers a request that cannot be read, as far as it can be answered.
func (r *Relay) Fault(f transport.Flow, m *sipmsg.Message, err error) {
	r.counters.faults.Add(1)
	if fault, ok := errors.AsType[*sipmsg.Error](err); ok {
		r.Refuse(f, m, fault.Status, reasonOf(fault.Status)+" ("+fault.Fault+")")
	}
}

// Refuse answers a request in place of handling it, if it can be answered, and
// keeps nothing for it. It changes m.
func (r *Relay) Refuse(f transport.Flow, m *sipmsg.Message, status int, reason string) {
	if !m.Answerable() {
		return
	}
	m.Stamp(f.Remote(), !f.Stream())
	f.Send(m.Respond(status, reason, r.newTag()))
}

// Closed takes the end of a stream connection from the transport.
func (r *Relay) Closed(f transport.Flow, err error) { r.tx.Closed(f, err) }

// user is the Relay as the transaction layer sees it.
type user Relay

func (u *user) Request(tx *transaction.Server, m *sipmsg.Message) {
	r := (*Relay)(u)
	c := &Context{Message: m, Flow: tx.Flow(), relay: r, server: tx, invite: m.Method == "INVITE", began: time.Now()}
	tx.Attach(c)
	c.post(event{kind: arrived})
}

// Ack forwards the ACK for a 2xx, without state.
func (u *user) Ack(f transport.Flow, m *sipmsg.Message) {
	c := &Context{Message: m, Flow: f, relay: (*Relay)(u)}
	c.post(event{kind: arrived})
}

// Trying implements [transaction.User].
func (u *user) Trying(tx *transaction.Server) {
	if c, ok := tx.Attached().(*Context); ok {
		c.post(event{kind: waited})
	}
}

func (u *user) Cancel(tx *transaction.Server, m *sipmsg.Message, invite *transaction.Server) {
	r := (*Relay)(u)
	if invite == nil {
		r.counters.replied.Add(1)
		r.tellCancel(nil, 481)
		tx.Refuse(481, m.Respond(481, "Call/Transaction Does Not Exist", r.newTag()))
		return
	}
	c, _ := invite.Attached().(*Context)
	if c == nil { // it has its final response
		r.tellCancel(nil, 200)
		tx.Respond(200, m.Respond(200, "OK", r.newTag()))
		return
	}
	tx.Respond(200, m.Respond(200, "OK", c.localTag()))
	c.post(event{kind: canceled, msg: m})
}

func (u *user) Stray(transport.Flow, *sipmsg.Message) { (*Relay)(u).counters.strays.Add(1) }
