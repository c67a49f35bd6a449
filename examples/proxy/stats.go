package main

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/sipward/sipward/acct"
	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/guard"
	"github.com/sipward/sipward/examples/proxy/internal/database"
	"github.com/sipward/sipward/examples/proxy/internal/hep"
	"github.com/sipward/sipward/examples/proxy/internal/metrics"
	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/location/mirror"
)

// measure makes metrics of the statistics of all parts, once they are there.
func (p *Proxy) measure() error {
	all := []prometheus.Collector{
		relayMetrics(p.relay.Stats), transportMetrics(p.transport.Stats), guardMetrics(p.guard.Stats),
		p.decisionMetrics(), tenantMetrics(p.source.Stats), p.destinationMetrics(), p.bindingMetrics(), p.readyMetrics(),
		droppedMetrics(func() dropped { return dropped{p.transport.Stats(), p.guard.Stats(), p.counters.oversize.Load()} }),
	}
	if p.mirror != nil {
		all = append(all, mirrorMetrics(func() mirrorStats { return mirrorStats{p.mirror.Stats(), p.table.badRows.Load()} }))
	}
	if p.calls != nil {
		all = append(all, callMetrics(p.calls.stats))
	}
	if p.hep != nil {
		all = append(all, hepMetrics(p.hep.Stats))
	}
	if p.db != nil {
		all = append(all, collectors.NewDBStatsCollector(p.db, database.Name(string(p.cfg.Database))))
	}
	return p.metrics.Register(all...)
}

// putFunc is how labeled values are given to the metrics.
type putFunc = func(value float64, labels ...string)

func relayMetrics(take func() relay.Stats) prometheus.Collector {
	type S = relay.Stats
	return metrics.Source(take,
		metrics.Counter("relay_forwarded_total", "Requests sent on, each branch.", func(s S) uint64 { return s.Forwarded }),
		metrics.Counter("relay_replied_total", "Requests answered by the proxy itself.", func(s S) uint64 { return s.Replied }),
		metrics.Counter("relay_dropped_total", "Requests that got no answer.", func(s S) uint64 { return s.Dropped }),
		metrics.Counter("relay_loops_total", "Requests that came by again.", func(s S) uint64 { return s.Loops }),
		metrics.Counter("relay_merged_total", "Requests that came on two ways.", func(s S) uint64 { return s.Merged }),
		metrics.Counter("relay_strays_total", "Responses to nothing.", func(s S) uint64 { return s.Strays }),
		metrics.Counter("relay_faults_total", "Messages that could not be read.", func(s S) uint64 { return s.Faults }),
		metrics.Counter("relay_panics_total", "Requests that cost a panic.", func(s S) uint64 { return s.Panics }),
		metrics.Gauges("transactions", "Transactions held, those included that wait for retransmissions only.", []string{"side"}, func(s S, put putFunc) {
			put(float64(s.Transactions.Servers), "server")
			put(float64(s.Transactions.Clients), "client")
		}),
		metrics.Gauge("transaction_timers", "Timers that run.", func(s S) int64 { return s.Transactions.Timers }),
		metrics.Counters("transaction_retransmissions_total", "Requests received again, and messages sent again.", []string{"dir"}, func(s S, put putFunc) {
			put(float64(s.Transactions.Absorbed), "received")
			put(float64(s.Transactions.SentAgain), "sent")
		}),
	)
}

func transportMetrics(take func() transport.Stats) prometheus.Collector {
	type S = transport.Stats
	return metrics.Source(take,
		metrics.Counters("transport_messages_total", "Messages received and sent, with retransmissions.", []string{"dir"}, func(s S, put putFunc) {
			put(float64(s.Received), "received")
			put(float64(s.Sent), "sent")
		}),
		metrics.Counter("transport_send_errors_total", "Messages that could not be sent, or were lost with their connection.", func(s S) uint64 { return s.SendErrors }),
		metrics.Counter("transport_panics_total", "Panics that a message or a handshake has cost.", func(s S) uint64 { return s.Panics }),
		metrics.Counters("transport_keepalives_total", "Keepalives of others.", []string{"kind"}, func(s S, put putFunc) {
			put(float64(s.Keepalives), "datagram")
			put(float64(s.STUN), "stun")
			put(float64(s.Pongs), "stream")
		}),
		metrics.Counters("transport_socket_errors_total", "Errors of listening sockets.", []string{"op"}, func(s S, put putFunc) {
			put(float64(s.ReadErrors), "read")
			put(float64(s.AcceptErrors), "accept")
		}),
		metrics.Gauge("transport_connections", "Connections that are open.", func(s S) uint64 { return s.Connections }),
		metrics.Counter("transport_accepted_total", "Connections of others.", func(s S) uint64 { return s.Accepted }),
		metrics.Counter("transport_dials_total", "Connections that the proxy tried to open.", func(s S) uint64 { return s.Dialed }),
		metrics.Counter("transport_dial_errors_total", "Connections that the proxy could not open.", func(s S) uint64 { return s.DialErrors }),
		metrics.Counters("transport_closed_total", "Connections that the proxy closed.", []string{"reason"}, func(s S, put putFunc) {
			put(float64(s.Idle), "idle")
			put(float64(s.Slow), "slow")
			put(float64(s.Overflows), "overflow")
			put(float64(s.WriteErrors), "write")
		}),
	)
}

