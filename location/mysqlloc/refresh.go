package mysqlloc

import (
	"context"

	"github.com/sipward/sipward/internal/mysqlschema"
	"github.com/sipward/sipward/location"
)

// refreshQuery is updateQuery for a row that nobody has changed since it was
// read.
func refreshQuery() string {
	return updateQuery() + " AND contact = ? AND callid = ? AND cseq = ? AND expires = ? AND last_modified = ? AND kv_store <=> ?"
}

// refresh does what most changes are, the refresh of one binding that is as it
// was, by a read and a conditional update instead of a transaction with five
// round trips. It reports whether it did: it cannot if there is more to do, or
// if another program was faster.
//
// No transaction that comes between the two is lost. It has not touched this
// row, or the update would not find it. And what it did to others of the AOR
// does not depend on whether it came before or after, because a refresh like
// this one leaves alone what bindings are the Same by.
func (s *Store) refresh(ctx context.Context, j *job) (done bool, err error) {
	c := &j.change
	if c.Reset || len(c.Remove) > 0 || len(c.Put) != 1 {
		return false, nil
	}
	rows, err := selectRows(ctx, nil, s.lookup, j.user, j.domain)
	if err != nil {
		return false, err
	}
	var stored []location.Binding
	var records []record
	var old []*row
	for i := range rows {
		r, err := s.decode(&rows[i])
		if err == nil && r.aor == j.aor {
			stored, records, old = append(stored, r.binding), append(records, r), append(old, &rows[i])
		}
	}
	effect, err := c.Resolve(stored, s.cfg.Now())
	if err != nil {
		return false, err
	}
	if len(effect.Drop) > 0 || len(effect.Put) != 1 || effect.Put[0].Replaces < 0 {
		return false, nil
	}
	w := &effect.Put[0]
	if !sameIdentity(&stored[w.Replaces], &w.Binding) {
		return false, nil
	}
	return s.refreshRow(ctx, j, &w.Binding, &records[w.Replaces], old[w.Replaces])
}

// sameIdentity reports whether whatever is the Same as a is the Same as b.
func sameIdentity(a, b *location.Binding) bool {
	return a.Contact == b.Contact && a.Instance == b.Instance && a.RegID == b.RegID &&
		(a.Instance != "" || a.UserAgent == b.UserAgent && a.Flow.Remote == b.Flow.Remote && a.Flow.Transport == b.Flow.Transport)
}

func (s *Store) refreshRow(ctx context.Context, j *job, b *location.Binding, r *record, old *row) (done bool, err error) {
	args, err := s.appendUpdate(nil, j, b, r)
	if err != nil {
		return false, err
	}
	args = append(args, old.Contact, old.CallID, old.CSeq, old.Expires, old.LastModified, old.KV)
	result, err := s.compareAndUpdate.ExecContext(ctx, args...)
	if mysqlschema.IsConflict(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// There is none either if the update changes nothing, as for a repeat.
	n, err := result.RowsAffected()
	return n == 1, err
}
