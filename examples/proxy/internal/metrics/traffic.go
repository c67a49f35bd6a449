package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/route"
)

// traffic is what becomes of requests. Counters are looked up once and not for
// each request.
type traffic struct {
	groups  map[groupKey]*Group
	tenants map[int]bool // nil: none has counters of its own

	sent, received [numMethods][numClasses]prometheus.Counter
	open           [numMethods]prometheus.Gauge
	took           [numMethods]prometheus.Observer

	answered, rejected, timedOut, canceled, unreachable prometheus.Counter // branches
	hungUp, repeated                                    prometheus.Counter
	failedOver                                          struct{ timeout, status503, transport prometheus.Counter }
}

func newTraffic(f *factory, tenants []int) traffic {
	t := traffic{groups: map[groupKey]*Group{}}
	t.makeGroups(f, tenants)

	responses := f.counter("sip_responses_total", "Responses, those that came and those that were sent, without our retransmissions.", "method", "class", "dir")
	open := f.gauge("relay_transactions", "Requests without a final response.", "method")
	took := f.seconds("relay_duration_seconds", "Time from a request to its final response.", "method")
	for m := range numMethods {
		for c := range class(numClasses) {
			t.sent[m][c] = responses.WithLabelValues(m.String(), c.String(), "sent")
			t.received[m][c] = responses.WithLabelValues(m.String(), c.String(), "received")
		}
		if m.lasts() {
			t.open[m], t.took[m] = open.WithLabelValues(m.String()), took.WithLabelValues(m.String())
		}
	}

	branches := f.counter("relay_branches_total", "Targets that requests were sent to, by what came of it.", "result")
	t.answered, t.rejected = branches.WithLabelValues("answered"), branches.WithLabelValues("rejected")
	t.timedOut, t.canceled = branches.WithLabelValues("timeout"), branches.WithLabelValues("canceled")
	t.unreachable = branches.WithLabelValues("transport")
	late := f.counter("late_answers_total", "Answers to an INVITE that had its final response: hung up, or passed on again.", "kind")
	t.hungUp, t.repeated = late.WithLabelValues("ack_bye"), late.WithLabelValues("retransmit")
	failovers := f.counter("dispatcher_failovers_total", "Requests that went on to another PBX of the set, by what the one before did.", "reason")
	t.failedOver.timeout, t.failedOver.status503 = failovers.WithLabelValues("timeout"), failovers.WithLabelValues("503")
	t.failedOver.transport = failovers.WithLabelValues("transport")
	return t
}

// Observe implements the Observe of a [relay.Config]. The Tag of the requests is
// their [Group].
func (t *traffic) Observe(e relay.Event) {
	m := methodOf(e.Method)
	switch e.Kind {
	case relay.Arrived:
		t.group(&e).arrived(m)
		if m.lasts() {
			t.open[m].Inc()
		}
	case relay.Received:
		t.received[m][classOf(e.Status)].Inc()
	case relay.Sent:
		t.sent[m][classOf(e.Status)].Inc()
	case relay.Ringing:
		t.group(&e).ringing(&e)
	case relay.BranchEnded:
		t.branch(&e).Inc()
	case relay.FailedOver:
		t.failover(&e).Inc()
	case relay.HungUp:
		t.hungUp.Inc()
	case relay.AnsweredAgain:
		t.repeated.Inc()
	case relay.Done:
		t.open[m].Dec()
		t.took[m].Observe(e.Took.Seconds())
		t.group(&e).done(m, e.Status)
	}
}

// group returns the group of a request: of what the policy has not seen, that of
// whoever is not known.
func (t *traffic) group(e *relay.Event) *Group {
	if g, ok := e.Tag.(*Group); ok {
		return g
	}
	return t.groups[groupKey{from: route.Unknown, set: noTenant}]
}

