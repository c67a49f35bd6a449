// Package transaction is the transaction layer of a stateful proxy (RFC 3261
// section 17 and RFC 6026).
//
// It differs from a user agent's in what a proxy needs. Messages are handled
// in the goroutine that read them, so what came in order on a flow is handled
// in order. A pending transaction is one small object on a timer wheel, not a
// goroutine. CANCEL is handed to the transaction user with the INVITE it
// belongs to, and never answered for it. A 2xx to an INVITE ends nothing: all
// of them are passed on for 64*T1. What is kept for retransmission is bytes.
package transaction

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
)

var (
	// ErrTimeout reports that a request was not answered in time.
	ErrTimeout = errors.New("transaction: timeout")
	// ErrTransport reports that a request could not be sent, or that the
	// connection it was sent on is gone.
	ErrTransport = errors.New("transaction: transport failed")
	// ErrAnswered reports a response to a request that has its final response.
	ErrAnswered = errors.New("transaction: already answered")
)

// User is the transaction user: the proxy core. Its methods are called without
// locks held, in the goroutine that read the message, and may call anything of
// this package.
type User interface {
	// Request is a new request, neither a retransmission nor an ACK nor a
	// CANCEL. The user answers, forwards or discards tx, at once or later.
	Request(tx *Server, m *sipmsg.Message)
	// Trying asks for the 100 that tx waits for, see [Server.AwaitTrying].
	Trying(tx *Server)
	// Cancel is a CANCEL. Invite is what it cancels; nil if there is none.
	Cancel(tx *Server, m *sipmsg.Message, invite *Server)
	// Ack is an ACK that belongs to no non-2xx answer of ours: one for a 2xx.
	Ack(f transport.Flow, m *sipmsg.Message)
	// Stray is a response to nothing that we asked, or not any more.
	Stray(f transport.Flow, m *sipmsg.Message)
}

// Config configures a [Layer].
type Config struct {
	User User // required
	// T1 and T2 are the timers of RFC 3261 section 17; 500ms and 4s if 0.
	T1, T2 time.Duration
}

// t4 is how long a message may be under way (RFC 3261 section 17.1.2.2).
const t4 = 5 * time.Second

// Layer holds the transactions of one proxy. It is safe for concurrent use.
type Layer struct {
	user     User
	t1, t2   time.Duration
	wheel    *wheel
	seed     maphash.Seed
	shards   [64]shard
	streams  streams
	counters counters
}

// shard is one part of the transaction tables, so that readers of different
// sockets seldom meet.
type shard struct {
	mu      sync.Mutex
	servers map[key]*Server
	clients map[key]*Client
	merged  map[key]*Server // by what merged requests have in common
}

type counters struct {
	servers, clients, open, retransmitted, sentAgain atomic.Int64
}

// Stats is a snapshot of a [Layer].
type Stats struct {
	Servers, Clients int64 // transactions held now
	// Open are those of them whose end somebody waits for: requests received
	// without a final response, or with one that wants an ACK, and INVITEs sent
	// without a final response.
	Open      int64
	Timers    int64 // running now
	Absorbed  int64 // requests received again
	SentAgain int64 // requests and responses sent again by a timer
}

