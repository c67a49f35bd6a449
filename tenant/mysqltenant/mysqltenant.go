package mysqltenant

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sipward/sipward/internal/mysqlschema"
	"github.com/sipward/sipward/tenant"
)

// Config configures a [Loader]. The zero Config is ready to use.
type Config struct {
	// DomainTable and DispatcherTable are the names of the tables, up to 64
	// letters, digits and underscores; "domain" and "dispatcher" if empty.
	DomainTable, DispatcherTable string

	// Resolver and LookupTimeout are those of [NamesConfig], for the names of
	// destinations.
	Resolver      Resolver
	LookupTimeout time.Duration

	// OnProblem is told of each problem at the end of each load that has it, by
	// the goroutine that loads. It must be safe for concurrent use if Load is
	// called concurrently. Nil for none.
	OnProblem func(Problem)
}

// Loader is a [tenant.Loader]. It does not own the database: the caller opens
// and closes it. It is safe for concurrent use.
type Loader struct {
	cfg   Config
	db    *sql.DB
	names *Names
}

var _ tenant.Loader = (*Loader)(nil)

// New checks the tables. The error wraps [ErrSchema] if one of them is not what
// a Loader can read.
func New(ctx context.Context, db *sql.DB, cfg Config) (*Loader, error) {
	if cfg.DomainTable == "" {
		cfg.DomainTable = "domain"
	}
	if cfg.DispatcherTable == "" {
		cfg.DispatcherTable = "dispatcher"
	}
	for _, name := range []string{cfg.DomainTable, cfg.DispatcherTable} {
		if !mysqlschema.IsName(name) {
			return nil, fmt.Errorf("mysqltenant: table %q: not a name of letters, digits and underscores", name)
		}
	}
	if cfg.OnProblem == nil {
		cfg.OnProblem = func(Problem) {}
	}
	l := &Loader{cfg: cfg, db: db, names: NewNames(NamesConfig{Resolver: cfg.Resolver, Timeout: cfg.LookupTimeout})}
	if _, _, err := l.queries(ctx, l.db); err != nil {
		return nil, fmt.Errorf("mysqltenant: %w", err)
	}
	return l, nil
}

// Load implements [tenant.Loader]. It returns the tenants by set id. The error
// is one of the database; it wraps [ErrSchema] if a table is no longer what it
// was for [New].
func (l *Loader) Load(ctx context.Context) ([]tenant.Tenant, error) {
	rows, err := l.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("mysqltenant: load: %w", err)
	}
	tenants, problems := rows.Tenants(l.names.Resolve(ctx, slices.Collect(maps.Keys(rows.Names())), nil))
	// A load that was given up is not a load with an outage of DNS.
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("mysqltenant: load: %w", err)
	}
	for _, p := range problems {
		l.cfg.OnProblem(p)
	}
	return tenants, nil
}
