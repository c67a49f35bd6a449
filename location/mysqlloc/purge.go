package mysqlloc

import (
	"context"

	"github.com/sipward/sipward/internal/mysqlschema"
)

// purgeBatch is how many rows one statement of Purge deletes. Each is a
// transaction of its own, so that no lock is held for long.
const purgeBatch = 100

const expiredQuery = "SELECT contact_id FROM <table> WHERE expires BETWEEN 1 AND ? ORDER BY expires LIMIT ?"

// purgeQuery says when they must have expired once more: a phone may have come
// back since they were found.
func purgeQuery() string {
	return removeQuery(purgeBatch) + " AND expires BETWEEN 1 AND ?"
}

// Purge implements [location.Purger]. Rows that cannot be read are purged as
// others are.
func (s *Store) Purge(ctx context.Context, limit int) (int, error) {
	n := 0
	for n < limit {
		var ids []uint64
		now := s.cfg.Now().Unix()
		if err := s.expired.SelectContext(ctx, &ids, now, min(limit-n, purgeBatch)); err != nil {
			return n, failure(ctx, "purge", err)
		}
		if len(ids) == 0 {
			break
		}
		args := make([]any, 0, purgeBatch+1)
		for i := range purgeBatch {
			args = append(args, ids[min(i, len(ids)-1)])
		}
		args = append(args, now)
		err := mysqlschema.Retry(ctx, func(int) error {
			result, err := s.purge.ExecContext(ctx, args...)
			if err != nil {
				return err
			}
			deleted, err := result.RowsAffected()
			n += int(deleted)
			return err
		})
		if err != nil {
			return n, failure(ctx, "purge", err)
		}
	}
	return n, ctx.Err()
}
