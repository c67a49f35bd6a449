package mysqldisp

import (
	"errors"
	"fmt"
)

// What a [Problem] is about.
var (
	// ErrBadRow reports a row that was left out: its set, URI or state is not
	// one, or a number is none.
	ErrBadRow = errors.New("row is not valid")

	// ErrBadWeight reports a weight that counted as 1: it is no number from 0
	// to 2147483647. OpenSIPS can also ask a FreeSWITCH, "fs://", for it.
	ErrBadWeight = errors.New("weight is not valid")

	// ErrDuplicate reports a row with the set, URI and socket of an earlier one.
	ErrDuplicate = errors.New("destination is there already")
)

// Problem is something in the table that is not as the operator will have meant
// it. No problem stops a load.
type Problem struct {
	Table string // name of the table
	ID    int64  // id of the row
	SetID int    // set of the row; 0 also if it has none

	// Err says what is wrong. It wraps one of this package's errors.
	Err error
}

// String returns the problem as a line of text.
func (p Problem) String() string {
	return fmt.Sprintf("%s: row %d: set %d: %v", p.Table, p.ID, p.SetID, p.Err)
}

// isFatal reports whether err is why a row is left out.
func isFatal(err error) bool { return errors.Is(err, ErrBadRow) }
