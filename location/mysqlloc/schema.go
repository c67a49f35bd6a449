package mysqlloc

import (
	"context"
	"database/sql"
	_ "embed" // schema.sql
	"errors"
	"fmt"
	"strings"

	"github.com/sipward/sipward/internal/mysqlschema"
)

// ErrSchema reports a location table that is missing, of another version, or
// with a column of another type. The error's text names what was wanted and
// what was found.
var ErrSchema = mysqlschema.ErrSchema

// Version is what the version table says of a location table that this package
// can use, that of OpenSIPS 3.6.
const Version = 1013

// Schema has the statements that [Create] begins with, each ended by a
// semicolon at the end of a line.
//
//go:embed schema.sql
var Schema string

// Create makes what is missing for a [Store] in the table named location: the
// tables of [Schema], and the indexes of location that lookups and sweeps use.
// It alters nothing else, so that it can be used again, and on a database of
// OpenSIPS.
func Create(ctx context.Context, db *sql.DB) error {
	if err := mysqlschema.Create(ctx, db, Schema); err != nil {
		return fmt.Errorf("mysqlloc: create: %w", err)
	}
	indexes := []struct{ name, first, statement string }{
		{"sipward_aor", "domain,username", "CREATE INDEX sipward_aor ON location (domain, username)"},
		{"sipward_expires", "expires", "CREATE INDEX sipward_expires ON location (expires)"},
	}
	for _, index := range indexes {
		has, err := hasIndex(ctx, db, index.first)
		if err != nil {
			return fmt.Errorf("mysqlloc: create: %w", err)
		}
		if has {
			continue
		}
		_, err = db.ExecContext(ctx, index.statement)
		if err != nil && !mysqlschema.Is(err, mysqlschema.DuplicateIndex) { // another program was faster
			return fmt.Errorf("mysqlloc: create index %s: %w", index.name, err)
		}
	}
	return nil
}

// hasIndex reports whether the table location has an index that begins with
// these columns.
func hasIndex(ctx context.Context, db *sql.DB, columns string) (bool, error) {
	const query = `SELECT COUNT(*) FROM (
			SELECT GROUP_CONCAT(column_name ORDER BY seq_in_index) AS columns_of
			FROM information_schema.statistics
			WHERE table_schema = DATABASE() AND table_name = 'location'
			GROUP BY index_name) AS indexes
		WHERE columns_of = ? OR columns_of LIKE CONCAT(?, ',%')`
	var n int
	err := db.QueryRowContext(ctx, query, columns, columns).Scan(&n)
	return n > 0, err
}

// column is what the table can hold of a text.
type column struct {
	name  string
	limit int64 // of characters, or of bytes if long is set
	long  bool  // of the TEXT types
	pads  bool  // of type CHAR, which drops blanks at the end
}

// checkSchema returns the text columns by name. The error wraps [ErrSchema]
// if the table is not as it must be.
func checkSchema(ctx context.Context, db *sql.DB, table string) (map[string]column, error) {
	if err := mysqlschema.CheckVersion(ctx, db, table, Version); err != nil {
		return nil, err
	}
	columns, faults, err := readColumns(ctx, db, table)
	if err != nil {
		return nil, err
	}
	others, err := tableFaults(ctx, db, table)
	if err != nil {
		return nil, err
	}
	if faults = append(faults, others...); len(faults) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrSchema, errors.Join(faults...))
	}
	return columns, checkMode(ctx, db)
}

// readColumns returns the text columns, and what is wrong with the columns.
func readColumns(ctx context.Context, db *sql.DB, table string) (texts map[string]column, faults []error, err error) {
	const query = `SELECT column_name, data_type, column_type, character_maximum_length FROM information_schema.columns
		WHERE table_schema = DATABASE() AND table_name = ?`
	rows, err := db.QueryContext(ctx, query, table)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	texts, types := map[string]column{}, map[string]string{}
	for rows.Next() {
		var name, dataType, columnType string
		var limit sql.NullInt64
		if err := rows.Scan(&name, &dataType, &columnType, &limit); err != nil {
			return nil, nil, err
		}
		types[name] = strings.ToLower(columnType)
		if limit.Valid {
			dataType = strings.ToLower(dataType)
			texts[name] = column{name, limit.Int64, strings.HasSuffix(dataType, "text"), dataType == "char"}
		}
	}
	if err := rows.Err(); err != nil {
		return nil, nil, err
	}
	return texts, columnFaults(table, texts, types), nil
}

// columnFaults checks the columns that this package uses. Others may be there.
func columnFaults(table string, texts map[string]column, types map[string]string) (faults []error) {
	if len(types) == 0 {
		return []error{fmt.Errorf("there is no table %s", table)}
	}
	for name := range strings.SplitSeq("username domain contact received path callid cflags user_agent socket sip_instance kv_store", " ") {
		if found, ok := types[name]; !ok {
			faults = append(faults, fmt.Errorf("%s has no column %s", table, name))
		} else if _, ok := texts[name]; !ok {
			faults = append(faults, fmt.Errorf("%s.%s is %s, want a text", table, name, found))
		}
	}
	for name := range strings.SplitSeq("contact_id expires q cseq last_modified methods", " ") {
		if _, ok := types[name]; !ok {
			faults = append(faults, fmt.Errorf("%s has no column %s", table, name))
		}
	}
	// Ids have 62 bits. In a smaller column, each of a phone's refreshes fails
	// or finds the row of another one.
	if found, ok := types["contact_id"]; ok && (!strings.HasPrefix(found, "bigint") || !strings.Contains(found, "unsigned")) {
		faults = append(faults, fmt.Errorf("%s.contact_id is %s, want bigint unsigned", table, found))
	}
	return faults
}

// tableFaults returns what is wrong with the table itself: it must have
// transactions, and an id must be that of one row.
func tableFaults(ctx context.Context, db *sql.DB, table string) (faults []error, err error) {
	const query = `SELECT engine, (
			SELECT GROUP_CONCAT(column_name ORDER BY seq_in_index) FROM information_schema.statistics
			WHERE table_schema = DATABASE() AND table_name = ? AND index_name = 'PRIMARY')
		FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?`
	var engine, key sql.NullString
	err = db.QueryRowContext(ctx, query, table, table).Scan(&engine, &key)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil // which is reported as such
	}
	if err != nil {
		return nil, err
	}
	if !strings.EqualFold(engine.String, "InnoDB") {
		faults = append(faults, fmt.Errorf("%s has engine %s, want InnoDB", table, engine.String))
	}
	if !strings.EqualFold(key.String, "contact_id") {
		faults = append(faults, fmt.Errorf("%s has primary key (%s), want (contact_id)", table, key.String))
	}
	return faults, nil
}

// checkMode makes sure that the server refuses what a column cannot hold.
func checkMode(ctx context.Context, db *sql.DB) error {
	var mode string
	if err := db.QueryRowContext(ctx, "SELECT @@SESSION.sql_mode").Scan(&mode); err != nil {
		return err
	}
	if !strings.Contains(mode, "STRICT_TRANS_TABLES") && !strings.Contains(mode, "STRICT_ALL_TABLES") {
		return fmt.Errorf("sql_mode is %q, want one with STRICT_TRANS_TABLES: the server would alter texts without an error", mode)
	}
	if strings.Contains(mode, "PAD_CHAR_TO_FULL_LENGTH") {
		return fmt.Errorf("sql_mode is %q, want one without PAD_CHAR_TO_FULL_LENGTH", mode)
	}
	return nil
}

// illegalMix is the error of a comparison with a text that the column's
// character set cannot express.
const illegalMix = 1267
