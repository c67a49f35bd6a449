package mysqlloc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/sipward/sipward/internal/mysqlschema"
	"github.com/sipward/sipward/location"
)

// Config configures a [Store]. The zero value is ready to use.
type Config struct {
	// Table is the name of the table, up to 64 letters, digits and underscores;
	// "location" if empty.
	Table string

	// Now is the clock, time.Now if nil; that of the database is never asked.
	// It is called by many goroutines at once.
	Now func() time.Time

	// TimeZone is that of the column last_modified; time.Local if nil, as with
	// an OpenSIPS on the same machine. Instances with one table need the same.
	TimeZone *time.Location

	// BranchFlags are OpenSIPS's branch flags of new rows, names separated by
	// blanks, such as "NAT" where its nat_bflag is called so. Empty for none.
	BranchFlags string

	// OnBadRow is told of each row that cannot be read and is skipped, each
	// time that a call meets it. It must not block and must be safe for
	// concurrent use. Nil for none.
	OnBadRow func(contactID uint64, err error)
}

// Store is a [location.Store] in a table of a database. It does not own the
// database: the caller opens, tunes and closes it. All methods may be called
// concurrently, Close last. A Store is a [location.Batcher], a
// [location.ContactFinder], a [location.Lister] and a [location.Purger].
type Store struct {
	cfg     Config
	db      *sqlx.DB
	columns map[string]column // those that hold texts
	statements
}

var _ interface {
	location.Store
	location.Batcher
	location.ContactFinder
	location.Lister
	location.Purger
} = (*Store)(nil)

// New checks the table and prepares the statements. The error wraps
// [ErrSchema] if the table is not one that the Store can use.
func New(ctx context.Context, db *sql.DB, cfg Config) (*Store, error) {
	if cfg.Table == "" {
		cfg.Table = "location"
	}
	if !mysqlschema.IsName(cfg.Table) {
		return nil, fmt.Errorf("mysqlloc: table %q: not a name of letters, digits and underscores", cfg.Table)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.TimeZone == nil {
		cfg.TimeZone = time.Local
	}
	if cfg.OnBadRow == nil {
		cfg.OnBadRow = func(uint64, error) {}
	}
	columns, err := checkSchema(ctx, db, cfg.Table)
	if err != nil {
		return nil, fmt.Errorf("mysqlloc: %w", err)
	}
	s := &Store{cfg: cfg, db: sqlx.NewDb(db, "mysql"), columns: columns}
	if err := s.prepare(ctx, s.db, cfg.Table); err != nil {
		return nil, errors.Join(fmt.Errorf("mysqlloc: %w", err), s.Close())
	}
	return s, nil
}

// Close frees the statements. The database stays open.
func (s *Store) Close() error { return s.close() }

// Lookup implements [location.Store].
func (s *Store) Lookup(ctx context.Context, aor location.AOR) ([]location.Binding, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	rows, err := selectRows(ctx, nil, s.lookup, columnUser(aor.User()), columnDomain(aor.Domain()))
	if mysqlschema.Is(err, illegalMix) {
		return nil, nil // the column's character set lacks a character of the user
	}
	if err != nil {
		return nil, failure(ctx, "lookup "+aor.String(), err)
	}
	var live []location.Binding
	now := s.cfg.Now()
	for i := range rows {
		r, err := s.decode(&rows[i])
		if err != nil {
			s.cfg.OnBadRow(rows[i].ContactID, err)
		} else if r.aor == aor && now.Before(r.binding.Expires) {
			live = append(live, r.binding)
		}
	}
	slices.SortStableFunc(live, location.Binding.Compare)
	return live, nil
}

// failure says what was being done when err came up. Once ctx is done its error
// is what the caller waits for, whatever the driver made of it.
func failure(ctx context.Context, doing string, err error) error {
	if ctxErr := ctx.Err(); ctxErr != nil && !errors.Is(err, ctxErr) {
		return fmt.Errorf("mysqlloc: %s: %w (%v)", doing, ctxErr, err)
	}
	return fmt.Errorf("mysqlloc: %s: %w", doing, err)
}
