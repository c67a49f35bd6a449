package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/internal/mysqltest"
)

// went returns what the dispatcher tells of a PBX of set 10.
func went(uri string, to dispatcher.State) dispatcher.Event {
	from := dispatcher.Active
	if to == from {
		from = dispatcher.Probing
	}
	return dispatcher.Event{Destination: dispatcher.Destination{SetID: 10, URI: uri, State: to}, From: from, To: to}
}

// TestTeller_Merges: of each PBX what is told is the latest state, by when it
// changed first, and nothing of one that is again what it was.
func TestTeller_Merges(t *testing.T) {
	const up, down = dispatcher.Active, dispatcher.Probing
	elsewhere := went("a", down)
	elsewhere.SetID = 20
	socket := went("a", down)
	socket.Socket = "udp:10.0.0.1:5060"
	again := went("a", down)
	again.From, again.Cause = dispatcher.Inactive, "again" // a state that no event has today
	merged := again
	merged.From = up
	for _, tt := range []struct {
		name      string
		add, want []dispatcher.Event
	}{
		{"one", []dispatcher.Event{went("a", down)}, []dispatcher.Event{went("a", down)}},
		{"and back", []dispatcher.Event{went("a", down), went("a", up)}, nil},
		{"and down again", []dispatcher.Event{went("a", down), went("b", down), went("a", up), went("a", down)}, []dispatcher.Event{went("b", down), went("a", down)}},
		{"the latest", []dispatcher.Event{went("a", down), went("b", down), again}, []dispatcher.Event{merged, went("b", down)}},
		{"others", []dispatcher.Event{went("a", down), elsewhere, socket, went("b", up), went("a", up)}, []dispatcher.Event{elsewhere, socket, went("b", up)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			to := newTeller("", nil, nil)
			for _, e := range tt.add {
				to.add(e)
			}
			var got []dispatcher.Event
			for e, ok := to.next(); ok; e, ok = to.next() {
				got = append(got, e)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestTransitions_Slow: whoever is told slowly is told in the end what holds, of
// however many PBXes, and keeps nobody waiting.
func TestTransitions_Slow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const count = 600
		release := make(chan struct{})
		var slow, quick told
		log := slog.New(slog.DiscardHandler)
		tr := &transitions{proxy: &Proxy{log: log}, tellers: []*teller{
			newTeller("slow", func(ctx context.Context, e dispatcher.Event) error {
				<-release
				return slow.note(ctx, e)
			}, log),
			newTeller("quick", quick.note, log),
		}}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { tr.run(ctx) })
		all := func(to dispatcher.State, step int) {
			for i := 0; i < count; i += step {
				tr.add(went(fmt.Sprint("sip:", i), to))
			}
			synctest.Wait()
		}
		all(dispatcher.Probing, 1)
		if n := quick.down(); n != count {
			t.Errorf("while another one is told, %d are told to be down", n)
		}
		all(dispatcher.Active, 1)
		all(dispatcher.Probing, 3)
		close(release)
		synctest.Wait()
		for who, to := range map[string]*told{"slow": &slow, "quick": &quick} {
			for i := range count {
				if uri, down := fmt.Sprint("sip:", i), i%3 == 0; (to.last[uri] == dispatcher.Probing) != down {
					t.Errorf("%s: %s is told to be %v", who, uri, to.last[uri])
				}
			}
		}
		if slow.times > count/2 {
			t.Errorf("the slow one is told %d times", slow.times)
		}
		cancel()
		running.Wait()
	})
}

// told is what a teller has told.
type told struct {
	times int
	last  map[string]dispatcher.State
}

func (t *told) note(_ context.Context, e dispatcher.Event) error {
	if t.last == nil {
		t.last = map[string]dispatcher.State{}
	}
	t.times++
	t.last[e.URI] = e.To
	return nil
}

// down returns how many PBXes are down.
func (t *told) down() (n int) {
	for _, state := range t.last {
		if state == dispatcher.Probing {
			n++
		}
	}
	return n
}

// TestTransitions_Webhook: what happened is told in JSON, and a hook that fails
// is an error and not a panic.
func TestTransitions_Webhook(t *testing.T) {
	var got transition
	status := http.StatusNoContent
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		w.WriteHeader(status)
	}))
	defer server.Close()
	p := &Proxy{cfg: &config.Config{}, log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	p.cfg.Dispatcher.Webhook = config.WebURL(server.URL)
	e := dispatcher.Event{
		Destination: dispatcher.Destination{SetID: 10, URI: "sip:10.0.1.10"},
		From:        dispatcher.Active, To: dispatcher.Probing, Cause: "probe: timeout", At: time.Unix(1_700_000_000, 0).UTC(),
	}
	hooks := newTransitions(p)
	if err := hooks.post(context.Background(), e); err != nil {
		t.Fatal(err)
	}
	if want := (transition{10, "sip:10.0.1.10", "active", "probing", "probe: timeout", e.At}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	status = http.StatusTeapot
	if err := hooks.post(context.Background(), e); err == nil || !strings.Contains(err.Error(), "418") {
		t.Errorf("a hook that fails: %v", err)
	}
}

// TestTransitions_WriteState: the table learns it, but never over what an
// operator has set.
func TestTransitions_WriteState(t *testing.T) {
	db := mysqltest.DB(t)
	createTables(t, db)
	exec(t, db, "INSERT INTO dispatcher (setid, destination, state) VALUES (10, 'sip:10.0.1.10', 0), (10, 'sip:10.0.1.11', 1)")
	p := &Proxy{cfg: &config.Config{}, log: slog.New(slog.NewTextHandler(io.Discard, nil)), db: db}
	p.cfg.Dispatcher.WriteState = true
	p.state.Store(&state{rows: map[string]bool{"sip:10.0.1.10": true, "sip:10.0.1.11": true}})
	hooks := newTransitions(p)
	var states []int
	for _, uri := range []string{"sip:10.0.1.10", "sip:10.0.1.11", "sip:10.0.1.12"} {
		e := dispatcher.Event{Destination: dispatcher.Destination{SetID: 10, URI: uri}, To: dispatcher.Probing}
		if err := hooks.write(t.Context(), e); err != nil {
			t.Error(err)
		}
	}
	for id := range 2 {
		var state int
		if err := db.QueryRow("SELECT state FROM dispatcher WHERE destination = ?", fmt.Sprintf("sip:10.0.1.%d", 10+id)).Scan(&state); err != nil {
			t.Fatal(err)
		}
		states = append(states, state)
	}
	if !slices.Equal(states, []int{2, 1}) {
		t.Errorf("states %v, want 2 and 1", states)
	}
}

// TestTransitions_WebhookHangs: the table learns it while the webhook hangs.
func TestTransitions_WebhookHangs(t *testing.T) {
	db := mysqltest.DB(t)
	createTables(t, db)
	exec(t, db, "INSERT INTO dispatcher (setid, destination, state) VALUES (10, 'sip:10.0.1.10', 0), (10, 'sip:10.0.1.11', 0)")
	var late atomic.Bool
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then it is seen that the proxy gives up
		select {
		case <-release:
		case <-r.Context().Done():
			late.Store(true)
		}
	}))
	defer server.Close()
	p := &Proxy{cfg: &config.Config{}, log: slog.New(slog.DiscardHandler), db: db}
	p.cfg.Dispatcher.WriteState, p.cfg.Dispatcher.Webhook = true, config.WebURL(server.URL)
	p.state.Store(&state{rows: map[string]bool{"sip:10.0.1.10": true, "sip:10.0.1.11": true}})
	hooks := newTransitions(p)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { hooks.run(ctx) })
	for _, uri := range []string{"sip:10.0.1.10", "sip:10.0.1.11"} {
		hooks.add(went(uri, dispatcher.Probing))
	}
	for n := 0; n < 2; {
		if err := db.QueryRow("SELECT COUNT(*) FROM dispatcher WHERE state = 2").Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	if late.Load() {
		t.Error("the table is written after the webhook")
	}
	close(release)
	cancel()
	running.Wait()
}
