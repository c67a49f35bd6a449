// Package mysqldisp loads the destinations of a [dispatcher.Dispatcher] from
// the table dispatcher (version 9) of OpenSIPS 3.6, in MariaDB or MySQL, and
// writes their states back.
//
// [New] takes the program's pool, with the driver of
// github.com/go-sql-driver/mysql. [Create] makes the table if there is none.
//
// A weight is a share of the requests here; OpenSIPS takes it for a number of
// requests in a row, which comes to the same share. The column probe_mode is
// not read. A running OpenSIPS sees what [Loader.SetState] writes when it loads
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

	"github.com/jmoiron/sqlx"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/internal/mysqlschema"
)

// Config configures a [Loader]. The zero Config is ready to use.
type Config struct {
	// Table is the name of the table, up to 64 letters, digits and underscores;
	// "dispatcher" if empty.
	Table string

	// OnProblem is told of each problem at the end of each load that has it, by
	// the goroutine that loads. It must be safe for concurrent use if Load is
	// called concurrently. Nil for none.
	OnProblem func(Problem)
}

// Loader loads destinations. It does not own the database: the caller opens and
// closes it. It is safe for concurrent use.
type Loader struct {
	cfg Config
	db  *sqlx.DB
}

// New checks the table. The error wraps [ErrSchema] if it is not one that a
// Loader can use.
func New(ctx context.Context, db *sql.DB, cfg Config) (*Loader, error) {
	if cfg.Table == "" {
		cfg.Table = "dispatcher"
	}
	if !isName(cfg.Table) {
		return nil, fmt.Errorf("mysqldisp: table %q: not a name of letters, digits and underscores", cfg.Table)
	}
	if cfg.OnProblem == nil {
		cfg.OnProblem = func(Problem) {}
	}
	l := &Loader{cfg: cfg, db: sqlx.NewDb(db, "mysql")}
	if _, err := l.query(ctx); err != nil {
		return nil, fmt.Errorf("mysqldisp: %w", err)
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

// query returns the statement that reads all rows, with NULL for columns that
// there are not.
func (l *Loader) query(ctx context.Context) (string, error) {
	has, err := mysqlschema.Check(ctx, l.db, l.cfg.Table, Version, "id", "setid", "destination", "socket", "state")
	if err != nil {
		return "", err
	}
	columns := strings.Fields("id setid destination socket state weight priority attrs description")
	for i, name := range columns {
		if !has[name] {
			columns[i] = "NULL AS " + name
		}
	}
	return "SELECT " + strings.Join(columns, ", ") + " FROM `" + l.cfg.Table + "` ORDER BY id", nil
}

// Load returns all destinations in the order of their ids. The error is one of
// the database; it wraps [ErrSchema] if the table is no longer what it was for
// [New].
//
// Rows with the same set, URI and socket are one destination, that of the first
// row, except that it is inactive if any of them is.
func (l *Loader) Load(ctx context.Context) ([]dispatcher.Destination, error) {
	query, err := l.query(ctx)
	if err != nil {
		return nil, fmt.Errorf("mysqldisp: load: %w", err)
	}
	var rows []row
	if err := l.db.SelectContext(ctx, &rows, query); err != nil {
		return nil, fmt.Errorf("mysqldisp: load: %w", err)
	}
	all, problems := l.destinations(rows)
	for _, p := range problems {
		l.cfg.OnProblem(p)
	}
	return all, nil
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
