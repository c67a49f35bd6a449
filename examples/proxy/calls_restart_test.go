package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/acct"
	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// TestCalls_Killed: calls that are up go on over the death of the proxy and end
// with their BYE, those that ring are closed, those that are over are not begun
// again. Each has one record.
func TestCalls_Killed(t *testing.T) {
	for name, restart := range map[string]func(*world, *ledger){
		"killed":    func(_ *world, l *ledger) { l.kill() },
		"restarted": func(w *world, _ *ledger) { w.restart() },
	} {
		t.Run(name, func(t *testing.T) {
			inLedger(t, threeTenants, func(w *world, l *ledger) {
				one, two, three := w.public("401", "a.test"), w.public("402", "a.test"), w.public("403", "a.test")
				first, second := one.at(w.a), two.at(w.a)
				three.at(w.a)
				up, silent := l.incoming(w.a, first, one), l.incoming(w.a, second, two)
				up.answer()
				silent.answer()
				over := l.outgoing(three, w.a)
				over.answer()
				rings := l.outgoing(three, w.a)
				rings.ring()
				time.Sleep(time.Minute)
				l.want(over.hangUp(over.callee))
				restart(w, l)
				rings.Ended = time.Now().UTC()
				l.want()
				time.Sleep(time.Minute)
				rings.Code, rings.Reason, rings.Cause, rings.End = 408, "Request Timeout", acct.TimedOut, acct.Restarted
				rings.Rang, rings.Attempts, rings.Destination = time.Time{}, 0, noAddr // the journal has it as it began
				l.want(rings.Record)
				up.caller.exchange(up.callee, "UPDATE")
				l.want(up.hangUp(up.callee))
				time.Sleep(l.timeout)
				silent.Ended, silent.Cause, silent.End = silent.Answered, acct.Lost, acct.Timeout
				l.want(silent.Record)
				w.a.Drain() // what the call that rang when the proxy died still got
				three.Drain()
			})
		})
	}
}

// TestCalls_AnsweredMeanwhile: a call that was answered while no proxy was there
// is up for the next one when its ACK comes.
func TestCalls_AnsweredMeanwhile(t *testing.T) {
	inLedger(t, threeTenants, func(w *world, l *ledger) {
		ph := w.public("401", "a.test")
		ph.at(w.a)
		d := l.outgoing(ph, w.a)
		d.ring()
		d.accept("callee")
		l.mu.Lock()
		l.records = nil
		l.mu.Unlock()
		time.Sleep(time.Second)
		l.kill()
		time.Sleep(time.Minute)
		d.caller.ack(d.callee)
		l.want(d.hangUp(d.caller))
	})
}

// TestCalls_DatabaseAway: records wait on the disk while their database is away,
// over restarts, and come once and in their order.
func TestCalls_DatabaseAway(t *testing.T) {
	inLedger(t, threeTenants, func(w *world, l *ledger) {
		ph := w.public("401", "a.test")
		uri := ph.at(w.a)
		l.fail(errLedger)
		var want []acct.Record
		for i := range 20 {
			d := l.incoming(w.a, uri, ph)
			if i%2 == 0 {
				want = append(want, d.refuse(486, acct.Busy))
			} else {
				d.answer()
				time.Sleep(time.Minute)
				want = append(want, d.hangUp(d.callee))
			}
			if i == 10 {
				l.kill()
				ph.at(w.a)
			}
		}
		l.want()
		l.fail(nil)
		time.Sleep(time.Minute)
		l.want(want...)
	})
}

