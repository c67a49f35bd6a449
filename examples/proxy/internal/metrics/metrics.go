// Package metrics has the proxy's metrics for Prometheus: those that are counted
// as things happen, and [Source] for those that are read from the statistics of
// other packages when somebody asks for them.
//
// Names begin with sipward_. No label has a value that a stranger can choose:
// methods and status codes are those that are known, or "other". A counter is
// there from the start, with 0, so that rate() misses nothing.
//
// There is no state but that of a [Metrics], which has a registry of its own.
package metrics

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const namespace = "sipward"

// Config configures a [Metrics]. The zero Config is ready to use.
type Config struct {
	// Tenants are the sets that have counters of their own. All others have one
	// together, called "other". If empty, there are no counters by tenant.
	Tenants []int

	// Logger hears of metrics that cannot be collected. Nil discards.
	Logger *slog.Logger
}

// Metrics counts what happens, and has all metrics. Its methods may be called
// concurrently and do not block.
type Metrics struct {
	registry *prometheus.Registry
	log      *slog.Logger
	traffic
	registrations
	refusals
	probes
	operations
	callTimes
}

// New returns a Metrics, with metrics of the process and its build.
func New(cfg Config) (*Metrics, error) {
	m := &Metrics{registry: prometheus.NewRegistry(), log: cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))}
	f := &factory{registry: m.registry}
	m.traffic = newTraffic(f, cfg.Tenants)
	m.registrations = newRegistrations(f)
	m.refusals = newRefusals(f, cfg.Tenants)
	m.probes = newProbes(f)
	m.operations = newOperations(f)
	m.callTimes = newCallTimes(f)
	build(f)
	f.register(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := f.err(); err != nil {
		return nil, err
	}
	return m, nil
}

// Register adds metrics that others collect. The error joins what is wrong with
// each, such as a name that is taken.
func (m *Metrics) Register(cs ...prometheus.Collector) error {
	f := &factory{registry: m.registry}
	f.register(cs...)
	return f.err()
}

// Gatherer returns all metrics.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Handler serves all metrics. What cannot be collected is left out and logged.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:      slog.NewLogLogger(m.log.Handler(), slog.LevelError),
		ErrorHandling: promhttp.ContinueOnError,
	})
}

// build registers what tells one version from another.
func build(f *factory) {
	version, revision := "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	f.gauge("build_info", "1, with the version of the program as labels.", "version", "revision", "goversion").
		WithLabelValues(version, revision, runtime.Version()).Set(1)
}

// factory makes metrics and registers them.
type factory struct {
	registry *prometheus.Registry
	faults   []error
}

func (f *factory) err() error { return errors.Join(f.faults...) }

func (f *factory) register(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := f.registry.Register(c); err != nil {
			f.faults = append(f.faults, err)
		}
	}
}

func (f *factory) counter(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	f.register(v)
	return v
}

func (f *factory) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
	f.register(v)
	return v
}

// seconds makes a histogram of durations, from 1 ms to 64 s.
func (f *factory) seconds(name, help string, labels ...string) *prometheus.HistogramVec {
	const first, factor, count = 0.001, 2, 17
	return f.histogram(name, help, prometheus.ExponentialBuckets(first, factor, count), labels...)
}

// histogram makes a histogram with these classic buckets, and native ones with
// 10 % between two of them.
func (f *factory) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help,
		Buckets:                        buckets,
		NativeHistogramBucketFactor:    1.1,
		NativeHistogramMaxBucketNumber: 160,
	}, labels)
	f.register(v)
	return v
}