func guardMetrics(take func() guard.Stats) prometheus.Collector {
	type S = guard.Stats
	return metrics.Source(take,
		metrics.Counters("guard_failures_total", "What sources have done wrong, such as registering in vain.", []string{"reason"}, func(s S, put putFunc) {
			for reason, n := range s.Failures {
				put(float64(n), reason.String())
			}
		}),
		metrics.Counter("guard_unproven_failures_total", "Of what sources have done wrong, that which somebody else may have sent in their name.", func(s S) uint64 { return s.Unproven }),
		metrics.Counter("guard_bans_total", "Bans that were earned.", func(s S) uint64 { return s.Earned }),
	)
}

// dropped is what has to do with messages that nobody looked at, and connections
// that nobody let in.
type dropped struct {
	transport transport.Stats
	guard     guard.Stats
	oversize  uint64
}

func droppedMetrics(take func() dropped) prometheus.Collector {
	return metrics.Source(take,
		metrics.Counters("packets_dropped_total", "Messages that were turned away before they were looked at.", []string{"reason"}, func(s dropped, put putFunc) {
			put(float64(s.guard.OverAddress+s.guard.OverNetwork+s.guard.OverStrangers), "rate")
			put(float64(s.guard.Banned), "banned")
			put(float64(s.guard.Overloaded), "overload")
			put(float64(s.transport.Garbage), "garbage")
			put(float64(s.oversize), "oversize")
			put(float64(s.transport.NUL), "nul")
		}),
		metrics.Counters("transport_refused_total", "Connections of others that were closed at once: too many, of all or of one address, too many a second, of all or of one network, a ban, or the handshake failed.", []string{"reason"}, func(s dropped, put putFunc) {
			put(float64(s.transport.Refused), "limit")
			put(float64(s.transport.RefusedIP), "address_limit")
			put(float64(s.guard.ConnectionsOverAll), "rate")
			put(float64(s.guard.ConnectionsOverNetwork), "network_rate")
			put(float64(s.guard.ConnectionsBanned), "banned")
			put(float64(s.transport.Handshakes), "handshake")
		}),
	)
}

func callMetrics(take func() acct.Stats) prometheus.Collector {
	type S = acct.Stats
	sinks := func(of func(acct.SinkStats) uint64) func(S) uint64 {
		return func(s S) (sum uint64) {
			for _, sink := range s.Sinks {
				sum += of(sink)
			}
			return sum
		}
	}
	written := sinks(func(s acct.SinkStats) uint64 { return s.Written })
	spooled := sinks(func(s acct.SinkStats) uint64 { return s.Spooled })
	lost := sinks(func(s acct.SinkStats) uint64 { return s.Dropped })
	rejected := sinks(func(s acct.SinkStats) uint64 { return s.Rejected })
	return metrics.Source(take,
		metrics.Gauge("calls_active", "Calls that ring or are up.", func(s S) int { return s.Open }),
		metrics.Counters("calls_total", "Calls that have ended, by what became of them.", []string{"cause"}, func(s S, put putFunc) {
			for cause, n := range s.Recorded {
				put(float64(n), cause.String())
			}
		}),
		metrics.Counter("calls_unfollowed_total", "Calls that were answered and not followed to their end, since there were too many.", func(s S) uint64 { return s.Unfollowed }),
		metrics.Counter("calls_unrecorded_total", "Answers without a record: those of more phones to one INVITE than there can be.", func(s S) uint64 { return s.Unrecorded }),
		metrics.Counters("acct_records_total", "Records of calls, by what became of them: spooled are those of the written ones that had to wait, dropped ones were too old, rejected ones will never be taken.", []string{"result"}, func(s S, put putFunc) {
			put(float64(written(s)), "written")
			put(float64(spooled(s)), "spooled")
			put(float64(lost(s)), "dropped")
			put(float64(rejected(s)), "rejected")
		}),
		metrics.Gauge("acct_queue_length", "Records that wait.", sinks(func(s acct.SinkStats) uint64 { return s.Queued })),
		metrics.Counter("acct_write_failures_total", "Attempts to write records that failed.", sinks(func(s acct.SinkStats) uint64 { return s.Failures })),
		metrics.Gauge("acct_journal_bytes", "Size of the journal of calls.", func(s S) int64 { return s.Bytes }),
		metrics.Counter("acct_journal_lost_bytes_total", "What the disk did not take of the journal of calls in time.", func(s S) uint64 { return s.Lost }),
	)
}

