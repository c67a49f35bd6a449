package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sipward/sipward/examples/proxy/route"
)

// tenantMetrics are counters by tenant. A nil one has none.
type tenantMetrics struct {
	requests, finals *prometheus.CounterVec
}

func newTenantMetrics(f *factory) *tenantMetrics {
	return &tenantMetrics{
		requests: f.counter("tenant_requests_total", "Requests by the set that they belong to.", "setid", "from"),
		finals:   f.counter("tenant_invite_final_total", "Final responses to INVITEs outside of dialogs, by the set that they belong to.", "setid", "class"),
	}
}

// requestsOf returns the counter of a set's requests.
func (t *tenantMetrics) requestsOf(set int, from route.Class) prometheus.Counter {
	if t == nil {
		return nil
	}
	return t.requests.WithLabelValues(setLabel(set), from.String())
}

// extend returns c with the counters of a set.
func (t *tenantMetrics) extend(c calls, set int) *calls {
	if t != nil {
		for cl := classOf(200); cl < numClasses; cl++ { // they are final
			c.tenant[cl] = t.finals.WithLabelValues(setLabel(set), cl.String())
		}
	}
	return &c
}

func setLabel(set int) string {
	if set == noTenant {
		return other.String()
	}
	return strconv.Itoa(set)
}
