package mysqltenant

import (
	"context"
	"database/sql"
	_ "embed" // schema.sql
	"fmt"

	"github.com/sipward/sipward/internal/mysqlschema"
)

// ErrSchema reports a table that is missing, of another version, or without a
// column that a [Loader] needs. The error's text names what was wanted and what
// was found.
var ErrSchema = mysqlschema.ErrSchema

// Version is what the table of versions must say of the table domain, as in
// OpenSIPS 3.6.
const Version = 4

const dispatcherVersion = 9

// Schema has the statements that [Create] begins with, each ended by a
// semicolon at the end of a line.
//
//go:embed schema.sql
var Schema string

// Create makes what is missing for a [Loader] in the table named domain: the
// tables of [Schema] and, in a table of OpenSIPS, the column setid and its
// index. Where setid is 0 and attrs have a set it copies that to setid. It
// alters nothing else, so that it can be used again.
func Create(ctx context.Context, db *sql.DB) error {
	if err := mysqlschema.Create(ctx, db, Schema); err != nil {
		return fmt.Errorf("mysqltenant: create: %w", err)
	}
	if err := addSetID(ctx, db); err != nil {
		return fmt.Errorf("mysqltenant: create column setid: %w", err)
	}
	if err := fillSetID(ctx, db); err != nil {
		return fmt.Errorf("mysqltenant: fill column setid: %w", err)
	}
	return nil
}

// addSetID adds the column setid and its index. That another program was
// faster is no fault.
func addSetID(ctx context.Context, db *sql.DB) error {
	has, err := mysqlschema.Columns(ctx, db, "domain")
	if err != nil {
		return err
	}
	if !has["setid"] {
		_, err := db.ExecContext(ctx, "ALTER TABLE domain ADD COLUMN setid INT NOT NULL DEFAULT 0")
		if err != nil && !mysqlschema.Is(err, mysqlschema.DuplicateColumn) {
			return err
		}
	}
	var indexes int
	const query = `SELECT COUNT(*) FROM information_schema.statistics
		WHERE table_schema = DATABASE() AND table_name = 'domain' AND column_name = 'setid' AND seq_in_index = 1`
	if err := db.QueryRowContext(ctx, query).Scan(&indexes); err != nil || indexes > 0 {
		return err
	}
	_, err = db.ExecContext(ctx, "CREATE INDEX sipward_setid ON domain (setid)")
	if mysqlschema.Is(err, mysqlschema.DuplicateIndex) {
		return nil
	}
	return err
}

// fillSetID copies sets from attrs to the column. What they say is the same
// before and after, so it does not matter if this ends halfway.
func fillSetID(ctx context.Context, db *sql.DB) error {
	has, err := mysqlschema.Columns(ctx, db, "domain")
	if err != nil || !has["attrs"] {
		return err
	}
	var rows []domainRow
	const query = "SELECT id, attrs FROM domain WHERE setid = 0 AND LOWER(attrs) LIKE '%setid%' ORDER BY id"
	if err := mysqlschema.Select(ctx, db, &rows, query); err != nil {
		return err
	}
	for _, r := range rows {
		set, ok, err := attrSet(r.Attrs.String)
		if !ok || err != nil || set == 0 {
			continue // which Load reports
		}
		// Unless somebody has edited the row in the meantime.
		const update = "UPDATE domain SET setid = ? WHERE id = ? AND setid = 0 AND attrs = ?"
		if _, err := db.ExecContext(ctx, update, set, r.ID.String, r.Attrs.String); err != nil {
			return err
		}
	}
	return nil
}
