package relay_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transaction"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
)

// agent is a user agent on UDP that does what one must do when packets are
// lost. It calls through the proxy, and answers calls.
type agent struct {
	w    *world
	addr netip.AddrPort
	net  *transport.Layer
	tx   *transaction.Layer

	mu     sync.Mutex
	acked  map[string]bool // by Call-ID
	byes   int
	events chan string // of calls that it makes: "call 200"
}

func (w *world) agent(ctx context.Context, wg *sync.WaitGroup) *agent {
	a := &agent{w: w, addr: netip.AddrPortFrom(w.nextAddr(), 5060), acked: map[string]bool{}, events: make(chan string, 1000)}
	var err error
	a.tx, err = transaction.New(transaction.Config{User: a})
	must(w, err)
	a.net, err = transport.New(transport.Config{Handler: a})
	must(w, err)
	pc, err := w.net.NewHost(a.addr.Addr()).ListenPacket(a.addr)
	must(w, err)
	must(w, a.net.ServePacket(pc))
	wg.Go(func() { a.net.Run(ctx) })
	wg.Go(func() { a.tx.Run(ctx) })
	return a
}

func (a *agent) Message(f transport.Flow, m *sipmsg.Message) { a.tx.Handle(f, m) }
func (a *agent) Fault(_ transport.Flow, m *sipmsg.Message, err error) {
	a.w.Errorf("%v in\n%s", err, m.Raw)
}
func (a *agent) Closed(transport.Flow, error)                                     {}
func (a *agent) Stray(transport.Flow, *sipmsg.Message)                            {}
func (a *agent) Trying(*transaction.Server)                                       {}
func (a *agent) Cancel(*transaction.Server, *sipmsg.Message, *transaction.Server) {}
func (a *agent) Failed(*transaction.Client, error)                                { a.events <- "failed" }
func (a *agent) Timer(*transaction.Client)                                        {}

// Request answers calls: 180, then 200 until the ACK has come (RFC 3261 section
// 13.3.1.4).
func (a *agent) Request(tx *transaction.Server, m *sipmsg.Message) {
	ok := func() { tx.Respond(200, []byte(siptestx.Message{Text: m.Raw}.Reply(200, "callee"))) }
	if m.Method == "BYE" {
		a.mu.Lock()
		a.byes++
		a.mu.Unlock()
	}
	if m.Method != "INVITE" {
		ok()
		return
	}
	tx.Respond(180, []byte(siptestx.Message{Text: m.Raw}.Reply(180, "callee")))
	ok()
	go func() {
		for d := 500 * time.Millisecond; d < 32*time.Second; d *= 2 {
			time.Sleep(min(d, 4*time.Second))
			a.mu.Lock()
			acked := a.acked[m.CallID]
			a.mu.Unlock()
			if acked {
				return
			}
			ok()
		}
	}()
}

func (a *agent) Ack(_ transport.Flow, m *sipmsg.Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.acked[m.CallID] = true
}

// Response acknowledges each 2xx to an INVITE.
func (a *agent) Response(_ *transaction.Client, m *sipmsg.Message) {
	if m.Status < 200 {
		return
	}
	if m.CSeqMethod == "INVITE" {
		a.flow().Send(a.text("ACK", m.CallID, fmt.Sprint("z9hG4bK", nextBranch.Add(1))))
	}
	a.events <- fmt.Sprint(m.CSeqMethod, " ", m.Status)
}

var nextBranch atomic.Uint64

func (a *agent) flow() transport.Flow {
	f, _ := a.net.Find("udp", a.addr, proxyAddr)
	return f
}

func (a *agent) text(method, callID, branch string) []byte {
	to, seq := "<sip:401@a.example>;tag=callee", "1"
	switch method {
	case "INVITE":
		to = "<sip:401@a.example>"
	case "BYE":
		seq = "2"
	}
	return []byte(method + " sip:401@a.example SIP/2.0\r\nVia: SIP/2.0/UDP " + a.addr.String() + ";branch=" + branch +
		"\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=caller\r\nTo: " + to + "\r\nCall-ID: " + callID +
		"\r\nCSeq: " + seq + " " + method + "\r\nContact: <sip:a@" + a.addr.String() + ">\r\nContent-Length: 0\r\n\r\n")
}

// request sends a request, and waits for its final response.
func (a *agent) request(method, callID string) string {
	branch := fmt.Sprint("z9hG4bK", nextBranch.Add(1))
	_, err := a.tx.Request(a.flow(), method, branch, a.text(method, callID, branch), a)
	must(a.w, err)
	for e := range a.events {
		if e == "failed" || strings.HasPrefix(e, method) {
			return e
		}
	}
	return ""
}

// Calls survive a network that loses, doubles and reorders packets.
func TestLoss(t *testing.T) {
	run(t, func(w *world) {
		w.net.AddRule(simnet.Rule{Link: simnet.Link{Delay: 10 * time.Millisecond, Jitter: 30 * time.Millisecond,
			Loss: 0.05, Duplicate: 0.1, Reorder: true}})
		ctx, cancel := context.WithCancel(w.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		caller, callee := w.agent(ctx, &wg), w.agent(ctx, &wg)
		p := groups()
		p.Targets = append(p.Targets, group(&siptestx.Peer{Addr: callee.addr}))
		p.Failover = true
		w.forward(p)
		const calls = 200
		for i := range calls {
			id := fmt.Sprint("call", i)
			if got := caller.request("INVITE", id); got != "INVITE 200" {
				w.Errorf("call %d: %s", i, got)
			}
			time.Sleep(5 * time.Second) // for its ACK
			if got := caller.request("BYE", id); got != "BYE 200" {
				w.Errorf("call %d: %s", i, got)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(callee.acked) != calls || callee.byes != calls {
			w.Errorf("of %d calls the callee has %d ACKs and %d BYEs", calls, len(callee.acked), callee.byes)
		}
		if s := w.relay.Stats(); s.Transactions.Absorbed == 0 || s.Transactions.SentAgain == 0 {
			w.Errorf("nothing was lost: %+v", s)
		}
	})
}
