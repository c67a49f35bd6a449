package mysqlloc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/sipward/sipward/location"
)

const (
	lockQuery = lookupQuery + " FOR UPDATE"

	insertQuery = `INSERT INTO <table> (contact, received, path, expires, q, callid, cseq, last_modified, user_agent, socket,
		methods, sip_instance, kv_store, contact_id, username, domain, cflags) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

	updateQuery = `UPDATE <table> SET contact = ?, received = ?, path = ?, expires = ?, q = ?, callid = ?, cseq = ?,
		last_modified = ?, user_agent = ?, socket = ?, methods = ?, sip_instance = ?, kv_store = ? WHERE contact_id = ?`

	removeQuery = `DELETE FROM <table> WHERE contact_id = ?`
)

// Apply implements [location.Store]. The error wraps [ErrValue] if the table
// cannot hold a binding.
func (s *Store) Apply(ctx context.Context, aor location.AOR, c location.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !aor.IsValid() {
		return errors.New("mysqlloc: change of the zero AOR")
	}
	done, err := s.refresh(ctx, aor, c)
	if !done && err == nil {
		err = retry(ctx, func(attempt int) error { return s.transact(ctx, aor, c, attempt) })
	}
	if err != nil {
		return failure(ctx, "apply "+aor.String(), refusal(err))
	}
	return nil
}

func (s *Store) transact(ctx context.Context, aor location.AOR, c location.Change, attempt int) error {
	// Gaps between rows stay unlocked at this level. Locked ones would make
	// deadlocks of all phones that register for the first time.
	tx, err := s.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer tx.Rollback() // no effect after Commit
	t := &transaction{s, tx, aor, columnUser(aor.User()), columnDomain(aor.Domain()), attempt, nil}
	if err := t.apply(ctx, c); err != nil {
		return err
	}
	return tx.Commit()
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
	if isNumber(err, rowTooLarge, outOfRange, badTime, badText, tooLong, valueTooLarge, cannotConvert, illegalMix) {
		return fmt.Errorf("%w: %w", ErrValue, err)
	}
	return err
}

// transaction is one attempt to change an AOR.
type transaction struct {
	*Store
	tx           *sqlx.Tx
	aor          location.AOR
	user, domain string // as the columns have them
	attempt      int
	ids          []uint64 // of all rows that the AOR has or had
}

func (t *transaction) apply(ctx context.Context, c location.Change) error {
	records, bad, err := t.load(ctx)
	if err != nil {
		return err
	}
	stored := make([]location.Binding, len(records))
	for i, r := range records {
		stored[i] = r.binding
	}
	effect, err := c.Resolve(stored, t.cfg.Now())
	if err != nil {
		return err
	}
	for _, i := range effect.Drop {
		if err := t.exec(ctx, t.remove, records[i].id); err != nil {
			return err
		}
	}
	if c.Reset {
		for _, id := range bad {
			if err := t.exec(ctx, t.remove, id); err != nil {
				return err
			}
		}
	}
	for i := range effect.Put {
		if err := t.write(ctx, &effect.Put[i], records); err != nil {
			return err
		}
	}
	return nil
}

// load locks the rows of the AOR and returns what they mean, and the ids of
// those that cannot be read.
func (t *transaction) load(ctx context.Context) (records []*record, bad []uint64, err error) {
	rows, err := t.selectRows(ctx, t.tx.StmtxContext(ctx, t.lock), t.user, t.domain)
	if err != nil {
		return nil, nil, err
	}
	for i := range rows {
		id := rows[i].ContactID
		t.ids = append(t.ids, id)
		r, err := t.decode(&rows[i])
		switch {
		case err != nil:
			t.cfg.OnBadRow(id, err)
			// The collation may have found another user's row.
			if rows[i].Username.String == t.user && rows[i].Domain.String == t.domain {
				bad = append(bad, id)
			}
		case r.aor == t.aor:
			records = append(records, r)
		}
	}
	return records, bad, nil
}

func (t *transaction) write(ctx context.Context, w *location.Write, records []*record) error {
	if w.Replaces >= 0 {
		old := records[w.Replaces]
		values, err := t.encode(t.aor, &w.Binding, old.foreign)
		if err != nil {
			return err
		}
		return t.exec(ctx, t.update, append(values, old.id)...)
	}
	values, err := t.encode(t.aor, &w.Binding, nil)
	if err != nil {
		return err
	}
	id := newContactID(t.user, t.domain, t.ids, t.attempt)
	t.ids = append(t.ids, id)
	flags := sql.NullString{String: t.cfg.BranchFlags, Valid: t.cfg.BranchFlags != ""}
	return t.exec(ctx, t.insert, append(values, id, t.user, t.domain, flags)...)
}

func (t *transaction) exec(ctx context.Context, stmt *sqlx.Stmt, args ...any) error {
	_, err := t.tx.StmtxContext(ctx, stmt).ExecContext(ctx, args...)
	return err
}
