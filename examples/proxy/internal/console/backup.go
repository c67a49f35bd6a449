package console

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sipward/sipward/examples/proxy/internal/console/archive"
)

func backupOperation() operation {
	return operation{
		name: "backup", args: "FILE", least: 1, most: 1, setup: plain((*session).backup),
		synopsis: "save the proxy's tables, as they are at one moment, to a file",
		details: `
The file appears when it is whole, is for its owner only and takes the place of
an older one. FILE - is the standard output; the report then goes to the standard
error. The records of calls are not in it.`,
	}
}

// backup writes an archive of what there is.
func (s *session) backup(ctx context.Context) error {
	file := s.args[0]
	var h archive.Header
	dump := func(w io.Writer) (err error) {
		h, err = s.dump(ctx, w)
		return err
	}
	switch {
	case file != "-":
		if err := writeFile(file, dump); err != nil {
			return err
		}
	case s.out.json:
		return usage(errors.New("-json and FILE - both want the standard output"))
	default:
		if err := dump(s.out.w); err != nil {
			return err
		}
		s.out.w = s.notes
	}
	return s.out.print(reportOn(file, h), func(w io.Writer) {
		fmt.Fprintln(w, "TABLE\tVERSION\tROWS")
		for _, t := range h.Tables {
			fmt.Fprintf(w, "%s\t%d\t%d\n", t.Name, t.Version, t.Rows)
		}
	})
}

// archiveReport is what a command prints of the archive that it has written or
// read.
type archiveReport struct {
	File    string        `json:"file"`
	Created time.Time     `json:"created"`
	From    string        `json:"from"`
	Tables  []tableReport `json:"tables"`
}

type tableReport struct {
	Table   string `json:"table"`
	Version int    `json:"version"`
	Rows    int64  `json:"rows"`
}

func reportOn(file string, h archive.Header) archiveReport {
	r := archiveReport{File: file, Created: h.Created, From: h.From, Tables: []tableReport{}}
	for _, t := range h.Tables {
		r.Tables = append(r.Tables, tableReport{t.Name, t.Version, t.Rows})
	}
	return r
}

// writeFile makes a file of what write writes, with a mode of 0600. It has its
// name when it is whole and on the disk, or not at all.
func writeFile(name string, write func(w io.Writer) error) (err error) {
	// Several may be written to one name at once, so each has a name of its own.
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	w := bufio.NewWriter(f)
	if err := errors.Join(write(w), w.Flush(), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// dump writes an archive of the tables that there are, as they are at one moment.
func (s *session) dump(ctx context.Context, w io.Writer) (archive.Header, error) {
	h := archive.Header{Created: time.Now().UTC().Truncate(time.Second), From: s.name}
	all, err := s.readSchema(ctx)
	if err != nil {
		return h, err
	}
	conn, err := s.exact(ctx)
	if err != nil {
		return h, err
	}
	defer conn.Close()
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return h, err
	}
	defer tx.Rollback() // nothing was written
	for _, name := range saved() {
		t := all[name]
		if t == nil {
			continue
		}
		n, err := countRows(ctx, tx, name)
		if err != nil {
			return h, err
		}
		h.Tables = append(h.Tables, archive.Table{Name: name, Version: t.version, Columns: t.names(), Rows: n})
	}
	if len(h.Tables) == 0 {
		return h, fmt.Errorf("the database has none of the tables %s", strings.Join(saved(), ", "))
	}
	a, err := archive.NewWriter(w, h)
	if err != nil {
		return h, err
	}
	for _, t := range h.Tables {
		if err := dumpTable(ctx, tx, a, t); err != nil {
			return h, fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	return h, a.Close()
}

// exact returns a connection on which values pass as they are stored, whatever
// the settings of the server and the DSN. The caller closes it.
func (s *session) exact(ctx context.Context) (*sql.Conn, error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	for _, statement := range []string{
		"SET NAMES utf8mb4",
		"SET time_zone = '+00:00'", // in which no hour comes twice
		// Dates that are none and a number 0 in a column that counts by itself are
		// values as others; blanks at the end of a CHAR are not.
		"SET SESSION sql_mode = 'STRICT_ALL_TABLES,ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION'",
	} {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
}

// countRows returns the number of rows of a table of ours.
func countRows(ctx context.Context, tx *sql.Tx, table string) (n int64, err error) {
	err = tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+table).Scan(&n)
	return n, err
}

// dumpTable writes the rows of a table as they come.
func dumpTable(ctx context.Context, tx *sql.Tx, a *archive.Writer, t archive.Table) error {
	// A prepared statement sends numbers as they are stored; others would be
	// rounded to texts.
	stmt, err := tx.PrepareContext(ctx, "SELECT "+quoted(t.Columns)+" FROM "+t.Name)
	if err != nil {
		return err
	}
	defer stmt.Close()
	rows, err := stmt.QueryContext(ctx)
	if err != nil {
		return err
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	raw := make([]sql.RawBytes, len(t.Columns))
	into, values := make([]any, len(raw)), make([][]byte, len(raw))
	for i := range raw {
		into[i] = &raw[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i, v := range raw {
			values[i] = v
			if v != nil && types[i].DatabaseTypeName() == "YEAR" {
				values[i] = fmt.Appendf(nil, "%04s", v) // "0" would be 2000
			}
		}
		if err := a.Write(values); err != nil {
			return err
		}
	}
	return rows.Err()
}
