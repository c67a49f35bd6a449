package seclog

import (
	"context"
	"time"
)

const (
	// pruneBatch is how many rows one statement deletes: few enough that the
	// database does not notice, and the inserts do not wait.
	pruneBatch = 500
	pruneRest  = time.Second      // between two batches, when there is more
	pruneEvery = 10 * time.Minute // when there is not, and after the start, which has better to do
)

// prune deletes what is older than Keep, now and then, until ctx is done. A table
// that has been filled for years takes days, and nobody is in a hurry.
func (l *Log) prune(ctx context.Context) {
	if l.cfg.Keep == 0 {
		return
	}
	failing := map[string]bool{} // tables of which the log knows
	for pause := pruneEvery; ; {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		pause = pruneEvery
		for _, table := range []string{Registrations, Knocks} {
			n, err := l.deleteOld(ctx, table, time.Now().Add(-l.cfg.Keep))
			l.deleted.Add(uint64(n))
			if n == pruneBatch {
				pause = pruneRest
			}
			told := failing[table]
			failing[table] = err != nil && !isMissing(err) && ctx.Err() == nil
			if failing[table] && !told {
				l.cfg.Logger.Warn("old security rows are not deleted", "table", table, "err", err)
			}
		}
	}
}

// deleteOld deletes some rows of a table, the oldest first, that are from before a
// time, and returns how many.
func (l *Log) deleteOld(ctx context.Context, table string, before time.Time) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	res, err := l.cfg.DB.ExecContext(ctx, "DELETE FROM "+table+" WHERE attempt_time < ? ORDER BY attempt_time LIMIT ?", datetime(before), pruneBatch)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
