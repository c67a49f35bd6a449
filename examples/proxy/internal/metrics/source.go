package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Source returns a collector of metrics that are all read from one snapshot. It
// is taken when they are collected, so that nothing is spent on them before. Take
// must be safe for concurrent use.
func Source[S any](take func() S, metrics ...Metric[S]) prometheus.Collector {
	return &source[S]{take, metrics}
}

type source[S any] struct {
	take    func() S
	metrics []Metric[S]
}

// Describe implements [prometheus.Collector].
func (s *source[S]) Describe(descs chan<- *prometheus.Desc) {
	for _, m := range s.metrics {
		descs <- m.desc
	}
}

// Collect implements [prometheus.Collector].
func (s *source[S]) Collect(metrics chan<- prometheus.Metric) {
	snapshot := s.take()
	for _, m := range s.metrics {
		m.read(snapshot, func(value float64, labels ...string) {
			for i := range labels {
				labels[i] = strings.ToValidUTF8(labels[i], "?")
			}
			metric, err := prometheus.NewConstMetric(m.desc, m.kind, value, labels...)
			if err != nil {
				metric = prometheus.NewInvalidMetric(m.desc, err)
			}
			metrics <- metric
		})
	}
}

// Metric is a metric of a snapshot of type S.
type Metric[S any] struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(snapshot S, put func(value float64, labels ...string))
}

type number interface {
	~int | ~int64 | ~uint64 | ~float64
}

// Counter returns the metric sipward_name, which only grows.
func Counter[S any, N number](name, help string, value func(S) N) Metric[S] {
	return newMetric(prometheus.CounterValue, name, help, nil, one(value))
}

// Gauge returns the metric sipward_name, which grows and falls.
func Gauge[S any, N number](name, help string, value func(S) N) Metric[S] {
	return newMetric(prometheus.GaugeValue, name, help, nil, one(value))
}

// Flag returns a Gauge that is 1 or 0.
func Flag[S any](name, help string, value func(S) bool) Metric[S] {
	return Gauge(name, help, func(s S) float64 { return Bool(value(s)) })
}

// Bool returns 1 for true.
func Bool(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Counters returns a metric like Counter, with labels. Read puts each value with
// those of the labels, in their order, and no combination of them twice.
func Counters[S any](name, help string, labels []string, read func(snapshot S, put func(value float64, labels ...string))) Metric[S] {
	return newMetric(prometheus.CounterValue, name, help, labels, read)
}

// Gauges is Counters for a Gauge.
func Gauges[S any](name, help string, labels []string, read func(snapshot S, put func(value float64, labels ...string))) Metric[S] {
	return newMetric(prometheus.GaugeValue, name, help, labels, read)
}

func newMetric[S any](kind prometheus.ValueType, name, help string, labels []string, read func(S, func(float64, ...string))) Metric[S] {
	return Metric[S]{prometheus.NewDesc(namespace+"_"+name, help, labels, nil), kind, read}
}

func one[S any, N number](value func(S) N) func(S, func(float64, ...string)) {
	return func(s S, put func(float64, ...string)) { put(float64(value(s))) }
}
