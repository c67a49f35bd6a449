package mysqlschema

import (
	"context"
	"math/rand/v2"
	"time"
)

// MaxAttempts bounds how often a transaction is tried that others get in the
// way of. Of those that are in each other's way one always gets through.
const MaxAttempts = 10

// Retry calls f until it succeeds or fails for a reason of its own. The
// attempts count from 0.
func Retry(ctx context.Context, f func(attempt int) error) error {
	for attempt := 0; ; attempt++ {
		err := f(attempt)
		if err == nil || attempt == MaxAttempts-1 || !IsConflict(err) {
			return err
		}
		// Rivals must not meet again, so each waits for a time of its own.
		most := min(time.Millisecond<<attempt, 50*time.Millisecond)
		timer := time.NewTimer(rand.N(most) + 1)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// IsConflict reports whether the server refused because of another transaction.
func IsConflict(err error) bool {
	const (
		recordChanged   = 1020
		duplicateKey    = 1062 // another one has added the row
		lockWaitTimeout = 1205
		deadlock        = 1213
		locked          = 3572 // MySQL's for a statement that does not wait; MariaDB has lockWaitTimeout
	)
	return Is(err, recordChanged, duplicateKey, lockWaitTimeout, deadlock, locked)
}
