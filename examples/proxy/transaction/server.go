package transaction

import (
	"encoding/binary"
	"hash/maphash"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
)

// key stands for what matches a message to a transaction. It is long and hashed with
// a seed of ours: nobody makes two meet by chance or on purpose.
type key uint64

// serverKey matches requests to server transactions (RFC 3261 section 17.2.3):
// branch, sent-by and method, with an ACK under its INVITE's. Behind NAT many
// have the same sent-by, so the source counts as well: nobody else is to cancel a
// request or to get its answers. Its port does not: a NAT may change it, and a
// CANCEL may come on another connection.
type serverKey struct {
	from   [16]byte
	branch string
	host   string // of sent-by
	port   uint16
	method string
}

const cookie = "z9hG4bK"

// keyOf returns the key of m, which came on f, as if its method were the given
// one.
func (l *Layer) keyOf(f transport.Flow, m *sipmsg.Message, method string) key {
	host, port := m.Via.SentBy()
	k := serverKey{f.Remote().Addr().As16(), m.Via.Branch, host, port, method}
	if !strings.HasPrefix(k.branch, cookie) { // RFC 2543: what a branch stands for
		k.branch = strings.Join([]string{m.RequestURI, m.FromTag, m.CallID, strconv.FormatUint(uint64(m.CSeq), 10), m.Via.Branch}, "\x00")
	}
	return key(maphash.Comparable(l.seed, k))
}

// method returns m as a string of its own; no copy for the common ones.
func method(m string) string {
	switch m {
	case "INVITE":
		return "INVITE"
	case "REGISTER":
		return "REGISTER"
	case "OPTIONS":
		return "OPTIONS"
	case "BYE":
		return "BYE"
	case "CANCEL":
		return "CANCEL"
	}
	return strings.Clone(m)
}

// state of a transaction; the names are RFC 3261's and RFC 6026's.
type state uint8

const (
	trying     state = iota // nothing sent or received yet; Calling of an INVITE client
	proceeding              // a provisional response
	accepted                // 2xx to an INVITE
	completed               // final response
	confirmed               // ACK received
	terminated
)

// Server is a server transaction: a request that came in, until the last of
// its retransmissions must have passed.
type Server struct {
	// Merged reports that another request with the same From tag, Call-ID and
	// CSeq, but another branch, is known already: the same request came on two
	// ways (RFC 3261 section 8.2.2.2). It is false inside a dialog.
	Merged bool

	layer      *Layer
	flow       transport.Flow
	key        key
	method     string
	merge      key
	mu         sync.Mutex
	context    any
	state      state
	open       bool   // it counts in Stats.Open
	awaits     bool   // a 100, when retry fires
	resend     []byte // what a retransmission is answered with; nil: nothing
	retry, end timer
	interval   time.Duration
}

// noteMerge looks for a request that m was merged with, and notes tx for later
// ones. The hash is long and keyed: nobody meets it by chance or on purpose.
func (l *Layer) noteMerge(tx *Server, m *sipmsg.Message) {
	var h maphash.Hash
	h.SetSeed(l.seed)
	for _, s := range [...]string{m.CallID, m.FromTag, m.Method} {
		h.WriteString(s)
		h.WriteByte(0)
	}
	var seq [4]byte
	binary.LittleEndian.PutUint32(seq[:], m.CSeq)
	h.Write(seq[:])
	sum := key(h.Sum64())
	s := l.shardOf(sum)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.merged[sum] != nil {
		tx.Merged = true
		return
	}
	tx.merge = sum
	s.merged[sum] = tx
}

// Flow returns where the request came from and the responses go.
func (tx *Server) Flow() transport.Flow { return tx.flow }

// Method returns the method of the request.
func (tx *Server) Method() string { return tx.method }

// Attach gives tx a companion of the transaction user, once.
func (tx *Server) Attach(v any) {
	tx.mu.Lock()
	tx.context = v
	tx.mu.Unlock()
}

// Attached returns what [Server.Attach] was given; nil before.
func (tx *Server) Attached() any {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.context
}

// invite reports whether the INVITE rules apply.
func (tx *Server) invite() bool { return tx.method == "INVITE" }

// Respond sends a response, b, with the given status. The layer keeps b, which
// must not be changed any more. After a final response only further 2xx to an
// INVITE are sent; the rest is [ErrAnswered] and changes nothing (R24).
func (tx *Server) Respond(status int, b []byte) error {
	tx.mu.Lock()
	ok := tx.state <= proceeding || tx.state == accepted && status/100 == 2
	if ok {
		tx.advance(status, b)
	}
	tx.mu.Unlock()
	if !ok {
		return ErrAnswered
	}
	return tx.flow.Send(b)
}

