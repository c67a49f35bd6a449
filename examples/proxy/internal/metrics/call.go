package metrics

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sipward/sipward/acct"
)

// callTimes is how long calls are.
type callTimes struct{ took prometheus.Observer }

func newCallTimes(f *factory) callTimes {
	took := f.histogram("call_duration_seconds", "Time from the answer of a call to its end, noted when its record is stored.",
		[]float64{1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400})
	return callTimes{took.WithLabelValues()}
}

// Sink returns s, and notes how long the calls were whose records it takes.
func (c *callTimes) Sink(s acct.Sink) acct.Sink {
	return acct.SinkFunc(func(ctx context.Context, records []acct.Record) error {
		if err := s.Write(ctx, records); err != nil {
			return err
		}
		for i := range records {
			if r := &records[i]; !r.Answered.IsZero() && r.End != acct.Unfollowed {
				c.took.Observe(r.Duration().Seconds())
			}
		}
		return nil
	})
}
