package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sipward/sipward/acct"
	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/internal/metrics"
	"github.com/sipward/sipward/examples/proxy/transaction"
	"github.com/sipward/sipward/internal/mysqltest"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/mysqlloc"
	"github.com/sipward/sipward/registrar"
)

func TestMain(m *testing.M) { mysqltest.Main(m) }

func aor(t testing.TB) location.AOR {
	t.Helper()
	a, err := location.ParseAOR("401@a.test")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestRegistrar(t *testing.T) {
	m := newMetrics(t, metrics.Config{})
	hooks := m.Registrar()
	put, removed := []location.Binding{{}}, []location.Binding{{}}
	for _, c := range []registrar.Commit{
		{Change: location.Change{Put: put}},
		{Change: location.Change{Put: put, Remove: removed}, Took: time.Second},
		{Change: location.Change{Remove: removed}},
		{Change: location.Change{Reset: true}},
		{Change: location.Change{Put: put}, Err: fmt.Errorf("x: %w", location.ErrStale)},
		{Change: location.Change{Put: put}, Err: errors.New("x")},
	} {
		hooks.Committed(c)
	}
	for _, status := range []int{302, 401, 403, 404, 407, 500, 600} {
		hooks.Rejected(aor(t), status)
	}
	want(t, m, map[string]float64{
		`register_commits_total{result="stored"}`:  2,
		`register_commits_total{result="removed"}`: 2,
		`register_commits_total{result="stale"}`:   1,
		`register_commits_total{result="error"}`:   1,
		"register_commit_duration_seconds_count":   6,
		`register_rejected_total{class="3xx"}`:     1,
		`register_rejected_total{class="4xx"}`:     2,
		`register_rejected_total{class="5xx"}`:     1,
		`register_rejected_total{class="6xx"}`:     1,
	})
}

func TestProbe(t *testing.T) {
	type result struct {
		status int
		err    error
	}
	results := []result{
		{200, nil}, {404, nil}, {503, nil},
		{0, context.DeadlineExceeded}, {0, transaction.ErrTimeout}, {0, transaction.ErrTransport}, {0, context.Canceled},
	}
	m := newMetrics(t, metrics.Config{})
	var next result
	probe := m.Probe(func(context.Context, dispatcher.Destination) (int, error) { return next.status, next.err })
	for _, next = range results {
		if status, err := probe(t.Context(), dispatcher.Destination{}); status != next.status || err != next.err {
			t.Errorf("got %d, %v, want %d, %v", status, err, next.status, next.err)
		}
	}
	want(t, m, map[string]float64{
		`dispatcher_probes_total{result="ok"}`:        2,
		`dispatcher_probes_total{result="503"}`:       1,
		`dispatcher_probes_total{result="timeout"}`:   2,
		`dispatcher_probes_total{result="transport"}`: 1,
		"dispatcher_probe_duration_seconds_count":     2,
	})
}

func TestKeepalive(t *testing.T) {
	m := newMetrics(t, metrics.Config{})
	var told []bool
	ping := m.Keepalive(func(e location.Entry, result func(bool)) { result(e.Binding.Contact == "alive") })
	for _, contact := range []string{"alive", "dead", "dead"} {
		ping(location.Entry{Binding: location.Binding{Contact: contact}}, func(alive bool) { told = append(told, alive) })
	}
	if fmt.Sprint(told) != "[true false false]" {
		t.Errorf("told %v", told)
	}
	want(t, m, map[string]float64{
		`nat_keepalives_total{result="answered"}`:   1,
		`nat_keepalives_total{result="unanswered"}`: 2,
	})
}

// What the sink does not take comes again, and is counted once.
func TestSink(t *testing.T) {
	m := newMetrics(t, metrics.Config{})
	fault := errors.New("full")
	sink := m.Sink(acct.SinkFunc(func(context.Context, []acct.Record) error { return fault }))
	now := time.Now()
	records := []acct.Record{
		{Created: now, Answered: now, Ended: now.Add(time.Minute)},
		{Created: now, Answered: now, Ended: now.Add(5 * time.Hour), End: acct.Timeout},
		{Created: now, Answered: now, Ended: now, End: acct.Unfollowed},
		{Created: now, Ended: now, Cause: acct.Busy},
	}
	if err := sink.Write(t.Context(), records); err != fault {
		t.Errorf("got %v", err)
	}
	want(t, m, map[string]float64{})
	fault = nil
	if err := sink.Write(t.Context(), records); err != nil {
		t.Error(err)
	}
	want(t, m, map[string]float64{"call_duration_seconds_count": 2})
}

// The store is as it was, and each of its operations is counted.
func TestStore(t *testing.T) {
	db := mysqltest.DB(t)
	if err := mysqlloc.Create(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	opened, err := mysqlloc.New(t.Context(), db, mysqlloc.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	m := newMetrics(t, metrics.Config{})
	s := m.Store(opened)
	ctx := t.Context()
	b := location.Binding{Contact: "sip:401@10.0.0.1", CallID: "a", CSeq: 2, Expires: time.Now().Add(time.Hour), Updated: time.Now()}
	change := location.Change{Put: []location.Binding{b}}
	if err := s.Apply(ctx, aor(t), change); err != nil {
		t.Fatal(err)
	}
	batcher, _ := location.As[location.Batcher](s)
	change.Put[0].CSeq = 1
	if errs := batcher.ApplyAll(ctx, []location.AORChange{{AOR: aor(t), Change: change}}); !errors.Is(errs[0], location.ErrStale) {
		t.Errorf("an older change: %v", errs)
	}
	if got, err := s.Lookup(ctx, aor(t)); err != nil || len(got) != 1 {
		t.Errorf("got %v, %v", got, err)
	}
	purger, _ := location.As[location.Purger](s)
	if _, err := purger.Purge(ctx, 10); err != nil {
		t.Error(err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Lookup(canceled, aor(t)); err == nil {
		t.Error("a lookup succeeds though it was canceled")
	}
	if _, ok := location.As[location.Lister](s); !ok {
		t.Error("the store cannot list its bindings any more")
	}
	want(t, m, map[string]float64{
		`location_op_duration_seconds_count{op="apply",result="ok"}`:     2,
		`location_op_duration_seconds_count{op="lookup",result="ok"}`:    1,
		`location_op_duration_seconds_count{op="lookup",result="error"}`: 1,
		`location_op_duration_seconds_count{op="purge",result="ok"}`:     1,
	})
}