func hepMetrics(take func() hep.Stats) prometheus.Collector {
	return metrics.Source(take, metrics.Counters("hep_packets_total", "Copies of messages for the HEP collector: sent, or dropped since it could not be reached or too many waited.", []string{"result"}, func(s hep.Stats, put putFunc) {
		put(float64(s.Sent), "sent")
		put(float64(s.Dropped), "dropped")
	}))
}

func (p *Proxy) decisionMetrics() prometheus.Collector {
	type S = *counters
	return metrics.Source(func() S { return &p.counters },
		metrics.Counters("route_decisions_total", "Requests by what decided where they go, or that they go nowhere.", []string{"reason"}, func(s S, put putFunc) {
			for _, r := range route.Reasons() {
				put(float64(s.reasons[r].Load()), r.String())
			}
		}),
		metrics.Counters("tenant_resolutions_total", "Requests outside of dialogs by what told whose they are: the address of a PBX, or what they name.", []string{"result"}, func(s S, put putFunc) {
			for i, name := range resolutionNames {
				put(float64(s.resolutions[i].Load()), name)
			}
		}),
		metrics.Gauge("ambiguous_users", "Users that have the same name in several domains of one PBX, as /debug/state lists them.", func(S) int { return p.ambiguity.found.Load().Users }),
		metrics.Counter("route_to_mismatches_total", "Requests whose Request-URI and To name different hosts.", func(s S) uint64 { return s.toDiffers.Load() }),
		metrics.Counter("dispatcher_unavailable_total", "Requests for a set of which no PBX can be used.", func(s S) uint64 { return s.unavailable.Load() }),
		metrics.Counter("phones_unreachable_total", "Requests for a phone whose connection is gone.", func(s S) uint64 { return s.unreachable.Load() }),
		metrics.Counter("phones_lost_total", "Phones that were forgotten since they answered no ping.", func(s S) uint64 { return s.lost.Load() }),
	)
}

// resolution is how the tenant of a request was found.
type resolution uint8

const (
	byPBX resolution = iota
	byDomain
	toNobody
	toSeveral
	numResolutions
)

var resolutionNames = [numResolutions]string{"pbx", "domain", "unknown", "ambiguous"}

func resolutionOf(d *route.Decision) resolution {
	switch {
	case d.Reason == route.Ambiguous:
		return toSeveral
	case d.Set < 0:
		return toNobody
	case d.Class == route.PBX:
		return byPBX
	}
	return byDomain
}

// decided counts a decision. What is for the proxy itself is no tenant's, and
// whose a dialog is was found when it began.
func (c *counters) decided(m *sipmsg.Message, d *route.Decision) {
	c.reasons[d.Reason].Add(1)
	if d.ToDiffers {
		c.toDiffers.Add(1)
	}
	if !m.InDialog() && d.Action != route.Local {
		c.resolutions[resolutionOf(d)].Add(1)
	}
}

func tenantMetrics(take func() sourceStats) prometheus.Collector {
	type S = sourceStats
	return metrics.Source(take,
		metrics.Gauge("tenants", "Tenants that are served.", func(s S) int { return s.Tenants }),
		metrics.Gauge("tenant_reload_success_timestamp_seconds", "When file and database were last read without a fault.", func(s S) float64 {
			if s.Loaded.IsZero() {
				return 0
			}
			return float64(s.Loaded.UnixMilli()) / 1000
		}),
		metrics.Counters("tenant_reloads_total", "How often the tenants were read.", []string{"result"}, func(s S, put putFunc) {
			put(float64(s.Loads-s.Failures), "ok")
			put(float64(s.Failures), "error")
		}),
		metrics.Gauges("tenant_problems", "What is wrong with tenants and PBXes, as /debug/state lists it.", []string{"kind"}, func(s S, put putFunc) {
			n := map[string]int{problemFile: 0, problemDatabase: 0, problemRow: 0, problemConflict: 0, problemName: 0, problemSet: 0, problemShared: 0}
			for i := range s.Problems {
				n[s.Problems[i].Kind]++
			}
			for kind, n := range n {
				put(float64(n), kind)
			}
		}),
	)
}