func (t *traffic) branch(e *relay.Event) prometheus.Counter {
	const timeout, terminated = 408, 487
	switch {
	case e.NoAnswer && e.Status == timeout:
		return t.timedOut
	case e.NoAnswer:
		return t.unreachable
	case e.Status == terminated:
		return t.canceled
	case e.Status/100 == 2:
		return t.answered
	}
	return t.rejected
}

func (t *traffic) failover(e *relay.Event) prometheus.Counter {
	const timeout = 408
	switch {
	case !e.NoAnswer:
		return t.failedOver.status503
	case e.Status == timeout:
		return t.failedOver.timeout
	}
	return t.failedOver.transport
}

// Group counts the requests of one kind of sender. Get one from
// [Metrics.Group].
type Group struct {
	requests [numMethods]prometheus.Counter
	calls    *calls // nil inside a dialog

	tenantRequests prometheus.Counter // nil without counters by tenant
}

// calls counts what becomes of INVITEs that begin a dialog.
type calls struct {
	finals  map[int]prometheus.Counter // by status; 0 is any other
	ringing prometheus.Observer
	tenant  [numClasses]prometheus.Counter // nil without counters by tenant
}

type groupKey struct {
	from     route.Class
	set      int
	inDialog bool
}

// noTenant is the set of groups of which the tenant does not matter.
const noTenant = -1

// Group returns the group of a request, to be the Tag of its [relay.Context]:
// who has sent it, and the set that it belongs to, -1 if to none. An INVITE in a
// dialog is no call of its own.
func (t *traffic) Group(from route.Class, set int, inDialog bool) *Group {
	if !t.tenants[set] {
		set = noTenant
	}
	return t.groups[groupKey{from, set, inDialog}]
}

func (t *traffic) makeGroups(f *factory, tenants []int) {
	requests := f.counter("sip_requests_total", "Requests that came, without retransmissions, by who sent them: unknown is who names nothing that is served here.", "method", "from")
	codes := f.counter("invite_final_total", "Final responses to INVITEs outside of dialogs.", "code", "from")
	ringing := f.seconds("invite_first_provisional_seconds", "Time from an INVITE outside of a dialog to the first provisional response above 100.", "from")
	var byTenant *tenantMetrics
	if len(tenants) > 0 {
		byTenant = newTenantMetrics(f)
		t.tenants = map[int]bool{}
		for _, set := range tenants {
			t.tenants[set] = true
		}
	}
	for _, from := range []route.Class{route.Unknown, route.Phone, route.PBX} {
		c := calls{finals: map[int]prometheus.Counter{0: codes.WithLabelValues("other", from.String())}, ringing: ringing.WithLabelValues(from.String())}
		for _, code := range finals() {
			c.finals[code] = codes.WithLabelValues(strconv.Itoa(code), from.String())
		}
		var g Group
		for m := range numMethods {
			g.requests[m] = requests.WithLabelValues(m.String(), from.String())
		}
		for _, set := range append([]int{noTenant}, tenants...) {
			inDialog := g
			inDialog.tenantRequests = byTenant.requestsOf(set, from)
			outside := inDialog
			outside.calls = byTenant.extend(c, set)
			t.groups[groupKey{from, set, true}], t.groups[groupKey{from, set, false}] = &inDialog, &outside
		}
	}
}

func (g *Group) arrived(m method) {
	g.requests[m].Inc()
	if g.tenantRequests != nil {
		g.tenantRequests.Inc()
	}
}

func (g *Group) ringing(e *relay.Event) {
	if g.calls != nil {
		g.calls.ringing.Observe(e.Took.Seconds())
	}
}

// done counts the final response; 0 is none.
func (g *Group) done(m method, status int) {
	if g.calls == nil || m != invite || status == 0 {
		return
	}
	c, ok := g.calls.finals[status]
	if !ok {
		c = g.calls.finals[0]
	}
	c.Inc()
	if c := g.calls.tenant[classOf(status)]; c != nil {
		c.Inc()
	}
}
