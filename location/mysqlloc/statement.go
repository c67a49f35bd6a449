package mysqlloc

import (
	"context"
	"errors"
	"strings"

	"github.com/jmoiron/sqlx"
)

const (
	lookupQuery = "SELECT " + rowColumns + " FROM <table> WHERE username = ? AND domain = ?"
	lockQuery   = lookupQuery + " FOR UPDATE"

	// writtenColumns are those that encode has values for.
	writtenColumns = "contact, received, path, expires, q, callid, cseq, last_modified, user_agent, socket, " +
		"methods, sip_instance, kv_store"
	written = 13
)

// The arguments that statements of several rows have for each.
const (
	lockWidth   = 2
	updateWidth = written + 3
	insertWidth = written + 4
	removeWidth = 1
)

// lockAllQuery does not wait for locks: a row that somebody forgets to unlock
// must not hold up the changes of other AORs.
func lockAllQuery(rows int) string {
	return "SELECT " + rowColumns + " FROM <table> WHERE (username, domain) IN (" + tuples(rows, lockWidth) + ") FOR UPDATE NOWAIT"
}

// updateQuery is for a row of which all is known that does not change.
func updateQuery() string {
	return "UPDATE <table> SET " + strings.ReplaceAll(writtenColumns, ",", " = ?,") +
		" = ? WHERE contact_id = ? AND username = ? AND domain = ?"
}

// updateAllQuery is updateQuery for rows that are locked, and so are there: it
// inserts none. Should a table have more unique keys, and one of them lead to
// another row, then the overflow in the first assignment makes it fail.
func updateAllQuery(rows int) string {
	if rows == 1 {
		return updateQuery()
	}
	set := []string{"expires = IF(contact_id = VALUES(contact_id), VALUES(expires), 18446744073709551615 + contact_id + 1)"}
	for name := range strings.SplitSeq(writtenColumns, ", ") {
		if name != "expires" {
			set = append(set, name+" = VALUES("+name+")")
		}
	}
	return "INSERT INTO <table> (" + writtenColumns + ", contact_id, username, domain) VALUES " + tuples(rows, updateWidth) +
		" ON DUPLICATE KEY UPDATE " + strings.Join(set, ", ")
}

func insertQuery(rows int) string {
	return "INSERT INTO <table> (" + writtenColumns + ", contact_id, username, domain, cflags) VALUES " + tuples(rows, insertWidth)
}

func removeQuery(rows int) string {
	return "DELETE FROM <table> WHERE contact_id IN " + tuples(1, rows)
}

// tuples returns n tuples of arguments, such as "(?, ?), (?, ?)".
func tuples(n, width int) string {
	tuple := "(" + strings.Repeat("?, ", width-1) + "?)"
	return strings.Repeat(tuple+", ", n-1) + tuple
}

// statements are the prepared ones.
type statements struct {
	lookup, lock, byID, page, contacts *sqlx.Stmt
	compareAndUpdate                   *sqlx.Stmt
	expired, purge                     *sqlx.Stmt
	lockAll, update, insert, remove    many
}

// many is a statement for any number of rows. It is prepared for 1, 4, 16 and
// 64 of them: as many of the largest rows that a table of [Schema] holds are
// below the 16 MB that a server takes at once by default.
type many [4]*sqlx.Stmt

// each calls f for statements and their arguments until args are used up.
func (m *many) each(args []any, width int, f func(stmt *sqlx.Stmt, args []any) error) error {
	for i := len(m) - 1; i >= 0; i-- {
		n := width << (2 * i)
		for ; len(args) >= n; args = args[n:] {
			if err := f(m[i], args[:n]); err != nil {
				return err
			}
		}
	}
	return nil
}

// query is the text of a statement, and where that is when it is prepared.
type query struct {
	stmt **sqlx.Stmt
	text string
}

func (s *statements) queries() []query {
	all := []query{
		{&s.lookup, lookupQuery},
		{&s.lock, lockQuery},
		{&s.byID, byIDQuery},
		{&s.page, pageQuery},
		{&s.contacts, contactsQuery},
		{&s.compareAndUpdate, refreshQuery()},
		{&s.expired, expiredQuery},
		{&s.purge, purgeQuery()},
	}
	for i := range s.lockAll {
		rows := 1 << (2 * i)
		all = append(all,
			query{&s.lockAll[i], lockAllQuery(rows)},
			query{&s.update[i], updateAllQuery(rows)},
			query{&s.insert[i], insertQuery(rows)},
			query{&s.remove[i], removeQuery(rows)})
	}
	return all
}

func (s *statements) prepare(ctx context.Context, db *sqlx.DB, table string) error {
	for _, q := range s.queries() {
		// The name is all that ever becomes part of a statement's text.
		stmt, err := db.PreparexContext(ctx, strings.Replace(q.text, "<table>", "`"+table+"`", 1))
		if err != nil {
			return err
		}
		*q.stmt = stmt
	}
	return nil
}

func (s *statements) close() error {
	var errs []error
	for _, q := range s.queries() {
		if *q.stmt != nil {
			errs = append(errs, (*q.stmt).Close())
		}
	}
	return errors.Join(errs...)
}
