package console

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"unicode/utf8"
)

// assignment is a value for a column. These columns, and the tables that
// statements are made for, are named by this package and by nobody else.
type assignment struct {
	column string
	value  any
}

// assign returns the columns of the assignments that the table has a column
// for, and their values. A text that is too long for its column is an error of
// usage.
func (t *table) assign(all []assignment) (columns []string, values []any, err error) {
	for _, a := range all {
		c := t.column(a.column)
		if c == nil {
			continue
		}
		if text, ok := a.value.(string); ok && c.limit.Valid {
			if n := utf8.RuneCountInString(text); int64(n) > c.limit.Int64 {
				return nil, nil, usage(fmt.Errorf("%s has %d characters, at most %d fit", a.column, n, c.limit.Int64))
			}
		}
		columns, values = append(columns, a.column), append(values, a.value)
	}
	return columns, values, nil
}

// insert adds a row and returns its id.
func (t *table) insert(ctx context.Context, tx *sql.Tx, row ...assignment) (int64, error) {
	columns, values, err := t.assign(row)
	if err != nil {
		return 0, err
	}
	result, err := tx.ExecContext(ctx, insertStatement(t.name, columns, 1), values...)
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

// update changes the row with an id.
func (t *table) update(ctx context.Context, tx *sql.Tx, id int64, row ...assignment) error {
	columns, values, err := t.assign(row)
	if err != nil || len(columns) == 0 {
		return err
	}
	_, err = tx.ExecContext(ctx, "UPDATE "+t.name+" SET "+strings.Join(columns, " = ?, ")+" = ? WHERE id = ?", append(values, id)...)
	return err
}

// remove removes the row with an id.
func (t *table) remove(ctx context.Context, tx *sql.Tx, id int64) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM "+t.name+" WHERE id = ?", id)
	return err
}

// insertStatement returns the statement that inserts some rows into a table of
// ours.
func insertStatement(table string, columns []string, rows int) string {
	row := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ") + ")"
	return "INSERT INTO " + table + " (" + quoted(columns) + ") VALUES " + strings.TrimSuffix(strings.Repeat(row+", ", rows), ", ")
}

// quoted returns the names of columns as they can stand in a statement: those
// of others may have any name.
func quoted(columns []string) string {
	all := make([]string, len(columns))
	for i, name := range columns {
		all[i] = "`" + strings.ReplaceAll(name, "`", "``") + "`"
	}
	return strings.Join(all, ", ")
}
