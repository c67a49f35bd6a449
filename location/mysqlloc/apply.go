package mysqlloc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/sipward/sipward/internal/mysqlschema"
	"github.com/sipward/sipward/location"
)

// job is a Change of an AOR that is to be made.
type job struct {
	aor          location.AOR
	user, domain string // as the columns have them
	change       location.Change
	err          error // why it could not be made
}

func newJob(aor location.AOR, c location.Change) *job {
	return &job{aor: aor, user: columnUser(aor.User()), domain: columnDomain(aor.Domain()), change: c}
}

func (j *job) fail(ctx context.Context, err error) {
	j.err = failure(ctx, "apply "+j.aor.String(), refusal(err))
}

// refusal marks the errors by which the server refuses a value.
func refusal(err error) error {
	const (
		rowTooLarge   = 1118
		outOfRange    = 1264
		badTime       = 1292
		badText       = 1366 // not in the column's character set
		tooLong       = 1406
		valueTooLarge = 1690
		cannotConvert = 3854
	)
	if mysqlschema.Is(err, rowTooLarge, outOfRange, badTime, badText, tooLong, valueTooLarge, cannotConvert, illegalMix) {
		return fmt.Errorf("%w: %w", ErrValue, err)
	}
	return err
}

var errZeroAOR = errors.New("mysqlloc: change of the zero AOR")

// Apply implements [location.Store]. The error wraps [ErrValue] if the table
// cannot hold a binding.
func (s *Store) Apply(ctx context.Context, aor location.AOR, c location.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !aor.IsValid() {
		return errZeroAOR
	}
	j := newJob(aor, c)
	s.applyOne(ctx, j)
	return j.err
}

func (s *Store) applyOne(ctx context.Context, j *job) {
	done, err := s.refresh(ctx, j)
	if !done && err == nil {
		_, err = s.transact(ctx, []*job{j}, true)
	}
	if err != nil {
		j.fail(ctx, err)
	}
}

// transact makes the changes in one transaction, and sets the errors of those
// jobs that it refuses. If it returns one itself then it does not know that
// anything was changed; begun says whether the server was there for it at all.
// For one job alone it can wait for the locks of others.
func (s *Store) transact(ctx context.Context, jobs []*job, wait bool) (begun bool, err error) {
	err = mysqlschema.Retry(ctx, func(attempt int) error {
		// Gaps between rows stay unlocked at this level. Locked ones would make
		// deadlocks of all phones that register for the first time.
		tx, err := s.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		if err != nil {
			return err
		}
		begun = true
		defer tx.Rollback() // no effect after Commit
		t := &transaction{Store: s, tx: tx, jobs: jobs, wait: wait, attempt: attempt}
		if err := t.apply(ctx); err != nil {
			return err
		}
		return tx.Commit()
	})
	return begun, err
}

// transaction is one attempt to make changes.
type transaction struct {
	*Store
	tx      *sqlx.Tx
	jobs    []*job // ordered by AOR, of which none is there twice
	wait    bool
	attempt int

	// The arguments of what is to be written.
	removed, updated, inserted []any
}

func (t *transaction) apply(ctx context.Context) error {
	all, err := t.load(ctx)
	if err != nil {
		return err
	}
	for i, j := range t.jobs {
		j.err = nil // a former attempt may have come to something else
		if err := t.plan(j, &all[i]); err != nil {
			j.fail(ctx, err)
		}
	}
	if err := t.write(ctx, &t.remove, t.removed, removeWidth); err != nil {
		return err
	}
	if err := t.write(ctx, &t.update, t.updated, updateWidth); err != nil {
		return err
	}
	return t.write(ctx, &t.insert, t.inserted, insertWidth)
}

// found is what the table has of an AOR.
type found struct {
	records []record
	bad     []uint64 // ids of rows that cannot be read
	ids     []uint64 // of all rows that the AOR has, and then of those that it gets
}

