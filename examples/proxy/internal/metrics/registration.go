package metrics

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/registrar"
)

// registrations is what becomes of REGISTERs.
type registrations struct {
	stored, removed, stale, failed prometheus.Counter
	rejected                       [numClasses]prometheus.Counter
	committing                     prometheus.Observer
}

func newRegistrations(f *factory) registrations {
	commits := f.counter("register_commits_total", "Registrations that a PBX granted, by what was done with them.", "result")
	r := registrations{
		stored:  commits.WithLabelValues("stored"),
		removed: commits.WithLabelValues("removed"),
		stale:   commits.WithLabelValues("stale"),
		failed:  commits.WithLabelValues("error"),
		committing: f.seconds("register_commit_duration_seconds",
			"Time that it took to store a registration.").WithLabelValues(),
	}
	rejected := f.counter("register_rejected_total", "Registrations that a PBX refused, other than by a challenge.", "class")
	for c := classOf(300); c < numClasses; c++ {
		r.rejected[c] = rejected.WithLabelValues(c.String())
	}
	return r
}

// Registrar returns what counts registrations.
func (r *registrations) Registrar() registrar.Hooks {
	return registrar.Hooks{Committed: r.committed, Rejected: r.refused}
}

func (r *registrations) committed(c registrar.Commit) {
	r.committing.Observe(c.Took.Seconds())
	switch {
	case errors.Is(c.Err, location.ErrStale):
		r.stale.Inc()
	case c.Err != nil:
		r.failed.Inc()
	case len(c.Change.Put) > 0:
		r.stored.Inc()
	default:
		r.removed.Inc()
	}
}

func (r *registrations) refused(_ location.AOR, status int) {
	if status != 401 && status != 407 {
		r.rejected[classOf(status)].Inc()
	}
}
