package acct_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/sipward/sipward/acct"
)

func discard() map[string]acct.Sink {
	return map[string]acct.Sink{"discard": acct.SinkFunc(func(context.Context, []acct.Record) error { return nil })}
}

// BenchmarkCall is what a call costs whoever handles its messages: INVITE, 180,
// 200, ACK and BYE, while the records are written.
func BenchmarkCall(b *testing.B) {
	for _, disk := range []bool{false, true} {
		b.Run(fmt.Sprint("disk=", disk), func(b *testing.B) {
			cfg := acct.Config{Sinks: discard()}
			if disk {
				cfg.Dir = b.TempDir()
			}
			r, _ := open(b, cfg)
			stop := start(b, r)
			i, a, d := invite("7f3e4a5b6c7d@10.1.2.3"), answer("as5d8f3c2a"), forth("7f3e4a5b6c7d@10.1.2.3", "as5d8f3c2a")
			b.ReportAllocs()
			for b.Loop() {
				c := r.Begin(i)
				c.Leg(pbx1)
				c.Progress()
				c.Answer(a)
				r.Ack(d)
				r.Bye(d)
			}
			stop()
		})
	}
}

// BenchmarkOpenCall is what a call takes of memory while it is up.
func BenchmarkOpenCall(b *testing.B) {
	const n = 50_000
	for b.Loop() {
		r, _ := open(b, acct.Config{Sinks: discard()})
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range n {
			up(r, fmt.Sprintf("7f3e4a5b6c7d%08d@10.1.2.3", i))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/call")
		runtime.KeepAlive(r)
	}
}

// BenchmarkSweep is what the calls that are up cost each second.
func BenchmarkSweep(b *testing.B) {
	r, _ := open(b, acct.Config{Sinks: discard()})
	for i := range 50_000 {
		up(r, fmt.Sprintf("7f3e4a5b6c7d%08d@10.1.2.3", i))
	}
	b.ReportAllocs()
	for b.Loop() {
		acct.Sweep(r)
	}
}