// TestNewCalls_Left: what a process has left that is gone is taken up by the next
// one on the same socket; what belongs to one that runs is not.
func TestNewCalls_Left(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		written := map[string]int{}
		cfg := callsConfig{
			Dir: filepath.Join(t.TempDir(), "calls"), DialogTimeout: time.Hour, Log: slog.New(slog.DiscardHandler),
			Sinks: sinks("test", func(_ context.Context, records []acct.Record) error {
				mu.Lock()
				defer mu.Unlock()
				for _, r := range records {
					written[r.CallID]++
				}
				return nil
			}),
		}
		first, second := runCalls(t, cfg), runCalls(t, cfg)
		for i, c := range []*running{first, second} {
			c.journals[0].Begin(acct.Invite{CallID: []string{"one", "two"}[i], FromTag: "f"}).Answer(acct.Answer{ToTag: "t", Code: 200})
		}
		second.end(t)
		third := runCalls(t, cfg) // takes the place of the second
		first.end(t)
		third.end(t)
		fourth := runCalls(t, cfg)
		if n := len(fourth.journals); n != 2 || fourth.stats().Open != 2 {
			t.Errorf("%d journals, %+v", n, fourth.stats())
		}
		if fourth.journals[0].node == fourth.journals[1].node || fourth.journals[0].node != first.journals[0].node {
			t.Error("a journal has not kept its name, or not for itself")
		}
		for _, id := range []string{"one", "two"} {
			fourth.inDialog(&sipmsg.Message{Method: "BYE", CallID: id, FromTag: "t", ToTag: "f"})
		}
		synctest.Wait()
		fourth.end(t)
		if fifth := runCalls(t, cfg); len(fifth.journals) != 1 {
			t.Errorf("%d journals though one is empty", len(fifth.journals))
		} else {
			fifth.end(t)
		}
		if written["one"] != 1 || written["two"] != 1 {
			t.Errorf("written: %v", written)
		}
	})
}

// TestCalls_Close: the end of the program waits for a database that is away, but
// not long, and nothing is lost.
func TestCalls_Close(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failure error = errLedger
		written := 0
		cfg := callsConfig{
			Dir: filepath.Join(t.TempDir(), "calls"), DialogTimeout: time.Hour, Log: slog.New(slog.DiscardHandler),
			Sinks: sinks("test", func(_ context.Context, records []acct.Record) error {
				if failure == nil {
					written += len(records)
				}
				return failure
			}),
		}
		c := runCalls(t, cfg)
		c.journals[0].Begin(acct.Invite{CallID: "one", FromTag: "f"}).Fail(486, "Busy Here")
		synctest.Wait()
		c.stop()
		start := time.Now()
		if err := c.close(); err == nil || !strings.Contains(err.Error(), "1 records not written to test") || time.Since(start) != closeTimeout {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		failure = nil
		runCalls(t, cfg).end(t)
		if written != 1 {
			t.Errorf("%d records written", written)
		}
	})
}

// TestNewCalls_Faults: a directory that cannot be used is said at once.
func TestNewCalls_Faults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := callsConfig{Dir: file, Sinks: sinks("test", nil), Log: slog.New(slog.DiscardHandler)}
	if _, err := newCalls(cfg); err == nil {
		t.Error("a file is no directory")
	}
	cfg.Dir = filepath.Join(t.TempDir(), "calls")
	if err := os.MkdirAll(filepath.Join(cfg.Dir, "0", "node"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := newCalls(cfg); err == nil {
		t.Error("the name cannot be read")
	}
	if err := os.Remove(filepath.Join(cfg.Dir, "0", "node")); err != nil {
		t.Fatal(err)
	}
	c, err := newCalls(cfg) // all was given up
	if err != nil {
		t.Fatal(err)
	}
	if err := c.close(); err != nil {
		t.Error(err)
	}
}

// running is calls without a proxy.
type running struct {
	*calls
	stop func()
}

func runCalls(t *testing.T, cfg callsConfig) *running {
	t.Helper()
	c, err := newCalls(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.run(ctx); err != nil {
			t.Error(err)
		}
	})
	return &running{c, func() { cancel(); wg.Wait() }}
}

func (r *running) end(t *testing.T) {
	t.Helper()
	r.stop()
	if err := r.close(); err != nil {
		t.Error(err)
	}
}
