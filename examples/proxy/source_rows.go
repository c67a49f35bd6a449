package main

import (
	"context"
	"database/sql"
	"time"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/dispatcher/mysqldisp"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

// readTimeout bounds one reading of the tables, so that a server that hangs
// does not end reloading.
const readTimeout = 10 * time.Second

// rows are what the database says of the tenants at one moment. They do not
// change.
type rows struct {
	tenants      *mysqltenant.Rows
	destinations []dispatcher.Destination
	problems     []mysqldisp.Problem // of destinations
}

// tables reads rows.
type tables struct {
	db       *sql.DB
	probes   bool                // the column probe_mode counts
	tenants  *mysqltenant.Loader // nil until the tables could be checked
	sets     *mysqldisp.Loader
	problems []mysqldisp.Problem // of the reading in progress
}

// read returns all rows as they are at one moment.
func (t *tables) read(ctx context.Context) (*rows, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if t.tenants == nil {
		if err := t.open(ctx); err != nil {
			return nil, err
		}
	}
	tx, err := t.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() // nothing was written
	var r rows
	if r.tenants, err = t.tenants.ReadTx(ctx, tx); err != nil {
		return nil, err
	}
	t.problems = nil
	if r.destinations, err = t.sets.LoadTx(ctx, tx); err != nil {
		return nil, err
	}
	r.problems = t.problems
	return &r, nil
}

// open checks the tables, for which the database must be there.
func (t *tables) open(ctx context.Context) error {
	sets, err := mysqldisp.New(ctx, t.db, mysqldisp.Config{
		ProbeMode: t.probes,
		OnProblem: func(p mysqldisp.Problem) { t.problems = append(t.problems, p) },
	})
	if err != nil {
		return err
	}
	tenants, err := mysqltenant.New(ctx, t.db, mysqltenant.Config{})
	if err != nil {
		return err
	}
	t.tenants, t.sets = tenants, sets
	return nil
}
