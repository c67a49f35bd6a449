package mysqlloc

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"iter"
	"slices"

	"github.com/sipward/sipward/location"
)

const (
	// pageSize is how many rows All holds in memory.
	pageSize = 1000

	pageQuery = "SELECT " + rowColumns + " FROM <table> WHERE contact_id > ? AND (expires = 0 OR expires > ?) " +
		"ORDER BY contact_id LIMIT ?"
)

// All implements [location.Lister]. It reads pages of a thousand rows in the
// order of their ids and has no connection while the loop's body runs, however
// slow that is.
func (s *Store) All(ctx context.Context) iter.Seq2[location.Entry, error] {
	return func(yield func(location.Entry, error) bool) {
		var last uint64
		var rows []row
		for {
			var err error
			rows, err = selectRows(ctx, rows[:0], s.page, last, s.cfg.Now().Unix(), pageSize)
			if err != nil {
				yield(location.Entry{}, failure(ctx, "list", err))
				return
			}
			if !s.yieldPage(ctx, rows, yield) || len(rows) < pageSize {
				return
			}
			last = rows[len(rows)-1].ContactID
		}
	}
}

// yieldPage reports whether the loop goes on.
func (s *Store) yieldPage(ctx context.Context, rows []row, yield func(location.Entry, error) bool) bool {
	for i := range rows {
		if err := ctx.Err(); err != nil {
			yield(location.Entry{}, err)
			return false
		}
		r, err := s.decode(&rows[i])
		if err != nil {
			s.cfg.OnBadRow(rows[i].ContactID, err)
			continue
		}
		if s.cfg.Now().Before(r.binding.Expires) && !yield(location.Entry{AOR: r.aor, Binding: r.binding}, nil) {
			return false
		}
	}
	if err := ctx.Err(); err != nil {
		yield(location.Entry{}, err)
		return false
	}
	return true
}

const (
	contactsQuery = "SELECT contact_id, contact FROM <table> WHERE domain = ? AND (expires = 0 OR expires > ?)"
	byIDQuery     = "SELECT " + rowColumns + " FROM <table> WHERE contact_id = ?"
)

// LookupContact implements [location.ContactFinder]. The table has no column
// for the user of a Contact, so that this reads the Contacts of the whole
// domain: use a [location.Memory] for it where it happens often.
func (s *Store) LookupContact(ctx context.Context, contact location.AOR) ([]location.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !contact.IsValid() {
		return nil, nil
	}
	ids, err := s.contactIDs(ctx, contact)
	if err != nil {
		return nil, failure(ctx, "lookup of contact "+contact.String(), err)
	}
	var entries []location.Entry
	for _, id := range ids {
		e, err := s.entry(ctx, id, contact)
		if errors.Is(err, sql.ErrNoRows) {
			continue // it is gone meanwhile, or has become another one
		}
		if err != nil {
			return nil, failure(ctx, "lookup of contact "+contact.String(), err)
		}
		entries = append(entries, e)
	}
	slices.SortStableFunc(entries, func(a, b location.Entry) int {
		return cmp.Or(a.Binding.Compare(b.Binding), a.AOR.Compare(b.AOR))
	})
	return entries, nil
}

// contactIDs returns the ids of the rows that seem to be sought.
func (s *Store) contactIDs(ctx context.Context, contact location.AOR) (ids []uint64, err error) {
	rows, err := s.contacts.QueryContext(ctx, columnDomain(contact.Domain()), s.cfg.Now().Unix())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var id uint64
	var uri sql.NullString
	for rows.Next() {
		if err := rows.Scan(&id, &uri); err != nil {
			return nil, err
		}
		if contactUser(uri.String) == contact.User() {
			ids = append(ids, id)
		}
	}
	return ids, rows.Err()
}

// entry returns the entry with that id. It returns [sql.ErrNoRows] if there is
// none that is live and has the Contact sought.
func (s *Store) entry(ctx context.Context, id uint64, contact location.AOR) (location.Entry, error) {
	rows, err := selectRows(ctx, nil, s.byID, id)
	if err != nil {
		return location.Entry{}, err
	}
	if len(rows) == 0 {
		return location.Entry{}, sql.ErrNoRows
	}
	r, err := s.decode(&rows[0])
	if err != nil {
		s.cfg.OnBadRow(id, err)
		return location.Entry{}, sql.ErrNoRows
	}
	if r.aor.Domain() != contact.Domain() || contactUser(r.binding.Contact) != contact.User() ||
		!s.cfg.Now().Before(r.binding.Expires) {
		return location.Entry{}, sql.ErrNoRows
	}
	return location.Entry{AOR: r.aor, Binding: r.binding}, nil
}

// contactUser returns the user of a Contact URI, unescaped; "" if it has none.
func contactUser(contact string) string {
	u, err := location.ParseURI(contact)
	if err != nil {
		return ""
	}
	user, err := location.UnescapeUser(u.User)
	if err != nil {
		return ""
	}
	return user
}
