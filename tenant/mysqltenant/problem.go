package mysqltenant

import (
	"errors"
	"fmt"
)

// What a [Problem] is about.
var (
	// ErrBadRow reports a row that was left out: its domain, destination or set
	// id is not one.
	ErrBadRow = errors.New("row is not valid")

	// ErrBadSource reports a source_ip that was left out: it is no address or
	// network, or it is all addresses.
	ErrBadSource = errors.New("source_ip is not valid")

	// ErrDuplicate reports a domain of an earlier row, written differently
	// perhaps. The row was left out.
	ErrDuplicate = errors.New("domain is there already")

	// ErrConflict reports that attrs has another set than the column setid.
	// The column counted.
	ErrConflict = errors.New("attrs and column setid differ")

	// ErrNoSet reports a domain without a set. It was left out.
	ErrNoSet = errors.New("domain has no set")

	// ErrNoDestinations reports a domain whose set has no valid destination.
	ErrNoDestinations = errors.New("set has no destinations")

	// ErrLookup reports a name that was not resolved. Its last answer counted,
	// if there ever was one.
	ErrLookup = errors.New("name not resolved")
)

// Problem is something in the tables that is not as the operator will have
// meant it. No problem stops a load.
type Problem struct {
	Table string // name of the table
	ID    int64  // id of the row
	SetID int    // set that is concerned; 0 also if it is not known

	// Err says what is wrong. It wraps one of this package's errors.
	Err error
}

// String returns the problem as a line of text.
func (p Problem) String() string {
	return fmt.Sprintf("%s: row %d: set %d: %v", p.Table, p.ID, p.SetID, p.Err)
}