// New returns a layer without transactions. [Layer.Run] must run for its
// timers to fire. All faults of cfg are reported, joined.
func New(cfg Config) (*Layer, error) {
	var faults []error
	if cfg.User == nil {
		faults = append(faults, errors.New("transaction: no User"))
	}
	if cfg.T1 < 0 || cfg.T2 < 0 {
		faults = append(faults, errors.New("transaction: negative timer"))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	l := &Layer{
		user:  cfg.User,
		t1:    cmp.Or(cfg.T1, 500*time.Millisecond),
		t2:    cmp.Or(cfg.T2, 4*time.Second),
		wheel: newWheel(),
		seed:  maphash.MakeSeed(),
	}
	for i := range l.shards {
		s := &l.shards[i]
		s.servers, s.clients, s.merged = map[key]*Server{}, map[key]*Client{}, map[key]*Server{}
	}
	l.streams.clients = map[transport.Flow]map[*Client]struct{}{}
	return l, nil
}

// Run fires the timers until ctx is done, then returns nil. Transactions that
// are left stay as they are.
func (l *Layer) Run(ctx context.Context) error {
	l.wheel.run(ctx)
	return nil
}

// Stats returns the present figures.
func (l *Layer) Stats() Stats {
	c := &l.counters
	return Stats{
		Servers: c.servers.Load(), Clients: c.clients.Load(), Open: c.open.Load(), Timers: int64(l.wheel.len()),
		Absorbed: c.retransmitted.Load(), SentAgain: c.sentAgain.Load(),
	}
}

// settle notes that nobody waits for the end of a transaction any more. The lock
// of that must be held.
func (l *Layer) settle(open *bool) {
	if *open {
		*open = false
		l.counters.open.Add(-1)
	}
}

// Handle takes a message that came on f. Calls for one flow must be in order
// of arrival.
func (l *Layer) Handle(f transport.Flow, m *sipmsg.Message) {
	switch {
	case !m.IsRequest():
		l.response(f, m)
	case m.Method == "ACK":
		l.ack(f, m)
	default:
		l.request(f, m)
	}
}

func (l *Layer) request(f transport.Flow, m *sipmsg.Message) {
	key := l.keyOf(f, m, m.Method)
	s := l.shardOf(key)
	s.mu.Lock()
	tx := s.servers[key]
	if tx != nil {
		s.mu.Unlock()
		l.counters.retransmitted.Add(1)
		tx.again()
		return
	}
	tx = &Server{layer: l, flow: f, key: key, method: method(m.Method), open: true}
	s.servers[key] = tx
	s.mu.Unlock()
	l.counters.servers.Add(1)
	l.counters.open.Add(1)
	if m.ToTag == "" && m.Method != "CANCEL" {
		l.noteMerge(tx, m)
	}
	if m.Method == "CANCEL" {
		l.user.Cancel(tx, m, l.server(l.keyOf(f, m, "INVITE")))
		return
	}
	l.user.Request(tx, m)
}

func (l *Layer) ack(f transport.Flow, m *sipmsg.Message) {
	if tx := l.server(l.keyOf(f, m, "INVITE")); tx != nil && tx.acked() {
		return
	}
	l.user.Ack(f, m)
}

func (l *Layer) response(f transport.Flow, m *sipmsg.Message) {
	key := clientKey{m.Via.Branch, m.CSeqMethod}.hash(l.seed)
	s := l.shardOf(key)
	s.mu.Lock()
	c := s.clients[key]
	s.mu.Unlock()
	if c == nil {
		l.user.Stray(f, m)
		return
	}
	c.response(m)
}

func (l *Layer) server(key key) *Server {
	s := l.shardOf(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.servers[key]
}

func (l *Layer) shardOf(k key) *shard { return &l.shards[k%key(len(l.shards))] }

// Closed tells the layer that a stream flow is gone. Requests that wait for an
// answer on it fail.
func (l *Layer) Closed(f transport.Flow, err error) {
	for _, c := range l.streams.take(f) {
		c.fail(errors.Join(ErrTransport, err))
	}
}

// streams knows which client transactions wait on which stream connection.
// Datagram flows do not close, so they are not in it.
type streams struct {
	mu      sync.Mutex
	clients map[transport.Flow]map[*Client]struct{}
}

func (s *streams) add(c *Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.clients[c.flow]
	if set == nil {
		set = map[*Client]struct{}{}
		s.clients[c.flow] = set
	}
	set[c] = struct{}{}
}

func (s *streams) remove(c *Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.clients[c.flow]
	delete(set, c)
	if len(set) == 0 {
		delete(s.clients, c.flow)
	}
}

func (s *streams) take(f transport.Flow) []*Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	var cs []*Client
	for c := range s.clients[f] {
		cs = append(cs, c)
	}
	delete(s.clients, f)
	return cs
}
