package mysqltenant

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/sipward/sipward/internal/mysqlschema"
	"github.com/sipward/sipward/tenant"
)

const defaultLookupTimeout = 3 * time.Second

// Config configures a [Loader]. The zero Config is ready to use.
type Config struct {
	// DomainTable and DispatcherTable are the names of the tables, up to 64
	// letters, digits and underscores; "domain" and "dispatcher" if empty.
	DomainTable, DispatcherTable string

	// LookupHost resolves the names of destinations to addresses of either
	// family. It must end when ctx is done, and is called by several goroutines
	// at once. Nil is net.DefaultResolver.
	LookupHost func(ctx context.Context, host string) ([]netip.Addr, error)

	// LookupTimeout bounds all lookups of a load together. What takes longer has
	// failed. 0 is 3 seconds, which leaves time to a load of [tenant.Live].
	LookupTimeout time.Duration

	// OnProblem is told of each problem at the end of each load that has it, by
	// the goroutine that loads. It must be safe for concurrent use if Load is
	// called concurrently. Nil for none.
	OnProblem func(Problem)
}

// Loader is a [tenant.Loader]. It does not own the database: the caller opens
// and closes it. It is safe for concurrent use.
type Loader struct {
	cfg Config
	db  *sqlx.DB

	mu      sync.Mutex
	answers map[string][]netip.Addr // the last ones, by host
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
		if !isName(name) {
			return nil, fmt.Errorf("mysqltenant: table %q: not a name of letters, digits and underscores", name)
		}
	}
	if cfg.LookupHost == nil {
		cfg.LookupHost = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if cfg.LookupTimeout == 0 {
		cfg.LookupTimeout = defaultLookupTimeout
	}
	if cfg.OnProblem == nil {
		cfg.OnProblem = func(Problem) {}
	}
	l := &Loader{cfg: cfg, db: sqlx.NewDb(db, "mysql")}
	if _, _, err := l.queries(ctx, l.db); err != nil {
		return nil, fmt.Errorf("mysqltenant: %w", err)
	}
	return l, nil
}

// isName reports whether s can be a table's name without any doubt.
func isName(s string) bool {
	other := func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, other)
}

// Load implements [tenant.Loader]. It returns the tenants by set id. The error
// is one of the database; it wraps [ErrSchema] if a table is no longer what it
// was for [New].
func (l *Loader) Load(ctx context.Context) ([]tenant.Tenant, error) {
	domains, destinations, err := l.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("mysqltenant: load: %w", err)
	}
	b := newBuilder(l.cfg)
	for _, r := range destinations {
		b.addDestination(r)
	}
	b.addNamed(l.lookup(ctx, b.names()))
	for _, r := range domains {
		b.addDomain(r)
	}
	// A load that was given up is not a load with an outage of DNS.
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("mysqltenant: load: %w", err)
	}
	for _, p := range b.problems {
		l.cfg.OnProblem(p)
	}
	return b.result(), nil
}

// domainRow and destinationRow are rows before anybody has judged them. Even
// numbers are texts here, so that one that is none fails its row only.
type domainRow struct {
	ID     sql.NullString `db:"id"`
	Domain sql.NullString `db:"domain"`
	SetID  sql.NullString `db:"setid"`
	Attrs  sql.NullString `db:"attrs"`
}

type destinationRow struct {
	ID          sql.NullString `db:"id"`
	SetID       sql.NullString `db:"setid"`
	Destination sql.NullString `db:"destination"`
	Attrs       sql.NullString `db:"attrs"`
}

// read returns all rows of both tables as they are at one moment.
func (l *Loader) read(ctx context.Context) (domains []domainRow, destinations []destinationRow, err error) {
	tx, err := l.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, nil, err
	}
	defer tx.Rollback() // nothing was written
	domainQuery, dispatcherQuery, err := l.queries(ctx, tx)
	if err != nil {
		return nil, nil, err
	}
	if err := tx.SelectContext(ctx, &domains, domainQuery); err != nil {
		return nil, nil, err
	}
	if err := tx.SelectContext(ctx, &destinations, dispatcherQuery); err != nil {
		return nil, nil, err
	}
	return domains, destinations, nil
}

// queries returns the statements for the columns that there are. Each load asks
// again, since Create may add one while a program runs.
func (l *Loader) queries(ctx context.Context, q sqlx.QueryerContext) (domain, dispatcher string, err error) {
	has, err := mysqlschema.Check(ctx, q, l.cfg.DomainTable, Version, "id", "domain")
	if err != nil {
		return "", "", err
	}
	if !has["setid"] && !has["attrs"] {
		return "", "", fmt.Errorf("%w: %s has no column setid and no column attrs, want one of them", ErrSchema, l.cfg.DomainTable)
	}
	domain = selectQuery(l.cfg.DomainTable, has, "id", "domain", "setid", "attrs")
	has, err = mysqlschema.Check(ctx, q, l.cfg.DispatcherTable, dispatcherVersion, "id", "setid", "destination")
	if err != nil {
		return "", "", err
	}
	return domain, selectQuery(l.cfg.DispatcherTable, has, "id", "setid", "destination", "attrs"), nil
}

// selectQuery returns a statement that reads NULL for columns that there are
// not. All that it is made of is known to be names.
func selectQuery(table string, has map[string]bool, columns ...string) string {
	for i, name := range columns {
		if !has[name] {
			columns[i] = "NULL AS " + name
		}
	}
	return "SELECT " + strings.Join(columns, ", ") + " FROM `" + table + "` ORDER BY id"
}
