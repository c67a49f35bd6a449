package mysqlacct

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/sipward/sipward/acct"
	"github.com/sipward/sipward/internal/mysqlschema"
)

// Config configures a [Sink]. The zero Config is ready to use.
type Config struct {
	// Table and MissedTable are the names of the tables, up to 64 letters,
	// digits and underscores; "acc" and "missed_calls" if empty.
	Table, MissedTable string

	// Failed writes calls that were not answered to Table too.
	Failed bool

	// TimeZone is that of the columns time and created; time.Local if nil, as
	// with an OpenSIPS on the same machine.
	TimeZone *time.Location
}

// complete fills in the defaults.
func (c *Config) complete() error {
	if c.Table == "" {
		c.Table = "acc"
	}
	if c.MissedTable == "" {
		c.MissedTable = "missed_calls"
	}
	if c.TimeZone == nil {
		c.TimeZone = time.Local
	}
	for _, name := range []string{c.Table, c.MissedTable} {
		if !mysqlschema.IsName(name) {
			return fmt.Errorf("table %q: not a name of letters, digits and underscores", name)
		}
	}
	return nil
}

// Sink is an [acct.Sink]. It does not own the database: the caller opens and
// closes it.
type Sink struct {
	cfg         Config
	db          *sqlx.DB
	acc, missed *table
	// unsure tells that an attempt has failed, or that there may have been one
	// before the program started: its rows may be there, and the tables may not
	// be what they were.
	unsure bool
}

var _ acct.Sink = (*Sink)(nil)

// New checks the tables. The error wraps [ErrSchema] if one of them is not one
// that a Sink can use.
func New(ctx context.Context, db *sql.DB, cfg Config) (*Sink, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("mysqlacct: %w", err)
	}
	s := &Sink{cfg: cfg, db: sqlx.NewDb(db, "mysql"), unsure: true}
	if err := s.readTables(ctx); err != nil {
		return nil, fmt.Errorf("mysqlacct: %w", err)
	}
	return s, nil
}

func (s *Sink) readTables(ctx context.Context) (err error) {
	if s.acc, err = readTable(ctx, s.db, s.cfg.Table, Version, true); err != nil {
		return err
	}
	s.missed, err = readTable(ctx, s.db, s.cfg.MissedTable, MissedVersion, false)
	return err
}

// Write implements [acct.Sink]. All rows are written, or none. The error wraps
// [acct.ErrRejected] if the server will not have what is in a record, which no
// text can bring about but a constraint of the operator's can.
func (s *Sink) Write(ctx context.Context, records []acct.Record) error {
	unsure := s.unsure
	s.unsure = true
	if unsure {
		if err := s.readTables(ctx); err != nil {
			return fmt.Errorf("mysqlacct: %w", err)
		}
	}
	acc, missed := s.rows(records)
	if err := s.insertAll(ctx, acc, missed, unsure); err != nil {
		if unsure && isRejection(err) { // by the tables as they are
			err = fmt.Errorf("%w: %w", acct.ErrRejected, err)
		}
		return fmt.Errorf("mysqlacct: write: %w", err)
	}
	s.unsure = false
	return nil
}

// isRejection reports whether the server refuses a value.
func isRejection(err error) bool {
	const (
		outOfRange     = 1264
		truncatedValue = 1292
		incorrectValue = 1366
		dataTooLong    = 1406
		checkOfMySQL   = 3819
		checkOfMariaDB = 4025
	)
	return mysqlschema.Is(err, outOfRange, truncatedValue, incorrectValue, dataTooLong, checkOfMySQL, checkOfMariaDB)
}

// rows returns what the records are in the tables.
func (s *Sink) rows(records []acct.Record) (acc, missed []row) {
	for i := range records {
		r := &records[i]
		if s.cfg.Failed || !r.Answered.IsZero() {
			acc = append(acc, s.row(s.acc, r))
		}
		if r.Missed() {
			missed = append(missed, s.row(s.missed, r))
		}
	}
	return acc, missed
}

