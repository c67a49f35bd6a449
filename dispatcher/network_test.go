package dispatcher_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sipward/sipward/dispatcher"
)

const interval = 30 * time.Second // of probes, unless a test says otherwise

var errNoAnswer = errors.New("no answer")

// network is where probes go to: PBXes by their URI. Those that are not there
// answer 200.
type network struct {
	mu      sync.Mutex
	answers map[string]int // 0 does not answer
	pings   map[string][]time.Time
	events  []dispatcher.Event
}

// Ping waits for an answer as long as the Dispatcher does.
func (n *network) Ping(ctx context.Context, d dispatcher.Destination) (int, error) {
	n.mu.Lock()
	n.pings[d.URI] = append(n.pings[d.URI], time.Now())
	status, ok := n.answers[d.URI]
	n.mu.Unlock()
	if !ok {
		return 200, nil
	}
	if status == 0 {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return status, nil
}

// set says how a PBX answers from now on.
func (n *network) set(uri string, status int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answers[uri] = status
}

// take returns the events since the last call.
func (n *network) take() []dispatcher.Event {
	n.mu.Lock()
	defer n.mu.Unlock()
	events := n.events
	n.events = nil
	return events
}

// probed returns when each PBX was since the last call.
func (n *network) probed() map[string][]time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	pings := n.pings
	n.pings = map[string][]time.Time{}
	return pings
}

// watch returns a Dispatcher that probes a network until the test ends. It is
// for a bubble of synctest.
func watch(t *testing.T, cfg dispatcher.Config, dst []dispatcher.Destination) (*dispatcher.Dispatcher, *network) {
	n := &network{answers: map[string]int{}, pings: map[string][]time.Time{}}
	cfg.Ping = n.Ping
	cfg.OnTransition = func(e dispatcher.Event) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.events = append(n.events, e)
	}
	d := dispatcher.New(cfg)
	update(t, d, dst)
	run(t, d)
	return d, n
}

// run runs d until the test ends.
func run(t *testing.T, d *dispatcher.Dispatcher) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := d.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}
