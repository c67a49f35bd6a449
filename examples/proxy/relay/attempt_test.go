package relay_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/transaction"
)

// attempts is what all attempts of a plan were told, in order.
type attempts struct {
	mu   sync.Mutex
	list []string
}

// begin is the Begin of a plan.
func (a *attempts) begin(t *relay.Target) relay.Attempt {
	return &attempt{a, t.Remote.Addr().String()}
}

func (a *attempts) add(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, fmt.Sprintf(format, args...))
}

type attempt struct {
	all *attempts
	to  string
}

func (a *attempt) Report(status int, err error) {
	if errors.Is(err, transaction.ErrTimeout) {
		err = errors.New("timeout")
	}
	a.all.add("%s: %d %v", a.to, status, err)
}

func (a *attempt) End() { a.all.add("%s: end", a.to) }

// TestPlan_Begin: each branch tells once how its target does, and once that it
// has ended.
func TestPlan_Begin(t *testing.T) {
	const first, second = "203.0.113.20", "203.0.113.21"
	for name, tt := range map[string]struct {
		play func(w *world)
		want []string
	}{
		"answered": {func(w *world) {
			w.forward(w.watched(1))
			w.send("OPTIONS")
			w.servers[0].Reply(w.servers[0].Expect("OPTIONS"), 404, "a")
			w.phone.Status(404)
		}, []string{first + ": 404 <nil>", first + ": end"}},
		"provisional": {func(w *world) {
			w.forward(w.watched(1))
			text := w.send("INVITE")
			m := w.servers[0].Expect("INVITE")
			w.servers[0].Reply(m, 100, "")
			w.servers[0].Reply(m, 503, "a")
			w.servers[0].Expect("ACK")
			w.ack(text, w.phone.Status(503))
		}, []string{first + ": 100 <nil>", first + ": end"}},
		"silent": {func(w *world) {
			w.forward(w.watched(2))
			text := w.send("INVITE")
			w.phone.Status(100)
			w.servers[1].Reply(w.servers[1].Expect("INVITE"), 486, "b")
			w.servers[1].Expect("ACK")
			w.ack(text, w.phone.Status(486))
		}, []string{first + ": 0 timeout", first + ": end", second + ": 486 <nil>", second + ": end"}},
		"both answer": {func(w *world) { // P-34
			w.forward(w.watched(2))
			w.send("OPTIONS")
			late, m := w.servers[0].Expect("OPTIONS"), w.servers[1].Expect("OPTIONS")
			w.servers[0].Drain()
			w.servers[0].Reply(late, 200, "a")
			w.phone.Status(200)
			w.servers[1].Reply(m, 200, "b")
		}, []string{first + ": 0 timeout", first + ": end", second + ": 200 <nil>", second + ": end"}},
		"canceled": {func(w *world) {
			w.forward(w.watched(1))
			text := w.send("INVITE")
			w.phone.Status(100)
			w.servers[0].Expect("INVITE")
			w.phone.Send(proxyAddr, another("CANCEL", text))
			w.phone.Status(200)
			w.ack(text, w.phone.Status(487))
		}, []string{first + ": end"}},
		"no way": {func(w *world) {
			p := w.watched(1)
			p.Targets[0][0].Network = "pigeon"
			w.forward(p)
			w.send("OPTIONS")
			w.phone.Status(503)
		}, []string{first + ": 0 ", first + ": end"}},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(w *world) {
				tt.play(w)
				time.Sleep(5 * time.Minute)
				w.watch.mu.Lock()
				defer w.watch.mu.Unlock()
				same := func(got, want string) bool {
					return got == want || len(want) > 2 && want[len(want)-1] == ' ' && got[:len(want)] == want
				}
				if !slices.EqualFunc(w.watch.list, tt.want, same) {
					t.Errorf("got %q, want %q", w.watch.list, tt.want)
				}
			})
		})
	}
}

// watched returns a plan with n servers, tried one after the other.
func (w *world) watched(n int) relay.Plan {
	for range n {
		w.servers = append(w.servers, w.server())
	}
	p := failover(w.servers...)
	p.Begin = w.watch.begin
	return p
}

// TestOptions: the proxy's own OPTIONS is a complete request, and tells what came
// of it once.
func TestOptions(t *testing.T) {
	run(t, func(w *world) {
		alive, dead := w.server(), w.server()
		type answer struct {
			status int
			err    error
		}
		answers := make(chan answer, 3)
		done := func(status int, err error) { answers <- answer{status, err} }
		w.relay.OptionsTo("udp", noAddr, alive.Addr, "sip:pbx.example", done)
		m := alive.Expect("OPTIONS")
		if m.URI() != "sip:pbx.example" || m.Get("Max-Forwards") == "" || m.Get("Call-ID") == "" || m.Get("Contact") == "" {
			t.Errorf("it sends\n%s", m.Text)
		}
		alive.Reply(m, 100, "")
		alive.Reply(m, 200, "x")
		if a := <-answers; a.status != 200 || a.err != nil {
			t.Errorf("%+v", a)
		}
		w.relay.OptionsTo("udp", noAddr, dead.Addr, "sip:dead.example", done)
		if a := <-answers; !errors.Is(a.err, transaction.ErrTimeout) {
			t.Errorf("%+v", a)
		}
		abandon := w.relay.OptionsTo("udp", noAddr, dead.Addr, "sip:dead.example", done)
		abandon()
		time.Sleep(time.Minute)
		if n := len(answers); n != 0 {
			t.Errorf("%d answers to what was abandoned", n)
		}
		w.relay.OptionsTo("pigeon", noAddr, netip.MustParseAddrPort("203.0.113.99:5060"), "sip:nobody", done)
		if a := <-answers; a.err == nil {
			t.Errorf("%+v", a)
		}
	})
}