// row is the values of a row, in the order of its table's columns.
type row []any

func (s *Sink) row(t *table, r *acct.Record) row {
	values := make(row, len(t.columns))
	for i, c := range t.columns {
		values[i] = c.value(s, r)
		if held, ok := t.texts[c.name]; ok {
			if text, ok := values[i].(string); ok {
				values[i] = held.fit(text)
			}
		}
	}
	return values
}

// insertAll writes the rows in one transaction, but those that are there if
// unsure is set.
func (s *Sink) insertAll(ctx context.Context, acc, missed []row, unsure bool) error {
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	for _, part := range []struct {
		table *table
		rows  []row
	}{{s.acc, acc}, {s.missed, missed}} {
		if unsure && !part.table.unique {
			if part.rows, err = part.table.without(ctx, tx, part.rows); err != nil {
				return err
			}
		}
		if err := part.table.insert(ctx, tx, part.rows); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (t *table) insert(ctx context.Context, tx *sqlx.Tx, rows []row) error {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	update := ""
	if t.unique {
		update = recordID + " = " + recordID // nothing
	}
	return insert(ctx, tx, t.name, names, rows, update)
}

// insert inserts rows, unless there are none, into the columns of a table. What
// is there already is updated as update says, if it says anything.
func insert(ctx context.Context, db sqlx.ExecerContext, table string, columns []string, rows []row, update string) error {
	if len(rows) == 0 {
		return nil
	}
	marks := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ") + ")"
	query := "INSERT INTO `" + table + "` (" + strings.Join(columns, ", ") + ") VALUES " +
		strings.TrimSuffix(strings.Repeat(marks+", ", len(rows)), ", ")
	if update != "" {
		query += " ON DUPLICATE KEY UPDATE " + update
	}
	_, err := db.ExecContext(ctx, query, slices.Concat(rows...)...)
	return err
}

// likeness is what two rows of the same record have in common.
type likeness struct {
	CallID  string         `db:"callid"`
	FromTag string         `db:"from_tag"`
	ToTag   string         `db:"to_tag"`
	Code    string         `db:"sip_code"`
	Time    sql.NullString `db:"time"`
	Created sql.NullString `db:"created"`
}

// trimmed returns l as a CHAR column keeps it.
func (l likeness) trimmed() likeness {
	for _, s := range []*string{&l.CallID, &l.FromTag, &l.ToTag, &l.Code} {
		*s = strings.TrimRight(*s, " ")
	}
	return l
}

// likenessOf returns that of a row.
func (t *table) likenessOf(r row) likeness {
	values := map[string]string{}
	for i, c := range t.columns {
		values[c.name], _ = r[i].(string)
	}
	return likeness{
		values["callid"], values["from_tag"], values["to_tag"], values["sip_code"],
		sql.NullString{String: values["time"], Valid: true}, sql.NullString{String: values["created"], Valid: true},
	}.trimmed()
}

// without returns the rows that are not in the table yet. It reads with locks: a
// commit whose connection is gone may still be under way, and is waited for.
func (t *table) without(ctx context.Context, tx *sqlx.Tx, rows []row) ([]row, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = t.likenessOf(r).CallID
	}
	query, args, err := sqlx.In("SELECT callid, from_tag, to_tag, sip_code, CAST(time AS CHAR) AS time, CAST(created AS CHAR) AS created"+
		" FROM `"+t.name+"` WHERE callid IN (?) FOR UPDATE", ids)
	if err != nil {
		return nil, err
	}
	var found []likeness
	if err := tx.SelectContext(ctx, &found, query, args...); err != nil {
		return nil, err
	}
	there := map[likeness]bool{}
	for _, l := range found {
		there[l.trimmed()] = true
	}
	var missing []row
	for _, r := range rows {
		if !there[t.likenessOf(r)] {
			missing = append(missing, r)
		}
	}
	return missing, nil
}
