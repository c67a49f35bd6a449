// Package mysqlschema makes tables of OpenSIPS, checks that one is what its reader
// wants, and reads it.
package mysqlschema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jmoiron/sqlx"
)

// ErrSchema reports a table that is missing, has another version, or lacks a
// column.
var ErrSchema = errors.New("unexpected database schema")

// Queryer is a database or a transaction, of database/sql or sqlx.
type Queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Error numbers of the server.
const (
	DuplicateColumn = 1060
	DuplicateIndex  = 1061
	noSuchTable     = 1146
)

// Create executes the statements of schema, each ended by a semicolon at the end
// of a line. One that gets in the way of another program's is executed again: each
// must be of those that do nothing when their work is done.
func Create(ctx context.Context, db *sql.DB, schema string) error {
	for statement := range strings.SplitAfterSeq(schema, ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		err := Retry(ctx, func(int) error {
			_, err := db.ExecContext(ctx, statement)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Check returns the columns of a table, in lower case. The error wraps
// [ErrSchema] if the table has another version or lacks one of the columns in
// need. Table is put into the statement as it is: it must have been validated.
func Check(ctx context.Context, q Queryer, table string, version int, need ...string) (map[string]bool, error) {
	if err := CheckVersion(ctx, q, table, version); err != nil {
		return nil, err
	}
	has, err := Columns(ctx, q, table)
	if err != nil {
		return nil, err
	}
	need = slices.DeleteFunc(need, func(name string) bool { return has[name] })
	if len(need) > 0 {
		return nil, fmt.Errorf("%w: %s lacks the columns %s", ErrSchema, table, strings.Join(need, ", "))
	}
	return has, nil
}

// CheckVersion returns an error that wraps [ErrSchema] if the table of versions
// does not say that a table has the version wanted.
func CheckVersion(ctx context.Context, q Queryer, table string, want int) error {
	rows, err := q.QueryContext(ctx, "SELECT table_version FROM version WHERE table_name = ?", table)
	if Is(err, noSuchTable) {
		return fmt.Errorf("%w: there is no table version, want one with version %d of %s", ErrSchema, want, table)
	}
	if err != nil {
		return err
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return err
		}
		return fmt.Errorf("%w: the table version has no row for %s, want version %d", ErrSchema, table, want)
	}
	var found int
	if err := rows.Scan(&found); err != nil {
		return err
	}
	if found != want {
		return fmt.Errorf("%w: %s has version %d, want %d", ErrSchema, table, found, want)
	}
	return rows.Err()
}

// Columns returns the names of a table's columns, in lower case. It asks the
// table, which is cheaper than to ask information_schema. Table is as in [Check].
func Columns(ctx context.Context, q Queryer, table string) (map[string]bool, error) {
	rows, err := q.QueryContext(ctx, "SELECT * FROM `"+table+"` LIMIT 0")
	if Is(err, noSuchTable) {
		return nil, fmt.Errorf("%w: there is no table %s", ErrSchema, table)
	}
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	has := make(map[string]bool, len(names))
	for _, name := range names {
		has[strings.ToLower(name)] = true
	}
	return has, rows.Err()
}

// SelectAll returns the query that reads these columns of all rows in the order of
// their ids, with NULL for those that the table does not have. Table is as in
// [Check]; columns are put into the statement as they are, too.
func SelectAll(table string, has map[string]bool, columns ...string) string {
	list := slices.Clone(columns)
	for i, name := range columns {
		if !has[name] {
			list[i] = "NULL AS " + name
		}
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM `" + table + "` ORDER BY id"
}

// Select reads all rows of a query into dest, a pointer to a slice of structs
// whose tags db name the columns.
func Select(ctx context.Context, q Queryer, dest any, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return sqlx.StructScan(rows, dest)
}

// IsName reports whether s can be a table's name without any doubt: up to 64
// letters, digits and underscores.
func IsName(s string) bool {
	other := func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, other)
}

// Is reports whether err is one of these errors of the server.
func Is(err error, numbers ...uint16) bool {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && slices.Contains(numbers, e.Number)
}
