package seclog

import (
	"context"
	"database/sql"
	_ "embed" // schema.sql
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Version is what the table of versions says of both tables.
const Version = 1

// Schema has the statements of [Create], each ended by a semicolon at the end of
// a line.
//
//go:embed schema.sql
var Schema string

// The tables.
const (
	Registrations = "failed_registrations"
	Knocks        = "door_knock_attempts"
)

// attempts is the column that tables which others have made lack.
const attempts = "attempts"

// columns returns the columns that a table must have, in the order of the values of
// its rows.
func columns(table string) []string {
	if table == Registrations {
		return []string{"username", "domain", "source_ip", "source_port", "user_agent", "response_code", "response_reason",
			"attempt_time", "expires_header"}
	}
	return []string{"domain", "source_ip", "source_port", "user_agent", "method", "request_uri", "reason", "attempt_time"}
}

// Create makes the tables that are missing. It alters none, so that it can be
// used again.
func Create(ctx context.Context, db *sql.DB) error {
	for statement := range strings.SplitAfterSeq(Schema, ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if err := execute(ctx, db, statement); err != nil {
			return fmt.Errorf("seclog: create: %w", err)
		}
	}
	return nil
}

// execute executes a statement, and again if it got in the way of another program
// that does the same.
func execute(ctx context.Context, db *sql.DB, statement string) error {
	const duplicateKey, deadlock, most = 1062, 1213, 10
	for attempt := 1; ; attempt++ {
		_, err := db.ExecContext(ctx, statement)
		if attempt == most || !isNumber(err, duplicateKey, deadlock) {
			return err
		}
		time.Sleep(rand.N(10 * time.Millisecond)) // or rivals meet again
	}
}

// Check says why rows cannot be written to a table: it is missing, or lacks a
// column.
func Check(ctx context.Context, db *sql.DB, table string) error {
	rows, err := db.QueryContext(ctx, "SELECT "+strings.Join(columns(table), ", ")+" FROM "+table+" LIMIT 0")
	if isMissing(err) {
		return fmt.Errorf("seclog: there is no table %s", table)
	}
	if err != nil {
		return fmt.Errorf("seclog: %s: %w", table, err)
	}
	return rows.Close()
}

// isMissing reports whether err says that there is no such table.
func isMissing(err error) bool {
	const noSuchTable = 1146
	return isNumber(err, noSuchTable)
}

// isNumber reports whether err is one of these errors of the server.
func isNumber(err error, numbers ...uint16) bool {
	answer, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && slices.Contains(numbers, answer.Number)
}