func (p *Proxy) destinationMetrics() prometheus.Collector {
	type S = []dispatcher.Status
	list := []metrics.Metric[S]{
		metrics.Gauges("dispatcher_destinations", "PBXes of all sets.", []string{"state"}, func(s S, put putFunc) {
			n := map[dispatcher.State]int{dispatcher.Active: 0, dispatcher.Inactive: 0, dispatcher.Probing: 0}
			for i := range s {
				n[s[i].State]++
			}
			for state, n := range n {
				put(float64(n), state.String())
			}
		}),
	}
	if p.cfg.Metrics.Destinations {
		list = append(list, destinationMetrics()...)
	}
	return metrics.Source(p.sets.Status, list...)
}

// destinationMetrics are those of each PBX that no operator has switched off.
func destinationMetrics() []metrics.Metric[[]dispatcher.Status] {
	each := func(value func(*dispatcher.Status) float64) func([]dispatcher.Status, putFunc) {
		return func(all []dispatcher.Status, put putFunc) {
			for i := range all {
				if s := &all[i]; s.State != dispatcher.Inactive {
					put(value(s), strconv.Itoa(s.SetID), destinationLabel(s))
				}
			}
		}
	}
	labels := []string{"setid", "destination"}
	return []metrics.Metric[[]dispatcher.Status]{
		metrics.Gauges("dispatcher_destination_up", "1 if the PBX is used.", labels, each(func(s *dispatcher.Status) float64 {
			return metrics.Bool(s.State == dispatcher.Active)
		})),
		metrics.Gauges("dispatcher_destination_latency_seconds", "Time to the first response of the PBX, smoothed.", labels, each(func(s *dispatcher.Status) float64 {
			return s.Latency.Seconds()
		})),
		metrics.Counters("dispatcher_destination_failures_total", "Probes and requests that the PBX did not answer, or with 503.", labels, each(func(s *dispatcher.Status) float64 {
			return float64(s.Failures)
		})),
	}
}

// destinationLabel tells the destinations of a set apart.
func destinationLabel(s *dispatcher.Status) string {
	if s.Socket == "" {
		return s.URI
	}
	return s.URI + " from " + s.Socket
}

func (p *Proxy) bindingMetrics() prometheus.Collector {
	memory, _ := p.memory()
	return metrics.Source(memory.Len, metrics.Gauge("bindings", "Phones that are registered.", func(n int) int { return n }))
}

// mirrorStats are those of the bindings and their table.
type mirrorStats struct {
	mirror.Stats
	badRows uint64
}

func mirrorMetrics(take func() mirrorStats) prometheus.Collector {
	type S = mirrorStats
	return metrics.Source(take,
		metrics.Flag("location_mirror_healthy", "1 if the database took and gave the last bindings it was asked for.", func(s S) bool { return s.Healthy }),
		metrics.Flag("location_mirror_loaded", "1 if all bindings of the database have been read.", func(s S) bool { return s.Loaded }),
		metrics.Gauge("location_mirror_pending", "AORs of which the database lacks changes.", func(s S) int { return s.Pending }),
		metrics.Gauge("location_mirror_oldest_pending_seconds", "For how long the database lacks a change.", func(s S) float64 { return s.Oldest.Seconds() }),
		metrics.Counter("location_mirror_written_total", "AORs whose changes the database has got.", func(s S) uint64 { return s.Written }),
		metrics.Counter("location_mirror_stale_total", "AORs of which the database had a later change of another writer.", func(s S) uint64 { return s.Stale }),
		metrics.Counter("location_mirror_refused_total", "AORs whose changes the database will never take.", func(s S) uint64 { return s.Refused }),
		metrics.Counter("location_mirror_failures_total", "Failures of the database.", func(s S) uint64 { return s.Failures }),
		metrics.Counter("location_mirror_rows_total", "Bindings read from the database at the start.", func(s S) uint64 { return s.Rows }),
		metrics.Counter("location_bad_rows_total", "Rows of the table that nobody can read.", func(s S) uint64 { return s.badRows }),
		metrics.Counter("location_mirror_swept_total", "Expired bindings dropped from the database.", func(s S) uint64 { return s.Swept }),
		metrics.Gauge("location_mirror_journal_bytes", "Size of the journal on disk.", func(s S) int64 { return s.JournalBytes }),
		metrics.Flag("location_mirror_journal_healthy", "1 if the disk took what was last written to the journal.", func(s S) bool { return s.JournalOK }),
		metrics.Counter("location_mirror_journal_failures_total", "Writes to the journal that failed.", func(s S) uint64 { return s.JournalFails }),
	)
}

func (p *Proxy) readyMetrics() prometheus.Collector {
	return metrics.Source(p.parts, metrics.Gauges("ready", "1 for each part that is ready, as /readyz has it.", []string{"part"}, func(parts []part, put putFunc) {
		for _, part := range parts {
			put(metrics.Bool(part.ready), part.name)
		}
	}))
}
