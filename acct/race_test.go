package acct_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sipward/sipward/acct"
)

// Whatever happens at the same time, on the same call too, each call has one
// record.
func TestRecorder_Concurrent(t *testing.T) {
	const workers, rounds = 8, 300
	r, m := open(t, acct.Config{Dir: t.TempDir()})
	acct.SetSegmentSize(r, 4<<10)
	stop := start(t, r)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range rounds { // all of them the same calls
				id := fmt.Sprint(i)
				c := r.Begin(invite(id))
				c.Leg(pbx1)
				c.Progress()
				c.Answer(answer("callee"))
				r.Ack(forth(id, "callee"))
				r.Refresh(back(id, "callee"), time.Hour)
			}
		})
	}
	wg.Go(func() {
		for range rounds {
			for range r.Calls() {
			}
			r.Stats()
		}
	})
	wg.Wait()
	for i := range rounds {
		for range workers {
			wg.Go(func() { r.Bye(back(fmt.Sprint(i), "callee")) })
		}
	}
	wg.Wait()
	stop()
	if n := len(m.all()); n != rounds {
		t.Errorf("got %d records, want %d", n, rounds)
	}
	if s := r.Stats(); s.Open != 0 || s.Held != 0 {
		t.Errorf("got %+v", s)
	}
}
