package mysqldisp

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/sipward/sipward/dispatcher"
)

// Entry is a row of the table, and what a load makes of it.
type Entry struct {
	ID int64

	// Destination is what the row means. If it is left out, as a Problem says
	// then, that is what there is to be had of it.
	Destination dispatcher.Destination

	// Problems are those of the row. Each wraps one of this package's errors.
	Problems []error
}

// EntriesTx returns all rows by their ids, for an operator to look at. It reads
// them in a transaction of the caller, who may want to change them. The error is
// that of Load.
func (l *Loader) EntriesTx(ctx context.Context, tx *sql.Tx) ([]Entry, error) {
	rows, err := l.read(ctx, tx)
	if err != nil {
		return nil, fmt.Errorf("mysqldisp: entries: %w", err)
	}
	entries := make([]Entry, len(rows))
	byID := make(map[int64]*Entry, len(rows))
	for i := range rows {
		d, _ := rows[i].decode()
		entries[i] = Entry{ID: rows[i].id(), Destination: d}
		byID[entries[i].ID] = &entries[i]
	}
	_, problems := l.destinations(rows)
	for _, p := range problems {
		byID[p.ID].Problems = append(byID[p.ID].Problems, p.Err)
	}
	return entries, nil
}
