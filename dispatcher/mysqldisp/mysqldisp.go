// Package mysqldisp loads the destinations of a [dispatcher.Dispatcher] from
// the table dispatcher (version 9) of OpenSIPS 3.6, in MariaDB or MySQL, and
// writes their states back.
//
// [New] takes the program's pool, with the driver of
// github.com/go-sql-driver/mysql. [Create] makes the table if there is none.
//
// A weight is a share of the requests here; OpenSIPS takes it for a number of
// requests in a row, which comes to the same share. The column probe_mode counts
// only with Config.ProbeMode. A running OpenSIPS sees what [Loader.SetState] writes when it loads
// its destinations again, and writes over it if it keeps states in the database
// too.
//
// A row that makes no sense is left out and reported as a [Problem], so that it
// affects nobody but its set. What Load returns is always good for
// [dispatcher.Dispatcher.Update].
package mysqldisp

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/internal/mysqlschema"
)

// Config configures a [Loader]. The zero Config is ready to use.
type Config struct {
	// Table is the name of the table, up to 64 letters, digits and underscores;
	// "dispatcher" if empty.
	Table string

	// ProbeMode has rows with 0 in the column probe_mode, which is its default, probed
	// only while they are down, see [dispatcher.Destination]. Without it, or without
	// the column, all are probed.
	ProbeMode bool

	// OnProblem is told of each problem at the end of each load that has it, by
	// the goroutine that loads. It must be safe for concurrent use if Load is
	// called concurrently. Nil for none.
	OnProblem func(Problem)
}

// Loader loads destinations. It does not own the database: the caller opens and
// closes it. It is safe for concurrent use.
type Loader struct {
	cfg Config
	db  *sql.DB
}

// New checks the table. The error wraps [ErrSchema] if it is not one that a
// Loader can use.
func New(ctx context.Context, db *sql.DB, cfg Config) (*Loader, error) {
	if cfg.Table == "" {
		cfg.Table = "dispatcher"
	}
	if !mysqlschema.IsName(cfg.Table) {
		return nil, fmt.Errorf("mysqldisp: table %q: not a name of letters, digits and underscores", cfg.Table)
	}
	if cfg.OnProblem == nil {
		cfg.OnProblem = func(Problem) {}
	}
	l := &Loader{cfg: cfg, db: db}
	if _, err := l.query(ctx, db); err != nil {
		return nil, fmt.Errorf("mysqldisp: %w", err)
	}
	return l, nil
}

// query returns the statement that reads all rows, with NULL for columns that
// there are not.
func (l *Loader) query(ctx context.Context, q mysqlschema.Queryer) (string, error) {
	has, err := mysqlschema.Check(ctx, q, l.cfg.Table, Version, "id", "setid", "destination", "socket", "state")
	if err != nil {
		return "", err
	}
	return mysqlschema.SelectAll(l.cfg.Table, has, strings.Fields("id setid destination socket state probe_mode weight priority attrs description")...), nil
}

// Load returns all destinations in the order of their ids. The error is one of
// the database; it wraps [ErrSchema] if the table is no longer what it was for
// [New].
//
// Rows with the same set, URI and socket are one destination, that of the first
// row, except that it is inactive if any of them is.
func (l *Loader) Load(ctx context.Context) ([]dispatcher.Destination, error) {
	return l.load(ctx, l.db)
}

// LoadTx is Load in a transaction of the caller, who reads other tables in it
// too.
func (l *Loader) LoadTx(ctx context.Context, tx *sql.Tx) ([]dispatcher.Destination, error) {
	return l.load(ctx, tx)
}

func (l *Loader) load(ctx context.Context, q mysqlschema.Queryer) ([]dispatcher.Destination, error) {
	rows, err := l.read(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("mysqldisp: load: %w", err)
	}
	all, problems := l.destinations(rows)
	for _, p := range problems {
		l.cfg.OnProblem(p)
	}
	return all, nil
}

func (l *Loader) read(ctx context.Context, q mysqlschema.Queryer) (rows []row, err error) {
	query, err := l.query(ctx, q)
	if err != nil {
		return nil, err
	}
	err = mysqlschema.Select(ctx, q, &rows, query)
	return rows, err
}

// destinations returns what rows mean and what is wrong with them.
func (l *Loader) destinations(rows []row) (all []dispatcher.Destination, problems []Problem) {
	type identity struct {
		set         int
		uri, socket string
	}
	seen := make(map[identity]int) // to the index in all
	for i := range rows {
		d, faults := rows[i].decode()
		d.ProbeDown = l.cfg.ProbeMode && rows[i].ProbeMode.String == "0"
		key := identity{d.SetID, d.URI, d.Socket}
		first, dup := seen[key]
		switch {
		case slices.ContainsFunc(faults, isFatal):
		case dup:
			faults = append(faults, fmt.Errorf("%w: %s", ErrDuplicate, d.URI))
			if d.State == dispatcher.Inactive {
				all[first].State = dispatcher.Inactive
			}
		default:
			seen[key] = len(all)
			all = append(all, d)
		}
		for _, err := range faults {
			problems = append(problems, Problem{l.cfg.Table, rows[i].id(), d.SetID, err})
		}
	}
	return all, problems
}
