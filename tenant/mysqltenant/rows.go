package mysqltenant

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/sipward/sipward/internal/mysqlschema"
	"github.com/sipward/sipward/tenant"
)

// Rows are all rows of both tables as they were at one moment. They do not
// change, and are safe for concurrent use. Programs that load tenants and
// nothing else need only [Loader.Load].
type Rows struct {
	domainTable, dispatcherTable string

	domains      []domainRow
	destinations []destinationRow
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

// ReadTx reads all rows in a transaction of the caller, who reads other tables
// in it too. It should have the isolation level REPEATABLE READ, or the two
// tables may not fit together. The error is that of Load.
func (l *Loader) ReadTx(ctx context.Context, tx *sql.Tx) (*Rows, error) {
	rows, err := l.readTx(ctx, tx)
	if err != nil {
		return nil, fmt.Errorf("mysqltenant: read: %w", err)
	}
	return rows, nil
}

func (l *Loader) readTx(ctx context.Context, tx *sql.Tx) (*Rows, error) {
	domainQuery, dispatcherQuery, err := l.queries(ctx, tx)
	if err != nil {
		return nil, err
	}
	rows := &Rows{domainTable: l.cfg.DomainTable, dispatcherTable: l.cfg.DispatcherTable}
	if err := mysqlschema.Select(ctx, tx, &rows.domains, domainQuery); err != nil {
		return nil, err
	}
	if err := mysqlschema.Select(ctx, tx, &rows.destinations, dispatcherQuery); err != nil {
		return nil, err
	}
	return rows, nil
}

// read is readTx in a transaction of its own.
func (l *Loader) read(ctx context.Context) (*Rows, error) {
	tx, err := l.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() // nothing was written
	return l.readTx(ctx, tx)
}

// queries returns the statements for the columns that there are. Each load asks
// again, since Create may add one while a program runs.
func (l *Loader) queries(ctx context.Context, q mysqlschema.Queryer) (domain, dispatcher string, err error) {
	has, err := mysqlschema.Check(ctx, q, l.cfg.DomainTable, Version, "id", "domain")
	if err != nil {
		return "", "", err
	}
	if !has["setid"] && !has["attrs"] {
		return "", "", fmt.Errorf("%w: %s has no column setid and no column attrs, want one of them", ErrSchema, l.cfg.DomainTable)
	}
	domain = mysqlschema.SelectAll(l.cfg.DomainTable, has, "id", "domain", "setid", "attrs")
	has, err = mysqlschema.Check(ctx, q, l.cfg.DispatcherTable, dispatcherVersion, "id", "setid", "destination")
	if err != nil {
		return "", "", err
	}
	return domain, mysqlschema.SelectAll(l.cfg.DispatcherTable, has, "id", "setid", "destination", "attrs"), nil
}

// Names returns the names of destinations, each with the sets that have it, in no
// order. The map is the caller's.
func (r *Rows) Names() map[Name][]int {
	names := make(map[Name][]int)
	for _, d := range r.destinations {
		name, ok := NameOf(d.Destination.String)
		if !ok {
			continue
		}
		id, err := parseSet(d.SetID.String)
		if err == nil && !slices.Contains(names[name], id) {
			names[name] = append(names[name], id)
		}
	}
	return names
}

// Tenants returns the tenants by set id, and what is wrong with the rows.
// Answers are those for Names; a name that is not among them leads nowhere.
func (r *Rows) Tenants(answers map[Name]Answer) ([]tenant.Tenant, []Problem) {
	b := newBuilder(r.domainTable, r.dispatcherTable, answers)
	for _, d := range r.destinations {
		b.addDestination(d)
	}
	for _, d := range r.domains {
		b.addDomain(d)
	}
	return b.result(), b.problems
}
