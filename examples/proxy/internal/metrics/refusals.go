package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sipward/sipward/examples/proxy/guard"
)

// refusals are requests that would have gone beyond a ceiling.
type refusals struct {
	refused map[refusalKey]prometheus.Counter
}

type refusalKey struct {
	set   int
	limit guard.Resource
}

func newRefusals(f *factory, tenants []int) refusals {
	r := refusals{refused: map[refusalKey]prometheus.Counter{}}
	v := f.counter("limit_refusals_total", "Registrations and calls that were refused since their set has all that it may have.", "setid", "limit")
	for _, set := range append([]int{noTenant}, tenants...) {
		for _, limit := range guard.Resources() {
			r.refused[refusalKey{set, limit}] = v.WithLabelValues(setLabel(set), limit.String())
		}
	}
	return r
}

// Refused counts a request that was refused for a ceiling of its set.
func (r *refusals) Refused(set int, limit guard.Resource) {
	c, ok := r.refused[refusalKey{set, limit}]
	if !ok {
		c = r.refused[refusalKey{noTenant, limit}]
	}
	c.Inc()
}
