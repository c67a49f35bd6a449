package mysqldisp

import (
	"context"
	"fmt"

	"github.com/sipward/sipward/dispatcher"
)

// setStateQuery compares bytes, since the table's collation takes URIs for
// equal that are not. It counts changed rows whatever the pool's driver counts.
const setStateQuery = "UPDATE `%s` SET state = ? WHERE setid = ? AND state <> 1 AND state <> ?" +
	" AND CAST(CONVERT(destination USING utf8mb4) AS BINARY) = CAST(? AS BINARY)" +
	" AND CAST(CONVERT(COALESCE(socket, '') USING utf8mb4) AS BINARY) = CAST(? AS BINARY)"

// SetState writes a state to the row of a destination, so that it survives a
// restart. SetID, URI and Socket of d say which one.
//
// An operator has switched off what is [dispatcher.Inactive] in the table: it
// stays so, even if that happened after d was loaded. wrote tells if anything
// changed; nothing does if the table has this state already, is inactive or
// has the row no longer.
func (l *Loader) SetState(ctx context.Context, d dispatcher.Destination, s dispatcher.State) (wrote bool, err error) {
	if s < dispatcher.Active || s > dispatcher.Probing {
		return false, fmt.Errorf("mysqldisp: unknown state %d", int(s))
	}
	fail := func(err error) error {
		return fmt.Errorf("mysqldisp: state of set %d, destination %q: %w", d.SetID, d.URI, err)
	}
	result, err := l.db.ExecContext(ctx, fmt.Sprintf(setStateQuery, l.cfg.Table), int(s), d.SetID, int(s), d.URI, d.Socket)
	if err != nil {
		return false, fail(err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return false, fail(err)
	}
	return n > 0, nil
}
