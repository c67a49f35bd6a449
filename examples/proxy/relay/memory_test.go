package relay_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
	"weak"

	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/internal/siptestx"
)

// kept knows messages without keeping them: the object and its text.
type kept struct {
	messages []weak.Pointer[sipmsg.Message]
	texts    []weak.Pointer[byte]
}

func (k *kept) add(m *sipmsg.Message) {
	k.messages = append(k.messages, weak.Make(m))
	k.texts = append(k.texts, weak.Make(unsafe.StringData(m.Raw)))
}

// left returns how many messages and texts are in memory.
func (k *kept) left() (messages, texts int) {
	synctest.Wait()
	for range 3 { // a sync.Pool is empty after two
		runtime.GC()
	}
	for i := range k.messages {
		if k.messages[i].Value() != nil {
			messages++
		}
		if k.texts[i].Value() != nil {
			texts++
		}
	}
	return messages, texts
}

// R60: the request, and the answers that were not chosen, are let go when the
// request has its final response, though the transaction lives for 64*T1.
func TestMemory_MessagesAreReleased(t *testing.T) {
	for _, status := range []int{200, 486, 404} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			run(t, func(w *world) {
				a, b := w.server(), w.server()
				var k kept
				w.seen = k.add
				w.onRoute(func(c *relay.Context) {
					p := relay.Plan{Targets: [][]relay.Target{group(a, b)}, RecordRoute: true}
					for i := range p.Targets[0] {
						p.Targets[0][i].RequestURI = c.RequestURI // a view into the message
						p.Targets[0][i].Route = c.NextRoute
					}
					c.Forward(p)
				})
				w.send("INVITE", "Route: <sip:192.0.2.1;lr>, <sip:x;lr>")
				ma, mb := a.Expect("INVITE"), b.Expect("INVITE")
				a.Reply(ma, 180, "a")
				b.Reply(mb, 180, "b")
				if messages, _ := k.left(); messages == 0 {
					w.Fatal("the request is gone while it is needed")
				}
				a.Reply(ma, 486, "a")
				synctest.Wait()
				b.Reply(mb, status, "b")
				if messages, texts := k.left(); messages != 0 || texts != 0 {
					w.Errorf("of %d messages, %d are kept, and the text of %d", len(k.messages), messages, texts)
				}
				if s := w.relay.Stats().Transactions; s.Servers != 1 {
					w.Errorf("%d server transactions, want 1", s.Servers)
				}
			})
		})
	}
}

// What is refused or dropped leaves nothing at all.
func TestMemory_Refused(t *testing.T) {
	run(t, func(w *world) {
		var k kept
		w.seen = k.add
		w.onRoute(func(c *relay.Context) {
			if c.Message.Method == "INVITE" {
				c.Refuse(403, "Forbidden")
			} else {
				c.Drop()
			}
		})
		for range 10 {
			w.send("INVITE")
			w.send("OPTIONS")
		}
		if messages, texts := k.left(); messages != 0 || texts != 0 || len(k.messages) != 20 {
			w.Errorf("of %d messages, %d are kept, and the text of %d", len(k.messages), messages, texts)
		}
		w.gone()
	})
}

// ringing returns n phones on TCP, each with a goroutine of its own in the
// proxy, that ring for an INVITE of the phone.
func (w *world) ringing(n int) (phones []*siptestx.Peer, invites []siptestx.Message, invite string) {
	w.Helper()
	var targets []relay.Target
	for range n {
		l := siptestx.Listen(w, w.net.NewHost(w.nextAddr()), 5060)
		flow, err := w.transport.Dial("tcp", noAddr, l.Addr)
		must(w, err)
		phones, targets = append(phones, l.Accept()), append(targets, relay.Target{Flow: flow})
	}
	synctest.Wait()
	w.forward(relay.Plan{Targets: [][]relay.Target{targets}})
	invite = w.send("INVITE")
	w.phone.Status(100)
	for _, p := range phones {
		invites = append(invites, p.Expect("INVITE"))
	}
	return phones, invites, invite
}

// R27, R32: events of one request that come in several goroutines at once are
// handled one after the other. It is for the race detector, too.
func TestConcurrent(t *testing.T) {
	for round := range 20 {
		run(t, func(w *world) {
			phones, invites, invite := w.ringing(8)
			start := make(chan struct{})
			for i, p := range phones {
				go func() {
					<-start
					p.Reply(invites[i], 180, "a")
					p.Reply(invites[i], []int{200, 486, 603, 503, 200, 408, 404, 401}[i], fmt.Sprint(i), "Contact: <sip:a@b>")
				}()
			}
			go func() {
				<-start
				if round%2 == 0 {
					w.phone.Send(proxyAddr, another("CANCEL", invite))
				}
				w.phone.Send(proxyAddr, invite)
				w.relay.Stats()
			}()
			close(start)
			time.Sleep(time.Second)
			finals := map[int]int{}
			for _, m := range w.phone.Drain() {
				if m.Status() >= 200 && m.Get("CSeq") == "1 INVITE" {
					finals[m.Status()]++
					if m.Status() >= 300 {
						w.ack(invite, m)
					}
				}
			}
			if len(finals) != 1 || finals[200] != 2 { // both are calls (RFC 3261 section 16.7 step 5)
				w.Errorf("the phone gets the final answers %v", finals)
			}
			for i, p := range phones {
				for _, m := range p.Drain() {
					if m.Method() == "CANCEL" {
						p.Reply(m, 200, "a")
						p.Reply(invites[i], 487, "a") // some have answered before
					}
				}
			}
			if got := w.results(); len(got) != 1 || got[0].Status != 200 {
				w.Errorf("results %+v, want one", got)
			}
		})
	}
}

// The connections of several phones break while they are called.
func TestConcurrent_Closed(t *testing.T) {
	run(t, func(w *world) {
		phones, invites, invite := w.ringing(8)
		for i, p := range phones {
			go func() {
				if i%2 == 0 {
					p.Reply(invites[i], 180, "a")
				}
				p.Close()
			}()
		}
		time.Sleep(time.Second)
		for _, m := range w.phone.Drain() {
			if m.Status() >= 200 {
				w.ack(invite, m)
			}
		}
		if got := w.results(); len(got) != 1 || got[0].Status != 480 {
			w.Errorf("results %+v, want 480", got)
		}
	})
}
