package guard_test

import (
	"testing"
	"time"

	"github.com/sipward/sipward/examples/proxy/guard"
)

// Under overload strangers are told to come again, and nobody else is.
func TestObserve(t *testing.T) {
	steps := []struct {
		wait         time.Duration
		transactions int
		delay        time.Duration
		want         bool
	}{
		{0, 999, 99 * time.Millisecond, false},
		{0, 1000, 0, true},
		{time.Second, 999, 0, true},
		{time.Second, 499, 0, true},
		{4 * time.Second, 499, 49 * time.Millisecond, false},
		{time.Second, 600, 0, false},
		{time.Second, 0, 100 * time.Millisecond, true},
		{4 * time.Second, 0, 0, true},
		{time.Second, 0, 50 * time.Millisecond, true},
		{4 * time.Second, 0, 0, true},
		{time.Second, 0, 0, false},
	}
	w := newWorld(t, guard.Config{Transactions: 1000, Delay: 100 * time.Millisecond})
	w.trust("192.0.2.5/32")
	phone := udp("198.51.100.7:5062")
	w.live[phone] = true
	w.register(udp("198.51.100.8:5062"))
	var refused uint64
	for i, s := range steps {
		w.wait(s.wait)
		if got := w.Observe(s.transactions, s.delay, w.now); got != s.want {
			t.Fatalf("step %d: overloaded is %v, want %v", i, got, s.want)
		}
		want := guard.Served
		if s.want {
			want = guard.Overloaded
		}
		for _, stranger := range []guard.Source{udp("203.0.113.9:5060"), tcp("203.0.113.9:5060")} {
			if got := w.AdmitNew(stranger, "call", w.now); got != want {
				t.Fatalf("step %d: a stranger is %v, want %v", i, got, want)
			}
			if s.want {
				refused++
			}
		}
		for _, src := range []guard.Source{phone, udp("192.0.2.5:5060"), udp("198.51.100.8:1024")} {
			if got := w.AdmitNew(src, "call", w.now); got != guard.Served {
				t.Fatalf("step %d: %v is %v", i, src, got)
			}
		}
	}
	if got := w.Stats().Overloaded; got != refused {
		t.Errorf("%d refusals counted, want %d", got, refused)
	}
	for range 100 {
		if s := guard.RetryAfter(); s < 5 || s > 30 {
			t.Fatalf("Retry-After: %d", s)
		}
	}
}
