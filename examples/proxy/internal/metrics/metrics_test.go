package metrics_test

import (
	"log/slog"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/sipward/sipward/examples/proxy/internal/metrics"
)

func newMetrics(t testing.TB, cfg metrics.Config) *metrics.Metrics {
	t.Helper()
	m, err := metrics.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// scrape returns all series of sipward with their values, but for buckets and
// sums.
func scrape(t testing.TB, m *metrics.Metrics) map[string]float64 {
	t.Helper()
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	if rec.Code != 200 {
		t.Fatalf("%d\n%s", rec.Code, rec.Body)
	}
	all := map[string]float64{}
	for line := range strings.Lines(rec.Body.String()) {
		series, text, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if !strings.Contains(line, "{") {
			series, text, _ = strings.Cut(strings.TrimSpace(line), " ")
		} else {
			series += "}"
		}
		series, ok := strings.CutPrefix(series, "sipward_")
		name, _, _ := strings.Cut(series, "{")
		if !ok || strings.HasSuffix(name, "_bucket") || strings.HasSuffix(name, "_sum") || name == "build_info" {
			continue
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		all[series] = value
	}
	return all
}

// want fails the test unless these are the series that are not 0.
func want(t testing.TB, m *metrics.Metrics, want map[string]float64) {
	t.Helper()
	got := scrape(t, m)
	for series, value := range got {
		if value == 0 {
			delete(got, series)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Everything that has a fixed set of labels is there from the start.
func TestNew_StartsWithZeros(t *testing.T) {
	for _, tenants := range [][]int{nil, {10, 20}} {
		m := newMetrics(t, metrics.Config{Tenants: tenants})
		want(t, m, map[string]float64{})
		all := scrape(t, m)
		for _, series := range []string{
			`sip_requests_total{from="unknown",method="other"}`,
			`sip_responses_total{class="6xx",dir="received",method="PUBLISH"}`,
			`invite_final_total{code="other",from="pbx"}`,
			`invite_final_total{code="486",from="phone"}`,
			`relay_transactions{method="BYE"}`,
			`relay_duration_seconds_count{method="REGISTER"}`,
			`register_rejected_total{class="4xx"}`,
			`limit_refusals_total{limit="call_rate",setid="other"}`,
		} {
			if _, ok := all[series]; !ok {
				t.Errorf("no %s", series)
			}
		}
		_, byTenant := all[`tenant_invite_final_total{class="5xx",setid="other"}`]
		if byTenant != (tenants != nil) {
			t.Errorf("tenants %v, but counters by tenant: %v", tenants, byTenant)
		}
		for series := range all {
			if strings.Contains(series, `method="CANCEL"`) && strings.HasPrefix(series, "relay_") {
				t.Errorf("%s: a CANCEL is not forwarded with state", series)
			}
		}
	}
}

func TestNew_Lint(t *testing.T) {
	families, err := newMetrics(t, metrics.Config{Tenants: []int{1}}).Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Two of them share nothing.
func TestNew_Twice(t *testing.T) {
	a, b := newMetrics(t, metrics.Config{}), newMetrics(t, metrics.Config{})
	a.Registrar().Rejected(aor(t), 403)
	want(t, a, map[string]float64{`register_rejected_total{class="4xx"}`: 1})
	want(t, b, map[string]float64{})
}

type snapshot struct {
	n    uint64
	up   bool
	byID map[string]int
}

func TestSource(t *testing.T) {
	m := newMetrics(t, metrics.Config{})
	s, taken := snapshot{}, 0
	take := func() snapshot { taken++; return s }
	byID := func(s snapshot, put func(float64, ...string)) {
		for id, n := range s.byID {
			put(float64(n), id, "x")
		}
	}
	err := m.Register(metrics.Source(take,
		metrics.Counter("a_total", "A.", func(s snapshot) uint64 { return s.n }),
		metrics.Gauge("b", "B.", func(s snapshot) float64 { return float64(s.n) / 2 }),
		metrics.Flag("c", "C.", func(s snapshot) bool { return s.up }),
		metrics.Counters("d_total", "D.", []string{"id", "kind"}, byID),
		metrics.Gauges("e", "E.", []string{"id", "kind"}, byID),
	))
	if err != nil {
		t.Fatal(err)
	}
	if taken != 0 {
		t.Error("a snapshot was taken that nobody has asked for")
	}
	want(t, m, map[string]float64{})
	s = snapshot{3, true, map[string]int{"1": 7, "\xff": 8}}
	want(t, m, map[string]float64{
		"a_total": 3, "b": 1.5, "c": 1,
		`d_total{id="1",kind="x"}`: 7, `d_total{id="?",kind="x"}`: 8,
		`e{id="1",kind="x"}`: 7, `e{id="?",kind="x"}`: 8,
	})
	if taken != 2 {
		t.Errorf("%d snapshots were taken", taken)
	}
}

// A metric that cannot be collected costs the others nothing, and is logged.
func TestHandler_Faults(t *testing.T) {
	var log strings.Builder
	m := newMetrics(t, metrics.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	err := m.Register(metrics.Source(func() int { return 1 },
		metrics.Gauges("wrong", "W.", []string{"a"}, func(_ int, put func(float64, ...string)) { put(1, "x", "y") }),
		metrics.Gauge("right", "R.", func(n int) int { return n }),
	))
	if err != nil {
		t.Fatal(err)
	}
	want(t, m, map[string]float64{"right": 1})
	if !strings.Contains(log.String(), "sipward_wrong") {
		t.Errorf("logged:\n%s", &log)
	}
}

func TestRegister_Faults(t *testing.T) {
	m := newMetrics(t, metrics.Config{})
	gauge := func(name string) prometheus.Collector {
		return metrics.Source(func() int { return 1 }, metrics.Gauge(name, "G.", func(n int) int { return n }))
	}
	err := m.Register(gauge("new"), gauge("build_info"))
	if err == nil || !strings.Contains(err.Error(), "sipward_build_info") {
		t.Errorf("got %v", err)
	}
	want(t, m, map[string]float64{"new": 1})
}
