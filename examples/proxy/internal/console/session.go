package console

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/sipward/sipward/examples/proxy/internal/config"
)

// session is one run of an operation.
type session struct {
	args  []string // positional ones
	cfg   *config.Config
	name  string // of the database, without credentials
	db    *sql.DB
	out   printer
	notes io.Writer // what is no result
}

// note tells what is no result and no error.
func (s *session) note(format string, args ...any) {
	fmt.Fprintf(s.notes, "note: %s\n", cell(fmt.Sprintf(format, args...)))
}

// transact calls f in a transaction. It commits unless f fails.
func (s *session) transact(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return err
	}
	defer tx.Rollback() // no effect after Commit
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// edit calls f in a transaction during which nobody else can change a table
// whose rows have ids. It commits unless f fails.
func (s *session) edit(ctx context.Context, table string, f func(tx *sql.Tx) error) error {
	return s.transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "SELECT id FROM "+table+" FOR UPDATE"); err != nil {
			return err
		}
		return f(tx)
	})
}

// printer prints results.
type printer struct {
	w       io.Writer
	json    bool
	printed bool
}

// print prints a result: the document as JSON, or lines by text, with tabs
// between the cells of a table.
func (p *printer) print(document any, text func(w io.Writer)) error {
	if p.json {
		return p.document(document)
	}
	p.printed = true
	w := tabwriter.NewWriter(p.w, 0, 8, 2, ' ', 0)
	text(w)
	return w.Flush()
}

// document prints a JSON document.
func (p *printer) document(v any) error {
	p.printed = true
	e := newEncoder(p.w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func newEncoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // header fields have < and &
	return e
}

// cell returns a text as it can stand in a table: without control characters,
// which whoever wrote it to the database may mean for the operator's terminal,
// and "-" for none.
func cell(text string) string {
	if text == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// texts returns the texts of errors, none of them nil.
func texts(errs []error) []string {
	all := make([]string, len(errs))
	for i, err := range errs {
		all[i] = oneLine(err)
	}
	return all
}

// oneLine returns the text of an error that may be several ones.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
