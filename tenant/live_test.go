package tenant_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/tenant"
)

// script is a Loader that returns one tenant whose set id is the number of the
// load, or fails.
type script struct {
	mu    sync.Mutex
	loads int
	err   error
	times []time.Time
}

func (s *script) Load(ctx context.Context) ([]tenant.Tenant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads++
	s.times = append(s.times, time.Now())
	return []tenant.Tenant{{SetID: s.loads, Domains: []string{"a.example"}}}, s.err
}

func (s *script) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func currentSet(t *testing.T, r tenant.Resolver) int {
	t.Helper()
	m, err := r.Resolve(t.Context(), tenant.Query{Domain: "a.example"})
	if err != nil {
		t.Fatal(err)
	}
	return m.Tenant.SetID
}

func TestNewLive_Fails(t *testing.T) {
	broken := errors.New("database is away")
	loader := &script{err: broken}
	if live, err := tenant.NewLive(t.Context(), loader, tenant.LiveConfig{}); live != nil || !errors.Is(err, broken) {
		t.Errorf("NewLive = %v, %v, want %v", live, err, broken)
	}
	invalid := tenant.LoaderFunc(func(context.Context) ([]tenant.Tenant, error) {
		return []tenant.Tenant{{SetID: -1}}, nil
	})
	if live, err := tenant.NewLive(t.Context(), invalid, tenant.LiveConfig{}); live != nil || err == nil {
		t.Errorf("NewLive = %v, %v, want a fault of the tenants", live, err)
	}
}

func TestLive_Reload(t *testing.T) {
	loader := &script{}
	var events []tenant.ReloadEvent
	live, err := tenant.NewLive(t.Context(), loader, tenant.LiveConfig{
		OnReload: func(e tenant.ReloadEvent) { events = append(events, e) },
	})
	if err != nil {
		t.Fatal(err)
	}
	first := live.Table()
	if got := currentSet(t, live); got != 1 {
		t.Errorf("set %d after NewLive, want 1", got)
	}

	broken := errors.New("database is away")
	loader.fail(broken)
	if err := live.Reload(t.Context()); !errors.Is(err, broken) {
		t.Errorf("Reload: %v, want %v", err, broken)
	}
	if live.Table() != first {
		t.Error("a failed load replaced the table")
	}

	loader.fail(nil)
	if err := live.Reload(t.Context()); err != nil {
		t.Errorf("Reload: %v", err)
	}
	if got := currentSet(t, live); got != 3 {
		t.Errorf("set %d after Reload, want 3", got)
	}
	if len(events) != 2 || events[0].Table != first || !errors.Is(events[0].Err, broken) ||
		events[1].Table != live.Table() || events[1].Err != nil {
		t.Errorf("events %+v, want the failed load and the good one", events)
	}
}

// A slow load must not undo the result of one that began after it.
func TestLive_ReloadOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := 0
		loader := tenant.LoaderFunc(func(context.Context) ([]tenant.Tenant, error) {
			set++
			ts := []tenant.Tenant{{SetID: set, Domains: []string{"a.example"}}}
			if set == 2 {
				time.Sleep(time.Minute)
			}
			return ts, nil
		})
		live, err := tenant.NewLive(t.Context(), loader, tenant.LiveConfig{})
		if err != nil {
			t.Fatal(err)
		}
		slow := make(chan error)
		go func() { slow <- live.Reload(t.Context()) }()
		synctest.Wait()
		if err := live.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-slow; err != nil {
			t.Fatal(err)
		}
		if got := currentSet(t, live); got != 3 {
			t.Errorf("set %d, want 3", got)
		}
	})
}

func TestLive_Run(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = 30 * time.Second // the default
		loader := &script{}
		var log bytes.Buffer
		live, err := tenant.NewLive(t.Context(), loader, tenant.LiveConfig{
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- live.Run(ctx) }()

		time.Sleep(100 * interval)
		synctest.Wait()
		loader.fail(errors.New("database is away"))
		before := live.Table()
		time.Sleep(2 * interval)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}

		if live.Table() != before {
			t.Error("a failed load replaced the table")
		}
		if !strings.Contains(log.String(), `level=WARN msg="tenants not reloaded" err="tenant: load: database is away"`) {
			t.Errorf("log is %q, want a warning", &log)
		}
		checkJitter(t, loader.times, interval)
	})
}

// checkJitter wants all pauses within a tenth of the interval, and not equal.
func checkJitter(t *testing.T, times []time.Time, interval time.Duration) {
	t.Helper()
	if len(times) < 90 {
		t.Fatalf("%d loads in 100 intervals", len(times))
	}
	pauses := map[time.Duration]bool{}
	for i := range times[1:] {
		pause := times[i+1].Sub(times[i])
		pauses[pause] = true
		if pause < interval*9/10 || pause > interval*11/10 {
			t.Errorf("pause of %v, want %v within a tenth", pause, interval)
		}
	}
	if len(pauses) < 2 {
		t.Errorf("all pauses are %v, want jitter", pauses)
	}
}

func TestLive_RunSurvivesHangingLoader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		loads := 0
		loader := tenant.LoaderFunc(func(ctx context.Context) ([]tenant.Tenant, error) {
			if loads++; loads == 2 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return []tenant.Tenant{{SetID: loads, Domains: []string{"a.example"}}}, nil
		})
		var errs []error
		live, err := tenant.NewLive(t.Context(), loader, tenant.LiveConfig{
			Interval: time.Minute,
			Timeout:  5 * time.Second,
			OnReload: func(e tenant.ReloadEvent) { errs = append(errs, e.Err) },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Second)
		defer cancel()
		if err := live.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
		if len(errs) != 2 || !errors.Is(errs[0], context.DeadlineExceeded) || errs[1] != nil {
			t.Errorf("loads ended with %v, want a deadline and a success", errs)
		}
	})
}

func TestLive_RunOnlyReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		loader := &script{}
		live, err := tenant.NewLive(t.Context(), loader, tenant.LiveConfig{Interval: -1})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := live.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
		if diff := cmp.Diff(1, loader.loads); diff != "" {
			t.Errorf("loads (-want +got):\n%s", diff)
		}
	})
}

// Readers and writers at once, for the race detector.
func TestLive_Concurrent(t *testing.T) {
	live, err := tenant.NewLive(t.Context(), &script{}, tenant.LiveConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if err := live.Reload(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 2000 {
				if _, ok := live.Table().Domain("a.example"); !ok {
					t.Error("a table without its domain")
				}
			}
		})
	}
	wg.Wait()
}
