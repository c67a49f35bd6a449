package transaction_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transaction"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/internal/siptestx"
)

func TestNew_Faults(t *testing.T) {
	for _, cfg := range []transaction.Config{{}, {User: user{}, T1: -1}, {User: user{}, T2: -1}} {
		if l, err := transaction.New(cfg); err == nil || l != nil {
			t.Errorf("New(%+v) = %v, %v, want an error", cfg, l, err)
		}
	}
}

// everything calls all of the API that can be called, from a callback.
func (w *world) everything(pbx callee, m *sipmsg.Message, s *transaction.Server, c *transaction.Client) {
	w.tx.Stats()
	if s != nil {
		s.Attach(s.Attached())
		s.Respond(100, m.Respond(100, "Trying", ""))
		s.Respond(404, m.Respond(404, "Not Found", "a"))
		s.Refuse(404, m.Respond(404, "Not Found", "a"))
		s.Discard()
	}
	if c != nil {
		c.Flow()
		c.Cancel()
		c.After(time.Second)
		c.After(0)
		c.Abandon()
	}
	branch := fmt.Sprintf("z9hG4bK-%d", rand.Uint64())
	w.tx.Closed(transport.Flow{}, nil)
	other, err := w.tx.Request(pbx.flow, "INVITE", branch, request("INVITE", branch), new(notes))
	if err != nil { // its stream is closed
		return
	}
	other.Cancel()
	other.Abandon()
}

// caller is a ClientUser that calls everything.
type caller struct {
	w     *world
	pbx   callee
	calls atomic.Int32
}

func (u *caller) Response(c *transaction.Client, m *sipmsg.Message) {
	u.calls.Add(1)
	u.w.everything(u.pbx, m, nil, c)
}

func (u *caller) Failed(c *transaction.Client, _ error) {
	u.calls.Add(1)
	u.w.everything(u.pbx, nil, nil, c)
}

func (u *caller) Timer(c *transaction.Client) {
	u.calls.Add(1)
	u.w.everything(u.pbx, nil, nil, c)
}

// R32: no callback runs under a lock, so that each may call everything.
func TestCallbacks_WithoutLocks(t *testing.T) {
	onBoth(t, func(w *world, pbx callee) {
		calls := 0
		w.request = func(tx *transaction.Server, m *sipmsg.Message) { calls++; w.everything(pbx, m, tx, nil) }
		w.cancel = func(tx *transaction.Server, m *sipmsg.Message, invite *transaction.Server) {
			calls++
			w.everything(pbx, m, invite, nil)
			w.everything(pbx, m, tx, nil)
		}
		w.ack = func(_ transport.Flow, m *sipmsg.Message) { calls++; w.everything(pbx, m, nil, nil) }
		w.stray = func(_ transport.Flow, m *sipmsg.Message) { calls++; w.everything(pbx, m, nil, nil) }
		phone := siptestx.UDP(w, w.phone, 5060)
		for _, method := range []string{"OPTIONS", "INVITE", "CANCEL", "ACK"} {
			phone.Send(proxyAddr, phone.Request(method, aliceCalls))
		}
		phone.Send(proxyAddr, siptestx.Message{Text: phone.Request("OPTIONS", aliceCalls)}.Reply(200, "a"))
		phone.Collect(time.Second)
		if calls != 5 {
			w.Errorf("%d calls of the user, want 5", calls)
		}
		u := &caller{w: w, pbx: pbx}
		do := func(method string) *transaction.Client {
			branch := fmt.Sprintf("z9hG4bK-%s-%d", method, rand.Uint64())
			c, err := w.tx.Request(pbx.flow, method, branch, request(method, branch), u)
			must(w, err)
			return c
		}
		do("MESSAGE")
		do("SUBSCRIBE").After(time.Second)
		do("NOTIFY")
		for range 40 {
			for _, m := range pbx.Collect(time.Second) {
				if m.Method() == "MESSAGE" {
					pbx.Reply(m, 200, "a")
				}
			}
		}
		do("PUBLISH")
		if pbx.flow.Stream() {
			pbx.Close()
		}
		time.Sleep(time.Minute)
		if got := u.calls.Load(); got != 4 {
			w.Errorf("%d calls of the client's user, want 4", got)
		}
	})
}

// R30, R32: timers, messages and the user's calls at the same time leave
// nothing behind. It is for the race detector.
func TestConcurrent(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.callee()
		var mu sync.Mutex
		var invites []*transaction.Server
		w.request = func(tx *transaction.Server, m *sipmsg.Message) {
			mu.Lock()
			invites = append(invites, tx)
			mu.Unlock()
			go tx.Respond(180, m.Respond(180, "Ringing", "a"))
			go tx.Respond(486, m.Respond(486, "Busy Here", "a"))
		}
		w.cancel = func(tx *transaction.Server, m *sipmsg.Message, invite *transaction.Server) {
			go tx.Respond(200, m.Respond(200, "OK", "a"))
			if invite != nil {
				go invite.Respond(487, m.Respond(487, "Request Terminated", "a"))
			}
		}
		flows := []transport.Flow{w.udp(pbx.Peer)}
		for port := range uint16(3) {
			f, _ := w.transport.Find("udp", proxyAddr, addrPort(phoneAddr, 6000+port))
			flows = append(flows, f)
		}
		for round := range 50 {
			w.storm(flows, fmt.Sprint(round))
			time.Sleep(time.Duration(rand.IntN(2000)) * time.Millisecond)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, tx := range invites {
			tx.Discard()
		}
	})
}

// storm hands the messages of a call to the layer from several goroutines.
func (w *world) storm(flows []transport.Flow, id string) {
	branch := "z9hG4bKs" + id
	phone := siptestx.Message{Text: string(request("INVITE", branch, "Call-ID: "+id))}
	var texts []string
	for _, method := range []string{"INVITE", "CANCEL", "ACK", "INVITE"} {
		texts = append(texts, string(request(method, branch, "Call-ID: "+id)))
	}
	for _, status := range []int{100, 180, 200, 486, 503, 200} {
		texts = append(texts, phone.Reply(status, "t"))
	}
	c, _ := w.send(callee{flow: flows[0]}, "INVITE", branch)
	var wg sync.WaitGroup
	for _, f := range flows {
		wg.Go(func() {
			for _, i := range rand.Perm(len(texts)) {
				m, err := sipmsg.Parse(texts[i])
				must(w, err)
				w.tx.Handle(f, m)
				time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
			}
		})
	}
	wg.Go(func() { c.After(20 * time.Millisecond); c.Cancel(); c.After(40 * time.Millisecond) })
	wg.Wait()
	synctest.Wait()
}

// Run returns nil when its context ends, and what it leaves can still be used.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := transaction.New(transaction.Config{User: user{&world{T: t}}})
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := l.Run(ctx); err != nil {
			t.Errorf("Run returns %v", err)
		}
	})
}
