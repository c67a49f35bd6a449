package hep_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/internal/hep"
)

// collector plays a collector, and what leads to it.
type collector struct {
	t       *testing.T
	blocked chan struct{} // nil, or closed: it takes what comes

	mu   sync.Mutex
	err  error // of the look-up
	deaf error // of writing
	name string
	got  []string // each with the name that it came to
	open int
}

// way is one that was opened.
type way struct {
	*collector
	name string
}

func (c *collector) dial(ctx context.Context, to string) (io.WriteCloser, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if to != "homer.test:9060" {
		c.t.Errorf("dialed %q", to)
	}
	if _, ok := ctx.Deadline(); !ok {
		c.t.Error("a look-up may take for ever")
	}
	if c.err != nil {
		return nil, c.err
	}
	c.open++
	return &way{c, c.name}, nil
}

func (w *way) Write(b []byte) (int, error) {
	if w.blocked != nil {
		<-w.blocked
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.deaf != nil {
		return 0, w.deaf
	}
	w.got = append(w.got, w.name+decode(w.t, b).Payload)
	return len(b), nil
}

func (w *way) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open--
	return nil
}

// change does something to c.
func (c *collector) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// mirrored calls f with a running Mirror, and returns its statistics at the end,
// when c must have no way left.
func mirrored(t *testing.T, c *collector, log io.Writer, f func(m *hep.Mirror)) hep.Stats {
	t.Helper()
	m := hep.New(hep.Config{To: "homer.test:9060", Dial: c.dial, Logger: slog.New(slog.NewTextHandler(log, nil))})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	f(m)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if c.open != 0 {
		t.Errorf("%d ways are open", c.open)
	}
	return m.Stats()
}

func packet(text string) hep.Packet {
	return hep.Packet{Time: noon, Source: phone, Destination: proxy, Message: text}
}

// TestMirror_Order: what is added is sent in that order, what waits at the end too.
func TestMirror_Order(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &collector{t: t}
		var want []string
		st := mirrored(t, c, io.Discard, func(m *hep.Mirror) {
			m.Add(packet("first"))
			synctest.Wait()
			for i := range 100 {
				m.Add(packet(fmt.Sprint(i)))
				want = append(want, fmt.Sprint(i))
			}
		})
		if diff := cmp.Diff(append([]string{"first"}, want...), c.got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if st != (hep.Stats{Sent: 101}) {
			t.Errorf("got %+v", st)
		}
	})
}

// TestMirror_Full: nobody waits for a collector that takes nothing, and what waits
// for it is bounded in number and in bytes.
func TestMirror_Full(t *testing.T) {
	for _, tt := range []struct {
		name    string
		message string
		waiting int
	}{
		{"number", "x", hep.MaxQueue},
		{"bytes", strings.Repeat("x", 60_000), hep.MaxBytes / 60_000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &collector{t: t, blocked: make(chan struct{})}
				const more = 10
				st := mirrored(t, c, io.Discard, func(m *hep.Mirror) {
					m.Add(packet("in hand"))
					synctest.Wait()
					for range tt.waiting + more {
						m.Add(packet(tt.message))
					}
					if st := m.Stats(); st != (hep.Stats{Waiting: tt.waiting, Dropped: more}) {
						t.Errorf("got %+v", st)
					}
					close(c.blocked)
					synctest.Wait()
					m.Add(packet("there is room again"))
					synctest.Wait()
				})
				if want := (hep.Stats{Sent: uint64(tt.waiting) + 2, Dropped: more}); st != want {
					t.Errorf("got %+v, want %+v", st, want)
				}
			})
		})
	}
}

// TestMirror_Collector: one that cannot be found, or does not listen, costs packets
// and a line a minute; another address of its name is found out, and the old one is
// kept if there is none.
func TestMirror_Collector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &collector{t: t, err: errors.New("no such host")}
		var log strings.Builder
		st := mirrored(t, c, &log, func(m *hep.Mirror) {
			step := func(text string) {
				m.Add(packet(text))
				synctest.Wait()
				time.Sleep(20 * time.Second)
			}
			step("1") // 0 s, lost
			step("2") // 20 s, lost
			c.change(func() { c.err, c.name = nil, "A" })
			step("3") // 40 s, looked up again
			c.change(func() { c.name = "B" })
			step("4") // 60 s
			step("5") // 80 s, looked up again
			c.change(func() { c.err = errors.New("no such host") })
			step("6") // 100 s
			step("7") // 120 s, in vain: the old one stays
			c.change(func() { c.deaf = errors.New("connection refused") })
			step("8") // 140 s, lost
			step("9") // 160 s, lost, and looked up in vain
			c.change(func() { c.deaf = nil })
			step("10")
		})
		if diff := cmp.Diff([]string{"A3", "A4", "B5", "B6", "B7", "B10"}, c.got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if st != (hep.Stats{Sent: 6, Dropped: 4}) {
			t.Errorf("got %+v", st)
		}
		if n := strings.Count(log.String(), "\n"); n != 2 { // at 0 and 120 s
			t.Errorf("%d lines in the log\n%s", n, &log)
		}
	})
}

// TestMirror_UDP: by default it is UDP.
func TestMirror_UDP(t *testing.T) {
	c := listen(t)
	m := hep.New(hep.Config{To: c.LocalAddr().String(), Agent: 7})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	m.Add(packet("OPTIONS x"))
	buf := make([]byte, 1<<16)
	c.SetReadDeadline(time.Now().Add(10 * time.Second)) // only if the test fails
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if p := decode(t, buf[:n]); p.Payload != "OPTIONS x" || p.Agent != 7 {
		t.Errorf("got %+v", p)
	}
	cancel()
	<-done
}
