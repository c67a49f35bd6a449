package mysqlacct

import (
	"context"
	"database/sql"
	_ "embed" // schema.sql
	"fmt"
	"math"
	"strings"

	"github.com/sipward/sipward/internal/mysqlschema"
)

// ErrSchema reports a table that is missing, of another version, or without a
// column that it must have. The error's text names what was wanted and what was
// found.
var ErrSchema = mysqlschema.ErrSchema

// Version, MissedVersion and DialogVersion are what the table of versions must
// say of acc, missed_calls and dialog, as in OpenSIPS 3.6.
const (
	Version       = 7
	MissedVersion = 5
	DialogVersion = 12
)

// Schema has the statements that [Create] begins with, each ended by a
// semicolon at the end of a line.
//
//go:embed schema.sql
var Schema string

// Create makes what is missing: the tables of [Schema], and in tables of
// OpenSIPS with the names acc and missed_calls the columns that it does not
// have and the unique key of record_id. It alters nothing else, so that it can
// be used again.
func Create(ctx context.Context, db *sql.DB) error {
	if err := mysqlschema.Create(ctx, db, Schema); err != nil {
		return fmt.Errorf("mysqlacct: create: %w", err)
	}
	for _, table := range []string{"acc", "missed_calls"} {
		if err := addColumns(ctx, db, table); err != nil {
			return fmt.Errorf("mysqlacct: create columns of %s: %w", table, err)
		}
	}
	return nil
}

// addColumns adds the optional columns that are missing, and the key of
// record_id. That another program was faster is no fault.
func addColumns(ctx context.Context, db *sql.DB, table string) error {
	for {
		has, err := mysqlschema.Columns(ctx, db, table)
		if err != nil {
			return err
		}
		var add []string
		for _, c := range columns() {
			if !c.needed && !has[c.name] {
				add = append(add, "ADD COLUMN "+c.name+" "+c.added)
			}
		}
		if len(add) == 0 {
			break
		}
		_, err = db.ExecContext(ctx, "ALTER TABLE "+table+" "+strings.Join(add, ", "))
		if err != nil && !mysqlschema.Is(err, mysqlschema.DuplicateColumn) {
			return err
		}
	}
	if unique, err := isUnique(ctx, db, table); err != nil || unique {
		return err
	}
	_, err := db.ExecContext(ctx, "CREATE UNIQUE INDEX sipward_record ON "+table+" ("+recordID+")")
	if mysqlschema.Is(err, mysqlschema.DuplicateIndex) {
		return nil
	}
	return err
}

// isUnique reports whether no two rows can have the same record_id.
func isUnique(ctx context.Context, q mysqlschema.Queryer, table string) (unique bool, err error) {
	const query = `SELECT COUNT(*) FROM (
			SELECT MAX(non_unique) AS doubles, GROUP_CONCAT(LOWER(column_name)) AS columns_of
			FROM information_schema.statistics
			WHERE table_schema = DATABASE() AND table_name = ?
			GROUP BY index_name) AS indexes
		WHERE doubles = 0 AND columns_of = '` + recordID + `'`
	rows, err := q.QueryContext(ctx, query, table)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		if err := rows.Scan(&n); err != nil {
			return false, err
		}
	}
	return n > 0, rows.Err()
}

// table is one of the two, as it is.
type table struct {
	name    string
	columns []column
	texts   map[string]text // those of its columns that hold texts
	unique  bool            // by record_id
}

// readTable reads what a table is like. The error wraps [ErrSchema] if it is
// not one that a [Sink] can use.
func readTable(ctx context.Context, q mysqlschema.Queryer, name string, version int, isAcc bool) (*table, error) {
	t := &table{name: name}
	var need []string
	for _, c := range columns() {
		if c.accOnly && !isAcc {
			continue
		}
		t.columns = append(t.columns, c)
		if c.needed {
			need = append(need, c.name)
		}
	}
	has, err := mysqlschema.Check(ctx, q, name, version, need...)
	if err != nil {
		return nil, err
	}
	present := t.columns[:0]
	for _, c := range t.columns {
		if has[c.name] {
			present = append(present, c)
		}
	}
	t.columns = present
	if t.texts, err = readTexts(ctx, q, name); err != nil {
		return nil, err
	}
	t.unique, err = isUnique(ctx, q, name)
	return t, err
}

// readTexts returns the columns that hold texts, by name.
func readTexts(ctx context.Context, q mysqlschema.Queryer, table string) (map[string]text, error) {
	const query = `SELECT LOWER(column_name), LOWER(data_type), character_maximum_length, COALESCE(character_set_name, '')
		FROM information_schema.columns
		WHERE table_schema = DATABASE() AND table_name = ? AND character_maximum_length IS NOT NULL`
	rows, err := q.QueryContext(ctx, query, table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	texts := map[string]text{}
	for rows.Next() {
		var name, typ string
		var limit int64
		var c text
		if err := rows.Scan(&name, &typ, &limit, &c.charset); err != nil {
			return nil, err
		}
		c.limit = int(min(limit, math.MaxInt32))
		c.long = strings.HasSuffix(typ, "text") || strings.HasSuffix(typ, "blob") || strings.HasSuffix(typ, "binary")
		texts[name] = c
	}
	return texts, rows.Err()
}
