package console

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/sipward/sipward/acct/mysqlacct"
	"github.com/sipward/sipward/dispatcher/mysqldisp"
	"github.com/sipward/sipward/examples/proxy/internal/seclog"
	"github.com/sipward/sipward/location/mysqlloc"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

// part is a table of the proxy's, with what makes it and who judges it.
type part struct {
	table      string
	version    int
	create     func(ctx context.Context, db *sql.DB) error // nil: that of another one does
	statements string                                      // those that create begins with

	// indexes are those without which the table is slow, each as the names of its
	// columns.
	indexes [][]string

	// check says why the proxy cannot use the table.
	check func(ctx context.Context, db *sql.DB) error

	// history tells that the table has what was, such as calls: the proxy runs
	// without it, and it is not saved, as to bring back what it had would lose what
	// it has.
	history bool
}

// parts are all tables that the proxy uses, in the order in which they are
// made, shown and saved.
func parts() []part {
	return []part{
		{"domain", mysqltenant.Version, mysqltenant.Create, mysqltenant.Schema, nil, checkTenants, false},
		{"dispatcher", mysqldisp.Version, mysqldisp.Create, mysqldisp.Schema, nil, checkDestinations, false},
		{"location", mysqlloc.Version, mysqlloc.Create, mysqlloc.Schema, [][]string{{"domain", "username"}, {"expires"}}, checkLocation, false},
		{"acc", mysqlacct.Version, mysqlacct.Create, "", [][]string{{recordID}}, checkRecords, true},
		{"missed_calls", mysqlacct.MissedVersion, nil, "", [][]string{{recordID}}, checkRecords, true},
		{"dialog", mysqlacct.DialogVersion, nil, "", nil, checkDialogs, true},
		{seclog.Registrations, seclog.Version, seclog.Create, "", nil, checkRows(seclog.Registrations), true},
		{seclog.Knocks, seclog.Version, nil, "", nil, checkRows(seclog.Knocks), true},
	}
}

// recordID is the column by which the record of a call is known again.
const recordID = "record_id"

func checkTenants(ctx context.Context, db *sql.DB) error {
	_, err := mysqltenant.New(ctx, db, mysqltenant.Config{})
	return err
}

func checkDestinations(ctx context.Context, db *sql.DB) error {
	_, err := mysqldisp.New(ctx, db, mysqldisp.Config{})
	return err
}

func checkLocation(ctx context.Context, db *sql.DB) error {
	store, err := mysqlloc.New(ctx, db, mysqlloc.Config{})
	if err != nil {
		return err
	}
	return store.Close()
}

func checkRecords(ctx context.Context, db *sql.DB) error {
	_, err := mysqlacct.New(ctx, db, mysqlacct.Config{})
	return err
}

func checkDialogs(ctx context.Context, db *sql.DB) error {
	_, err := mysqlacct.NewMirror(ctx, db, mysqlacct.MirrorConfig{})
	return err
}

// checkRows returns the check of a table of who was turned away.
func checkRows(table string) func(ctx context.Context, db *sql.DB) error {
	return func(ctx context.Context, db *sql.DB) error { return seclog.Check(ctx, db, table) }
}

// saved returns the names of the tables that a backup has.
func saved() (names []string) {
	for _, p := range parts() {
		if !p.history {
			names = append(names, p.table)
		}
	}
	return names
}

// readSchema reads what the database has of the tables of all parts.
func (s *session) readSchema(ctx context.Context) (schema, error) {
	var names []string
	for _, p := range parts() {
		names = append(names, p.table)
	}
	return readSchema(ctx, s.db, names)
}

// table reads what the database has of a table. That there is none is an error.
func (s *session) table(ctx context.Context, name string) (*table, error) {
	all, err := s.readSchema(ctx)
	if err != nil {
		return nil, err
	}
	if all[name] == nil {
		return nil, fmt.Errorf("there is no table %s; proxy db init makes it", name)
	}
	return all[name], nil
}

// columns returns the names of the columns that create makes.
func (p *part) columns() (names []string) {
	_, body, _ := strings.Cut(p.statements, "CREATE TABLE IF NOT EXISTS "+p.table+" (\n")
	body, _, _ = strings.Cut(body, "\n)")
	for line := range strings.Lines(body) {
		name := strings.Fields(line)[0]
		if name == strings.ToLower(name) { // a keyword begins the lines of keys
			names = append(names, name)
		}
	}
	return names
}
