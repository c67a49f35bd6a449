package console

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// schema is what a database has of the tables that are ours, by name.
type schema map[string]*table

// table is a table as it is.
type table struct {
	name    string
	engine  string
	version int // what the table of versions says; 0 if nothing
	columns []column
	indexes map[string][]string // names of columns by name of the index
}

// column is a column as it is.
type column struct {
	name      string
	charset   string // of a text
	collation string
	limit     sql.NullInt64 // of the characters of a text
	computed  bool          // the server makes its values
}

// readSchema reads what information_schema tells of some tables, and of that
// of versions.
func readSchema(ctx context.Context, db *sql.DB, names []string) (schema, error) {
	s := schema{}
	read := func(query string, row func(scan func(dest ...any) error) error) error {
		rows, err := db.QueryContext(ctx, query)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := row(rows.Scan); err != nil {
				return err
			}
		}
		return rows.Err()
	}
	names = append([]string{"version"}, names...)
	err := errors.Join(
		read("SELECT table_name, COALESCE(engine, '') FROM information_schema.tables WHERE table_schema = DATABASE()",
			func(scan func(...any) error) error {
				t := &table{indexes: map[string][]string{}}
				if err := scan(&t.name, &t.engine); err != nil || !slices.Contains(names, t.name) {
					return err
				}
				s[t.name] = t
				return nil
			}),
		read(`SELECT table_name, column_name, COALESCE(character_set_name, ''), COALESCE(collation_name, ''),
				character_maximum_length, extra LIKE '%VIRTUAL GENERATED%' OR extra LIKE '%STORED GENERATED%'
			FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position`,
			func(scan func(...any) error) error {
				var name string
				var c column
				if err := scan(&name, &c.name, &c.charset, &c.collation, &c.limit, &c.computed); err != nil || s[name] == nil {
					return err
				}
				s[name].columns = append(s[name].columns, c)
				return nil
			}),
		read(`SELECT table_name, index_name, column_name
			FROM information_schema.statistics WHERE table_schema = DATABASE() ORDER BY table_name, index_name, seq_in_index`,
			func(scan func(...any) error) error {
				var name, index string
				var column sql.NullString // none if it is an expression
				if err := scan(&name, &index, &column); err != nil || s[name] == nil {
					return err
				}
				s[name].indexes[index] = append(s[name].indexes[index], column.String)
				return nil
			}),
	)
	if err == nil && s["version"] != nil {
		err = read("SELECT table_name, table_version FROM version", func(scan func(...any) error) error {
			var name string
			var version int
			if err := scan(&name, &version); err != nil || s[name] == nil {
				return err
			}
			s[name].version = version
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return s, nil
}

// column returns the column of a name; nil if there is none.
func (t *table) column(name string) *column {
	i := slices.IndexFunc(t.columns, func(c column) bool { return strings.EqualFold(c.name, name) })
	if i < 0 {
		return nil
	}
	return &t.columns[i]
}

// names returns the names of the columns whose values are stored.
func (t *table) names() (names []string) {
	for _, c := range t.columns {
		if !c.computed {
			names = append(names, c.name)
		}
	}
	return names
}

// indexed reports whether an index begins with some columns.
func (t *table) indexed(columns ...string) bool {
	for _, index := range t.indexes {
		if len(index) >= len(columns) && slices.EqualFunc(index[:len(columns)], columns, strings.EqualFold) {
			return true
		}
	}
	return false
}
