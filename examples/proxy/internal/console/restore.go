package console

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"

	"github.com/sipward/sipward/examples/proxy/internal/console/archive"
)

// restoreBatch is how many rows one statement inserts: few enough for the
// server's max_allowed_packet, whatever is in them.
const restoreBatch = 50

// deleteBatch is how many rows one statement deletes, so that each is done soon.
const deleteBatch = 10_000

func restoreOperation() operation {
	return operation{
		name: "restore", args: "[-dry-run] [-force] FILE", least: 1, most: 1,
		synopsis: "bring back the tables that a backup has",
		details: `
The whole file is checked before anything is changed, and all of it is brought
back or nothing. It is refused if it does not fit the tables that are there, or,
without -force, if there are rows in them. Stop the proxies before, or start them
again after it: they remember registrations.`,
		setup: func(flags *flag.FlagSet) func(context.Context, *session) error {
			dry := flags.Bool("dry-run", false, "check everything, and change nothing")
			force := flags.Bool("force", false, "replace the rows that are there")
			return func(ctx context.Context, s *session) error { return s.restore(ctx, *dry, *force) }
		},
	}
}

// restore brings back what an archive has.
func (s *session) restore(ctx context.Context, dry, force bool) error {
	f, err := os.Open(s.args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	h, err := verify(f)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	all, err := s.readSchema(ctx)
	if err != nil {
		return err
	}
	if err := fits(h, all); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	conn, err := s.exact(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return err
	}
	defer tx.Rollback() // no effect after Commit
	report := restoreReport{archiveReport: reportOn(f.Name(), h), Replaced: map[string]int64{}, DryRun: dry}
	for _, t := range h.Tables {
		if report.Replaced[t.Name], err = countRows(ctx, tx, t.Name); err != nil {
			return err
		}
		if n := report.Replaced[t.Name]; n > 0 && !force {
			return fmt.Errorf("%w: the table %s has rows (%d); -force replaces them", ErrRefused, t.Name, n)
		}
	}
	if !dry {
		if err := load(ctx, tx, f, h); err != nil {
			return fmt.Errorf("nothing was changed: %w", err)
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return s.out.print(report, report.print)
}

// restoreReport is what the command prints.
type restoreReport struct {
	archiveReport
	Replaced map[string]int64 `json:"replaced"` // rows that were there, by table
	DryRun   bool             `json:"dry_run"`
}

func (r *restoreReport) print(w io.Writer) {
	if r.DryRun {
		fmt.Fprintln(w, "nothing was changed; this would be restored:")
	}
	fmt.Fprintln(w, "TABLE\tVERSION\tROWS\tREPLACED")
	for _, t := range r.Tables {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\n", t.Table, t.Version, t.Rows, r.Replaced[t.Table])
	}
}

// verify reads an archive to its end and returns its header if it is intact.
func verify(r io.Reader) (archive.Header, error) {
	a, err := archive.NewReader(r)
	if err != nil {
		return archive.Header{}, err
	}
	for {
		switch _, _, err := a.Read(); {
		case err == io.EOF:
			return a.Header(), nil
		case err != nil:
			return archive.Header{}, err
		}
	}
}

// fits says why the tables that are there cannot take what an archive has.
func fits(h archive.Header, all schema) error {
	var faults []error
	for _, old := range h.Tables {
		t := all[old.Name]
		switch {
		case !slices.Contains(saved(), old.Name):
			faults = append(faults, fmt.Errorf("the backup has a table %q, which is none of the proxy's", old.Name))
			continue
		case t == nil:
			faults = append(faults, fmt.Errorf("there is no table %s; proxy db init makes it", old.Name))
			continue
		case t.version != old.Version:
			faults = append(faults, fmt.Errorf("the table %s has version %d, and %d in the backup", old.Name, t.version, old.Version))
		}
		for _, name := range old.Columns {
			if !slices.Contains(t.names(), name) {
				faults = append(faults, fmt.Errorf("the table %s has no column %q, which the backup has", old.Name, name))
			}
		}
	}
	return errors.Join(faults...)
}

// load replaces the rows of the tables in h by those of the archive in f, which
// is read once more: what has changed in it since then is noticed.
func load(ctx context.Context, tx *sql.Tx, f io.ReadSeeker, h archive.Header) error {
	for _, t := range h.Tables {
		if err := deleteRows(ctx, tx, t.Name); err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	a, err := archive.NewReader(f)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(a.Header(), h) {
		return errors.New("the file has changed")
	}
	b := batch{tx: tx, tables: h.Tables}
	for {
		table, values, err := a.Read()
		switch {
		case err == io.EOF:
			return b.flush(ctx)
		case err != nil:
			return err
		}
		if err := b.add(ctx, table, values); err != nil {
			return err
		}
	}
}

func deleteRows(ctx context.Context, tx *sql.Tx, table string) error {
	for {
		result, err := tx.ExecContext(ctx, "DELETE FROM "+table+" LIMIT ?", deleteBatch)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return err
		}
	}
}

// batch gathers rows of a table until there are enough for a statement.
type batch struct {
	tx     *sql.Tx
	tables []archive.Table
	table  int   // index of that of the rows
	values []any // of all rows
	rows   int
}

// add adds a row, after the rows before it have been inserted if need be.
func (b *batch) add(ctx context.Context, table int, values [][]byte) error {
	if table != b.table || b.rows == restoreBatch {
		if err := b.flush(ctx); err != nil {
			return err
		}
		b.table = table
	}
	for _, v := range values {
		b.values = append(b.values, v)
	}
	b.rows++
	return nil
}

// flush inserts the rows.
func (b *batch) flush(ctx context.Context) error {
	if b.rows == 0 {
		return nil
	}
	t := b.tables[b.table]
	if _, err := b.tx.ExecContext(ctx, insertStatement(t.Name, t.Columns, b.rows), b.values...); err != nil {
		return fmt.Errorf("table %s: %w", t.Name, err)
	}
	b.rows, b.values = 0, b.values[:0]
	return nil
}
