package main

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/sipward/sipward/acct/mysqlacct"
	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/internal/metrics"
	"github.com/sipward/sipward/internal/mysqltest"
	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/location/mysqlloc"
)

var updateMetrics = flag.Bool("update-metrics", false, "write testdata/metrics.golden anew")

const metricsGolden = "testdata/metrics.golden"

// withEverything is a configuration of a proxy with all metrics that there are,
// with two PBXes in set 10.
func withEverything(t *testing.T) string {
	t.Helper()
	server := mysqltest.New(t)
	db := server.DB(t)
	createTables(t, db)
	for _, create := range []func(context.Context, *sql.DB) error{mysqlloc.Create, mysqlacct.Create} {
		if err := create(t.Context(), db); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("database: %q\ncache: {spool: %q}\nacct: {to: mysql}\nmetrics: {tenants: [10]}\nhep: {to: \"10.0.9.1:9060\"}\n%s", server.Config(t, db).FormatDSN(), t.TempDir(),
		strings.Replace(threeTenants, `{uri: "sip:10.0.1.10:5060"}`, `{uri: "sip:10.0.1.10:5060"}, {uri: "sip:10.0.1.11:5060"}`, 1))
}

// busy has the proxy do something of everything.
func (w *world) busy() {
	w.Helper()
	time.Sleep(5 * time.Second) // the bindings have been read
	ph := w.behind(simnet.PortRestricted, "401", "b.test")
	uri := ph.at(w.b)
	in, phoneIn := callIn(w.b, uri, ph)
	in.exchange(phoneIn, "BYE")
	w.b.refused(404, "MESSAGE", uri+"x")
	time.Sleep(5 * time.Second) // the database has the binding
	synctest.Wait()
}

// TestMetrics_Names: the metrics of a proxy that runs, with a database, are those
// of testdata/metrics.golden, and named as Prometheus wants it. So whoever renames
// one sees it here, and in the dashboard and the alerts. P-47.
func TestMetrics_Names(t *testing.T) {
	yaml := withEverything(t)
	inWorld(t, yaml, func(w *world) {
		w.busy()
		families, err := w.proxy.metrics.Gatherer().Gather()
		if err != nil {
			w.Fatal(err)
		}
		problems, err := promlint.NewWithMetricFamilies(families).Lint()
		if err != nil {
			w.Fatal(err)
		}
		for _, p := range problems {
			if strings.HasPrefix(p.Metric, "sipward_") {
				w.Errorf("%s: %s", p.Metric, p.Text)
			}
		}
		got := describe(scrape(w, w.proxy))
		if *updateMetrics {
			if err := os.WriteFile(metricsGolden, []byte(got), 0o644); err != nil {
				w.Fatal(err)
			}
		}
		want, err := os.ReadFile(metricsGolden)
		if err != nil {
			w.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			w.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// describe lists our metrics and those of the database.
func describe(all exposition) string {
	var lines []string
	for name, f := range all {
		if !strings.HasPrefix(name, "sipward_") && !strings.HasPrefix(name, "go_sql_") {
			continue
		}
		labels := slices.DeleteFunc(f.labels(), func(l string) bool { return l == "le" })
		text := name
		if len(labels) > 0 {
			text += "{" + strings.Join(labels, ", ") + "}"
		}
		lines = append(lines, fmt.Sprintf("%s %s\n    %s\n", text, f.kind, f.help))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// TestMetrics_Cardinality: no label has what a stranger can choose, and there are
// no more series than a Prometheus of one's own takes without thinking.
func TestMetrics_Cardinality(t *testing.T) {
	inWorld(t, "metrics: {tenants: [10]}\n"+threeTenants, func(w *world) {
		before := scrape(w, w.proxy)
		stranger := w.stranger()
		for i := range 50 {
			stranger.Send(proxyAt, stranger.Request(fmt.Sprint("METHOD", i), fmt.Sprintf("sip:%d@stranger%d.test", i, i)))
			stranger.Send(proxyAt, stranger.Request("INVITE", fmt.Sprintf("sip:%d@stranger%d.test", i, i), fmt.Sprint("User-Agent: agent", i)))
		}
		w.busy()
		after := scrape(w, w.proxy)
		count := func(e exposition) (n int) {
			for name, f := range e {
				if strings.HasPrefix(name, "sipward_") {
					n += len(f.series)
				}
			}
			return n
		}
		if b, a := count(before), count(after); a != b || a > 1500 {
			w.Errorf("%d series, and %d after some traffic", b, a)
		}
		for _, f := range after {
			for _, s := range f.series {
				for _, secret := range []string{"401@", "203.0.113", "stranger", "agent", "METHOD"} {
					if strings.Contains(s.String(), secret) {
						w.Errorf("%v tells of %q", s, secret)
					}
				}
			}
		}
	})
}

// TestMetrics_Values: one registration and one call are counted where they
// belong.
func TestMetrics_Values(t *testing.T) {
	inWorld(t, "metrics: {tenants: [20]}\n"+threeTenants, func(w *world) {
		w.busy()
		all := scrape(w, w.proxy)
		for series, want := range map[string]float64{
			`sip_requests_total{from="phone",method="REGISTER"}`:                2,
			`sip_requests_total{from="pbx",method="INVITE"}`:                    1,
			`sip_requests_total{from="pbx",method="ACK"}`:                       1,
			`sip_requests_total{from="pbx",method="MESSAGE"}`:                   1,
			`sip_responses_total{class="4xx",dir="received",method="REGISTER"}`: 1,
			`sip_responses_total{class="4xx",dir="sent",method="REGISTER"}`:     1,
			`sip_responses_total{class="2xx",dir="sent",method="REGISTER"}`:     1,
			`sip_responses_total{class="2xx",dir="sent",method="INVITE"}`:       1,
			`sip_responses_total{class="1xx",dir="sent",method="INVITE"}`:       1,
			`sip_responses_total{class="4xx",dir="sent",method="MESSAGE"}`:      1,
			`invite_final_total{code="200",from="pbx"}`:                         1,
			`invite_first_provisional_seconds_count{from="pbx"}`:                1,
			`relay_duration_seconds_count{method="REGISTER"}`:                   2,
			`relay_duration_seconds_count{method="INVITE"}`:                     1,
			`relay_transactions{method="INVITE"}`:                               0,
			`relay_transactions{method="REGISTER"}`:                             0,
			`register_commits_total{result="stored"}`:                           1,
			`register_rejected_total{class="4xx"}`:                              0,
			`register_commit_duration_seconds_count`:                            1,
			`tenant_resolutions_total{result="pbx"}`:                            2,
			`tenant_resolutions_total{result="domain"}`:                         2,
			`tenant_resolutions_total{result="unknown"}`:                        0,
			`tenant_resolutions_total{result="ambiguous"}`:                      0,
			`route_decisions_total{reason="token"}`:                             1,
			`route_decisions_total{reason="unknown_token"}`:                     1,
			`tenant_invite_final_total{class="2xx",setid="20"}`:                 1,
			`tenant_requests_total{from="phone",setid="20"}`:                    2,
			`bindings`: 1,
			`tenants`:  3,
			`dispatcher_destinations{state="active"}`:                                3,
			`dispatcher_destination_up{destination="sip:10.0.1.20:5060",setid="20"}`: 1,
			`ready{part="tenants"}`:                                                  1,
			`tenant_reloads_total{result="ok"}`:                                      1,
			`tenant_problems{kind="row"}`:                                            0,
			`late_answers_total{kind="retransmit"}`:                                  0,
			`dispatcher_failovers_total{reason="503"}`:                               0,
			`transport_messages_total{dir="received"}`:                               float64(w.proxy.transport.Stats().Received),
			`relay_replied_total`:                                                    1,
			`packets_dropped_total{reason="garbage"}`:                                0,
		} {
			if got := all.value(w, series); got != want {
				w.Errorf("%s is %v, want %v", series, got, want)
			}
		}
	})
}

// TestMetrics_Resolutions: a request counts by what told whose it is. P-12, P-17.
func TestMetrics_Resolutions(t *testing.T) {
	inWorld(t, sharedPBX, func(w *world) {
		w.public("401", "a.test").at(w.a) // REGISTER, 401, REGISTER
		w.public("401", "b.test").at(w.a)
		w.a.refused(404, "MESSAGE", "sip:409@a.test")
		w.a.refused(404, "MESSAGE", "sip:401@192.0.2.1:5060")
		w.a.Send(proxyAt, w.a.Request("OPTIONS", "sip:192.0.2.1:5060")) // for the proxy
		w.answer(w.a.Peer, 200)
		stranger := w.stranger()
		stranger.Send(proxyAt, stranger.Request("MESSAGE", "sip:401@nobody.test"))
		w.quiet()
		all := scrape(w, w.proxy)
		for result, want := range map[string]float64{"pbx": 1, "domain": 4, "ambiguous": 1, "unknown": 1} {
			if got := all.value(w, `tenant_resolutions_total{result="`+result+`"}`); got != want {
				w.Errorf("%s is %v, want %v", result, got, want)
			}
		}
	})
}

// TestMetrics_Oversize: who sends what is too large for a proxy is told, and counted.
func TestMetrics_Oversize(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.overTCP("401", "a.test")
		ph.ask(ph.registerText("X: " + strings.Repeat("x", 64<<10)))
		ph.Status(513)
		if got := scrape(w, w.proxy).value(w, `packets_dropped_total{reason="oversize"}`); got != 1 {
			w.Errorf("it is %v", got)
		}
	})
}

// TestMetrics_Failover: a PBX that does not answer is seen.
func TestMetrics_Failover(t *testing.T) {
	inWorld(t, threeBoxes, func(w *world) {
		ph := w.public("401", "a.test")
		home := ph.home()
		ph.ask(ph.call("MESSAGE", "sip:402@a.test"))
		home.Reply(home.Expect("MESSAGE"), 503, "pbx")
		second, m := w.who("MESSAGE")
		second.Reply(m, 202, "pbx")
		ph.Status(202)
		all := scrape(w, w.proxy)
		for series, want := range map[string]float64{
			`dispatcher_failovers_total{reason="503"}`:                                                       1,
			`relay_branches_total{result="rejected"}`:                                                        1,
			`relay_branches_total{result="answered"}`:                                                        2,
			`dispatcher_destination_failures_total{destination="sip:` + home.Addr.String() + `",setid="10"}`: 1,
		} {
			if got := all.value(w, series); got != want {
				w.Errorf("%s is %v, want %v", series, got, want)
			}
		}
	})
}

// TestMetrics_Database: what becomes of bindings on their way to the database.
func TestMetrics_Database(t *testing.T) {
	yaml := withEverything(t)
	inWorld(t, yaml, func(w *world) {
		w.busy()
		all := scrape(w, w.proxy)
		for series, want := range map[string]float64{
			"bindings":                        1,
			"location_mirror_healthy":         1,
			"location_mirror_loaded":          1,
			"location_mirror_journal_healthy": 1,
			"location_mirror_pending":         0,
			"location_mirror_written_total":   1,
			"location_bad_rows_total":         0,

			"calls_active":                                               0,
			"call_duration_seconds_count":                                1,
			`calls_total{cause="answered"}`:                              1,
			`calls_total{cause="busy"}`:                                  0,
			`acct_records_total{result="written"}`:                       1,
			`acct_records_total{result="spooled"}`:                       0,
			`acct_records_total{result="dropped"}`:                       0,
			"acct_queue_length":                                          0,
			`location_op_duration_seconds_count{op="apply",result="ok"}`: 1,
		} {
			if got := all.value(w, series); got != want {
				w.Errorf("%s is %v, want %v", series, got, want)
			}
		}
		if all["go_sql_max_open_connections"] == nil {
			w.Error("there are no metrics of the pool")
		}
	})
}

// TestMetrics_Destinations: what an operator has switched off is not down, two
// destinations with one URI are told apart, and all of that can be switched off.
func TestMetrics_Destinations(t *testing.T) {
	all := []dispatcher.Status{
		{Destination: dispatcher.Destination{SetID: 10, URI: "sip:a", State: dispatcher.Active}},
		{Destination: dispatcher.Destination{SetID: 10, URI: "sip:a", Socket: "udp:10.0.0.1:5060", State: dispatcher.Probing}},
		{Destination: dispatcher.Destination{SetID: 20, URI: "sip:a", State: dispatcher.Inactive}},
	}
	m, err := metrics.New(metrics.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Register(metrics.Source(func() []dispatcher.Status { return all }, destinationMetrics()...)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range scrape(t, &Proxy{metrics: m})["sipward_dispatcher_destination_up"].series {
		got = append(got, fmt.Sprint(s.labels["setid"], " ", s.labels["destination"], " ", s.value))
	}
	want := []string{"10 sip:a 1", "10 sip:a from udp:10.0.0.1:5060 0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	inWorld(t, "metrics: {destinations: off}\n"+threeTenants, func(w *world) {
		all := scrape(w, w.proxy)
		if all["sipward_dispatcher_destination_up"] != nil || all["sipward_dispatcher_destinations"] == nil {
			w.Error("destinations have metrics though that is off, or their number has none")
		}
	})
}

// TestMetrics_HTTP: they are where Prometheus looks for them.
func TestMetrics_HTTP(t *testing.T) {
	res, err := http.Get(serveAdmin(t, newTestProxy(t, threeTenants)) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") || !strings.Contains(string(body), "\nsipward_tenants 3\n") {
		t.Errorf("%v, status %d, %s\n%s", err, res.StatusCode, res.Header.Get("Content-Type"), body)
	}
}

// BenchmarkScrape is /metrics of a proxy with many sets, each of two PBXes, and
// with counters for some of them.
func BenchmarkScrape(b *testing.B) {
	const sets = 1000
	for _, counted := range []int{0, sets} {
		b.Run(fmt.Sprintf("sets=%d/counted=%d", sets, counted), func(b *testing.B) {
			cfg := parseConfig(b, twinSets(sets))
			for i := range counted {
				cfg.Metrics.Tenants = append(cfg.Metrics.Tenants, i+1)
			}
			p, err := newProxy(b.Context(), cfg, slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			handler, size := p.metrics.Handler(), 0
			b.ReportAllocs()
			for b.Loop() {
				rec := httptest.NewRecorder()
				handler.ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
				size = rec.Body.Len()
			}
			b.ReportMetric(float64(size), "bytes")
			if err := p.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// twinSets returns a configuration of n sets with two PBXes each.
func twinSets(n int) string {
	var s strings.Builder
	s.WriteString("tenants:\n")
	for i := range n {
		fmt.Fprintf(&s, "  - {setid: %d, domains: [d%d.test], destinations: [{uri: \"sip:10.1.%d.%d\"}, {uri: \"sip:10.2.%[3]d.%[4]d\"}]}\n", i+1, i+1, i/256, i%256)
	}
	return s.String()
}
