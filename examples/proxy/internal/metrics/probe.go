package metrics

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/transaction"
	"github.com/sipward/sipward/location"
)

// probes is how PBXes and phones answer when the proxy asks whether they are
// there.
type probes struct {
	alive, unavailable, silent, unsent prometheus.Counter
	took                               prometheus.Observer
	answeredPings, lostPings           prometheus.Counter
}

func newProbes(f *factory) probes {
	results := f.counter("dispatcher_probes_total", "Probes of PBXes: any answer but 503 is ok.", "result")
	pings := f.counter("nat_keepalives_total", "OPTIONS to phones that keep their NAT open.", "result")
	return probes{
		alive:         results.WithLabelValues("ok"),
		unavailable:   results.WithLabelValues("503"),
		silent:        results.WithLabelValues("timeout"),
		unsent:        results.WithLabelValues("transport"),
		took:          f.seconds("dispatcher_probe_duration_seconds", "Time from a probe to its answer.").WithLabelValues(),
		answeredPings: pings.WithLabelValues("answered"),
		lostPings:     pings.WithLabelValues("unanswered"),
	}
}

// Probe returns ping, the Ping of a [dispatcher.Config], and counts what comes of
// it.
func (p *probes) Probe(ping func(context.Context, dispatcher.Destination) (int, error)) func(context.Context, dispatcher.Destination) (int, error) {
	return func(ctx context.Context, d dispatcher.Destination) (int, error) {
		start := time.Now()
		status, err := ping(ctx, d)
		switch {
		case errors.Is(err, context.Canceled): // by who wanted to know
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, transaction.ErrTimeout):
			p.silent.Inc()
		case err != nil:
			p.unsent.Inc()
		case status == 503:
			p.unavailable.Inc()
		default:
			p.alive.Inc()
			p.took.Observe(time.Since(start).Seconds())
		}
		return status, err
	}
}

// Keepalive returns ping, the Ping of a natfix.KeepaliveConfig, and counts the
// results.
func (p *probes) Keepalive(ping func(location.Entry, func(bool))) func(location.Entry, func(bool)) {
	return func(e location.Entry, result func(alive bool)) {
		ping(e, func(alive bool) {
			if alive {
				p.answeredPings.Inc()
			} else {
				p.lostPings.Inc()
			}
			result(alive)
		})
	}
}