// advance is the state machine of sections 17.2.1 and 17.2.2 for a response
// that is about to be sent.
func (tx *Server) advance(status int, b []byte) {
	l, stream := tx.layer, tx.flow.Stream()
	tx.stopAwaiting()
	switch {
	case status < 200:
		tx.state, tx.resend = proceeding, b
	case tx.invite() && status < 300:
		if tx.state != accepted { // Timer L; the callee repeats its 2xx, not we
			tx.state, tx.resend = accepted, nil
			l.settle(&tx.open)
			l.wheel.start(&tx.end, 64*l.t1, tx)
		}
	case tx.invite(): // Timers G and H
		tx.state, tx.resend = completed, b
		l.wheel.start(&tx.end, 64*l.t1, tx)
		if !stream {
			tx.interval = l.t1
			l.wheel.start(&tx.retry, l.t1, tx)
		}
	case stream: // Timer J is 0
		tx.state = terminated
		tx.layer.forget(tx)
	default: // Timer J
		tx.state, tx.resend = completed, b
		l.settle(&tx.open)
		l.wheel.start(&tx.end, 64*l.t1, tx)
	}
}

// tryingDelay is what RFC 3261 section 17.2.1 would let be 200 ms. With two ticks of
// the wheel it is far below the first retransmission of whoever is near.
const tryingDelay = 10 * time.Millisecond

// AwaitTrying has the user asked for a 100, if within a moment nothing answers the
// INVITE, or when that comes again. Mostly the callee's 180 is faster, and makes a
// 100 needless.
func (tx *Server) AwaitTrying() {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.invite() && tx.state == trying {
		tx.awaits = true
		tx.layer.wheel.start(&tx.retry, tryingDelay, tx)
	}
}

// stopAwaiting reports whether tx has waited for a 100. It needs the lock.
func (tx *Server) stopAwaiting() bool {
	if !tx.awaits {
		return false
	}
	tx.awaits = false
	tx.layer.wheel.stop(&tx.retry)
	return true
}

// again answers a retransmission of the request with the last response.
func (tx *Server) again() {
	tx.mu.Lock()
	b, awaited := tx.resend, tx.stopAwaiting()
	tx.mu.Unlock()
	switch {
	case awaited:
		tx.layer.user.Trying(tx)
	case b != nil:
		tx.flow.Send(b)
	}
}

// acked takes an ACK with the branch of the INVITE. It reports false if the
// ACK is one for a 2xx.
func (tx *Server) acked() bool {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	switch tx.state {
	case completed: // Timer I
		l := tx.layer
		tx.state, tx.resend = confirmed, nil
		l.settle(&tx.open)
		l.wheel.stop(&tx.retry)
		if tx.flow.Stream() {
			tx.state = terminated
			l.wheel.stop(&tx.end)
			l.forget(tx)
		} else {
			l.wheel.start(&tx.end, t4, tx)
		}
		return true
	case accepted:
		return false
	}
	return true
}

// expire is the wheel's.
func (tx *Server) expire(t *timer) {
	l := tx.layer
	tx.mu.Lock()
	var b []byte
	awaited := false
	switch {
	case !l.wheel.claim(t):
	case tx.awaits:
		awaited, tx.awaits = true, false
	case t == &tx.end:
		tx.state, tx.resend = terminated, nil
		l.wheel.stop(&tx.retry)
		l.forget(tx)
	case tx.state == completed: // Timer G
		b = tx.resend
		tx.interval = min(2*tx.interval, l.t2)
		l.wheel.start(&tx.retry, tx.interval, tx)
	}
	tx.mu.Unlock()
	switch {
	case awaited:
		l.user.Trying(tx)
	case b != nil:
		l.counters.sentAgain.Add(1)
		tx.flow.Send(b)
	}
}

// Discard forgets the transaction: the request is not answered, and a
// retransmission is a new request. It reports false, and does nothing, after a
// final response.
func (tx *Server) Discard() bool {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.state > proceeding {
		return false
	}
	tx.stopAwaiting()
	tx.state, tx.resend = terminated, nil
	tx.layer.forget(tx)
	return true
}

// Refuse answers with a final response and forgets the transaction at once, so
// that what a stranger sends costs no memory (RFC 3261 section 8.2.7). A
// retransmission is refused again; the ACK for the answer to an INVITE finds
// nothing and goes to [User.Ack]. It does nothing after a final response.
//
// An INVITE that has had a provisional response is answered with
// [Server.Respond]: its sender does not repeat it any more, so that we must
// repeat the answer until it arrives.
func (tx *Server) Refuse(status int, b []byte) {
	tx.mu.Lock()
	told := tx.invite() && tx.state == proceeding
	tx.mu.Unlock()
	if told {
		tx.Respond(status, b)
		return
	}
	if tx.Discard() {
		tx.flow.Send(b)
	}
}

// forget takes tx out of the tables. A shard's lock is taken while tx's is
// held; nobody does it the other way round.
func (l *Layer) forget(tx *Server) {
	l.settle(&tx.open)
	s := l.shardOf(tx.key)
	s.mu.Lock()
	if s.servers[tx.key] == tx {
		delete(s.servers, tx.key)
		l.counters.servers.Add(-1)
	}
	s.mu.Unlock()
	if tx.merge != 0 {
		s := l.shardOf(tx.merge)
		s.mu.Lock()
		delete(s.merged, tx.merge)
		s.mu.Unlock()
	}
}
