package mysqlloc

import (
	"context"
	"database/sql"

	"github.com/jmoiron/sqlx"
)

const rowColumns = "contact_id, username, domain, contact, received, path, expires, q, callid, cseq, " +
	"CAST(last_modified AS CHAR) AS last_modified, user_agent, socket, methods, sip_instance, kv_store"

// row is a row as it is, before anybody has judged it. So anything may be NULL,
// and last_modified is a text, whatever the pool makes of times.
type row struct {
	ContactID    uint64
	Username     sql.NullString
	Domain       sql.NullString
	Contact      sql.NullString
	Received     sql.NullString
	Path         sql.NullString
	Expires      sql.NullInt64
	Q            sql.NullFloat64
	CallID       sql.NullString
	CSeq         sql.NullInt64
	LastModified sql.NullString
	UserAgent    sql.NullString
	Socket       sql.NullString
	Methods      sql.NullInt64
	Instance     sql.NullString
	KV           sql.NullString
}

// selectRows appends what stmt selects to rows.
func selectRows(ctx context.Context, rows []row, stmt *sqlx.Stmt, args ...any) ([]row, error) {
	selected, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	defer selected.Close()
	var s scanner
	dest := s.dest()
	for selected.Next() {
		if err := selected.Scan(dest...); err != nil {
			return nil, err
		}
		rows = append(rows, s.row())
	}
	return rows, selected.Err()
}

// scanner reads rows. A row has many texts, so that it pays to make them parts
// of one string.
type scanner struct {
	numbers row // of the row that has been scanned
	texts   [11]sql.RawBytes
	joined  []byte
}

// dest returns where the columns of rowColumns go.
func (s *scanner) dest() []any {
	r, t := &s.numbers, &s.texts
	return []any{
		&r.ContactID, &t[0], &t[1], &t[2], &t[3], &t[4], &r.Expires, &r.Q, &t[5], &r.CSeq,
		&t[6], &t[7], &t[8], &r.Methods, &t[9], &t[10],
	}
}

func (s *scanner) row() row {
	s.joined = s.joined[:0]
	for _, t := range s.texts {
		s.joined = append(s.joined, t...)
	}
	r, joined := s.numbers, string(s.joined)
	for i, text := range [...]*sql.NullString{
		&r.Username, &r.Domain, &r.Contact, &r.Received, &r.Path, &r.CallID,
		&r.LastModified, &r.UserAgent, &r.Socket, &r.Instance, &r.KV,
	} {
		n := len(s.texts[i])
		text.String, text.Valid = joined[:n], s.texts[i] != nil
		joined = joined[n:]
	}
	return r
}
