package tenant

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const (
	defaultInterval = 30 * time.Second
	defaultTimeout  = 10 * time.Second
)

// Loader loads all tenants. It need not check them, and may keep what it
// returned: a [Table] copies it.
type Loader interface {
	Load(ctx context.Context) ([]Tenant, error)
}

// LoaderFunc makes a function a [Loader].
type LoaderFunc func(ctx context.Context) ([]Tenant, error)

// Load returns f(ctx).
func (f LoaderFunc) Load(ctx context.Context) ([]Tenant, error) { return f(ctx) }

// LiveConfig configures a [Live]. The zero LiveConfig is fine.
type LiveConfig struct {
	// Interval is the time between the loads of Run, give or take a tenth so
	// that several proxies do not ask the database at the same moment. 0 is 30
	// seconds; if it is negative, only Reload loads.
	Interval time.Duration

	// Timeout bounds each load of Run, so that a database that hangs does not
	// end reloading. 0 is 10 seconds.
	Timeout time.Duration

	// OnReload is called after each load but that of NewLive, by the goroutine
	// that loaded. It must be safe for concurrent use. It may be nil.
	OnReload func(ReloadEvent)

	// Logger gets a warning for each failed load of Run. Nil discards.
	Logger *slog.Logger
}

// ReloadEvent tells how a load went.
type ReloadEvent struct {
	Table *Table // what is in force now: the old table if Err is not nil
	Err   error
}

// Live is a [Resolver] whose [Table] is loaded again from time to time. A load
// that fails, or has a fault in it, leaves the old table in force. Live is safe
// for concurrent use; resolving takes no locks.
type Live struct {
	loader  Loader
	cfg     LiveConfig
	started atomic.Uint64 // loads begun
	current atomic.Pointer[snapshot]
}

// snapshot is a table with the number of the load that it came from.
type snapshot struct {
	load  uint64
	table *Table
}

// NewLive loads once and fails if that fails.
func NewLive(ctx context.Context, l Loader, cfg LiveConfig) (*Live, error) {
	if cfg.Interval == 0 {
		cfg.Interval = defaultInterval
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	table, err := loadTable(ctx, l)
	if err != nil {
		return nil, err
	}
	live := &Live{loader: l, cfg: cfg}
	live.current.Store(&snapshot{table: table})
	return live, nil
}

// Table returns the table in force. To get several answers that agree with each
// other, ask one table for all of them.
func (l *Live) Table() *Table { return l.current.Load().table }

// Resolve resolves with the table in force, see [Table.Resolve].
func (l *Live) Resolve(ctx context.Context, q Query) (Match, error) {
	return l.Table().Resolve(ctx, q)
}

// Reload loads now and reports what was wrong with it. Several calls may run
// at once; the load that began last wins.
func (l *Live) Reload(ctx context.Context) error {
	n := l.started.Add(1)
	table, err := loadTable(ctx, l.loader)
	if err == nil {
		l.publish(&snapshot{load: n, table: table})
	}
	if l.cfg.OnReload != nil {
		l.cfg.OnReload(ReloadEvent{Table: l.Table(), Err: err})
	}
	return err
}

// publish puts s in force unless a load that began later is.
func (l *Live) publish(s *snapshot) {
	for {
		cur := l.current.Load()
		if cur.load > s.load || l.current.CompareAndSwap(cur, s) {
			return
		}
	}
}

// Run reloads until ctx is done, then returns nil. Calling it is optional.
func (l *Live) Run(ctx context.Context) error {
	if l.cfg.Interval < 0 {
		<-ctx.Done()
		return nil
	}
	timer := time.NewTimer(l.pause())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if err := l.reloadInTime(ctx); err != nil && ctx.Err() == nil {
			l.cfg.Logger.Warn("tenants not reloaded", "err", err)
		}
		timer.Reset(l.pause())
	}
}

func (l *Live) reloadInTime(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	return l.Reload(ctx)
}

// pause returns the interval with jitter: nine to eleven tenths of it.
func (l *Live) pause() time.Duration {
	tenth := l.cfg.Interval / 10
	return l.cfg.Interval - tenth + rand.N(2*tenth+1)
}

func loadTable(ctx context.Context, l Loader) (*Table, error) {
	ts, err := l.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("tenant: load: %w", err)
	}
	return NewTable(ts)
}

var _ Resolver = (*Live)(nil)