// load locks the rows of all AORs and returns them, by the index of the job.
func (t *transaction) load(ctx context.Context) ([]found, error) {
	rows, err := t.lockRows(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]found, len(t.jobs))
	for i := range rows {
		r, err := t.decode(&rows[i])
		if err != nil {
			t.cfg.OnBadRow(rows[i].ContactID, err)
		}
		// The collation may have found another user's row, and that may be one
		// whose own statement has found it too.
		n := t.jobOf(&rows[i], r.aor)
		if n < 0 || slices.Contains(all[n].ids, rows[i].ContactID) {
			continue
		}
		f := &all[n]
		f.ids = append(f.ids, rows[i].ContactID)
		if err != nil {
			f.bad = append(f.bad, rows[i].ContactID)
		} else {
			f.records = append(f.records, r)
		}
	}
	return all, nil
}

func (t *transaction) lockRows(ctx context.Context) (rows []row, err error) {
	if t.wait {
		return selectRows(ctx, nil, t.tx.StmtxContext(ctx, t.lock), t.jobs[0].user, t.jobs[0].domain)
	}
	var keys []any
	for _, j := range t.jobs {
		keys = append(keys, j.user, j.domain)
	}
	err = t.lockAll.each(keys, lockWidth, func(stmt *sqlx.Stmt, keys []any) (err error) {
		rows, err = selectRows(ctx, rows, t.tx.StmtxContext(ctx, stmt), keys...)
		return err
	})
	return rows, err
}

// jobOf returns the index of the job that a row is for, or -1. The zero AOR is
// that of a row that cannot be read.
func (t *transaction) jobOf(r *row, aor location.AOR) int {
	if !aor.IsValid() {
		return slices.IndexFunc(t.jobs, func(j *job) bool {
			return j.user == r.Username.String && j.domain == r.Domain.String
		})
	}
	n, ok := slices.BinarySearchFunc(t.jobs, aor, func(j *job, aor location.AOR) int { return j.aor.Compare(aor) })
	if !ok {
		return -1
	}
	return n
}

// plan notes what is to be written for a job, all of it or nothing.
func (t *transaction) plan(j *job, f *found) error {
	stored := make([]location.Binding, len(f.records))
	for i := range f.records {
		stored[i] = f.records[i].binding
	}
	effect, err := j.change.Resolve(stored, t.cfg.Now())
	if err != nil {
		return err
	}
	removed, updated, inserted := t.removed, t.updated, t.inserted
	for _, i := range effect.Drop {
		removed = append(removed, f.records[i].id)
	}
	if j.change.Reset {
		for _, id := range f.bad {
			removed = append(removed, id)
		}
	}
	for i := range effect.Put {
		w := &effect.Put[i]
		if w.Replaces >= 0 {
			updated, err = t.appendUpdate(updated, j, &w.Binding, &f.records[w.Replaces])
		} else {
			inserted, err = t.appendInsert(inserted, j, &w.Binding, f)
		}
		if err != nil {
			return err
		}
	}
	t.removed, t.updated, t.inserted = removed, updated, inserted
	return nil
}

func (s *Store) appendUpdate(args []any, j *job, b *location.Binding, old *record) ([]any, error) {
	args, err := s.encode(args, j.aor, b, old.foreign)
	return append(args, old.id, old.user, old.domain), err
}

func (t *transaction) appendInsert(args []any, j *job, b *location.Binding, f *found) ([]any, error) {
	args, err := t.encode(args, j.aor, b, nil)
	id := newContactID(j.user, j.domain, f.ids, t.attempt)
	f.ids = append(f.ids, id)
	flags := sql.NullString{String: t.cfg.BranchFlags, Valid: t.cfg.BranchFlags != ""}
	return append(args, id, j.user, j.domain, flags), err
}

func (t *transaction) write(ctx context.Context, m *many, args []any, width int) error {
	return m.each(args, width, func(stmt *sqlx.Stmt, args []any) error {
		_, err := t.tx.StmtxContext(ctx, stmt).ExecContext(ctx, args...)
		return err
	})
}
