package mysqldisp

import (
	"database/sql"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/sipward/sipward/dispatcher"
)

// row is a row before anybody has judged it. Even numbers are texts here, so
// that one that is none fails its row only.
type row struct {
	ID          sql.NullString `db:"id"`
	SetID       sql.NullString `db:"setid"`
	Destination sql.NullString `db:"destination"`
	Socket      sql.NullString `db:"socket"`
	State       sql.NullString `db:"state"`
	ProbeMode   sql.NullString `db:"probe_mode"`
	Weight      sql.NullString `db:"weight"`
	Priority    sql.NullString `db:"priority"`
	Attrs       sql.NullString `db:"attrs"`
	Description sql.NullString `db:"description"`
}

// id returns 0 for what is no number, which no row of this table has.
func (r *row) id() int64 {
	id, err := strconv.ParseInt(r.ID.String, 10, 64)
	if err != nil {
		return 0
	}
	return id
}

// decode returns what a row means. Faults that wrap [ErrBadRow] say that it
// means nothing.
func (r *row) decode() (d dispatcher.Destination, faults []error) {
	number := func(column string, value sql.NullString) int {
		if !value.Valid {
			return 0
		}
		n, err := strconv.ParseInt(value.String, 10, 32)
		if err != nil {
			faults = append(faults, fmt.Errorf("%w: %s %q is not a number", ErrBadRow, column, value.String))
		}
		return int(n)
	}
	d = dispatcher.Destination{
		SetID:       number("setid", r.SetID),
		URI:         r.Destination.String,
		Socket:      r.Socket.String,
		State:       dispatcher.State(number("state", r.State)),
		Priority:    number("priority", r.Priority),
		Attrs:       r.Attrs.String,
		Description: r.Description.String,
	}
	weight, err := parseWeight(r.Weight.String)
	if err != nil {
		faults = append(faults, err)
	}
	d.Weight = weight
	// A dispatcher is what decides, so that it never refuses what passed here.
	if err := dispatcher.New(dispatcher.Config{}).Update([]dispatcher.Destination{d}); err != nil {
		faults = append(faults, fmt.Errorf("%w: %w", ErrBadRow, err))
	}
	return d, faults
}

// parseWeight returns a weight in any case. A column without a value has that
// of its default.
func parseWeight(s string) (int, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 1, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case hasScheme(s, "fs://"):
		return 1, fmt.Errorf("%w: the load of a FreeSWITCH is not supported, 1 counts", ErrBadWeight) // with no word of its password
	case err != nil || n < 0 || n > math.MaxInt32:
		return 1, fmt.Errorf("%w: %q is not a number from 0 to %d, 1 counts", ErrBadWeight, s, math.MaxInt32)
	}
	return int(n), nil
}

func hasScheme(s, scheme string) bool {
	return len(s) >= len(scheme) && strings.EqualFold(s[:len(scheme)], scheme)
}
