// Package archive is the file format of backups.
//
// An archive is a text of lines, compressed by gzip. The first line is a
// [Header] in JSON, the last one a footer with the number of rows and the
// SHA-256 of all lines before it. Between them each line is a row: an array of
// its values in JSON, the rows of the header's first table first. A value is
// null, a string or, if its bytes are not UTF-8, {"base64": "…"}.
//
// The format says nothing of what values mean: whoever writes and reads an
// archive does. A damaged archive is recognized as such before its last row has
// been read, or right after.
package archive

import (
	"errors"
	"fmt"
	"time"
)

// Format and Version are those of the header of each archive.
const (
	Format  = "sipward backup"
	Version = 1
)

// ErrDamaged reports a text that is no archive, not a whole one, or not as it
// was written. The error's text says where and why.
var ErrDamaged = errors.New("not an intact backup")

// Header says what an archive holds.
type Header struct {
	Format  string    `json:"format"`
	Version int       `json:"version"`
	Created time.Time `json:"created"`
	From    string    `json:"from,omitempty"` // name of the database; for people
	Tables  []Table   `json:"tables"`
}

// Table is one of the tables of an archive.
type Table struct {
	Name    string   `json:"name"`
	Version int      `json:"version"` // of the table's schema
	Columns []string `json:"columns"`
	Rows    int64    `json:"rows"`
}

// Rows returns the number of rows of all tables.
func (h *Header) Rows() (n int64) {
	for _, t := range h.Tables {
		n += t.Rows
	}
	return n
}

// check returns what keeps h from being a header that this package has written.
func (h *Header) check() error {
	switch {
	case h.Format != Format:
		return fmt.Errorf("%w: the format is %q, want %q", ErrDamaged, h.Format, Format)
	case h.Version != Version:
		return fmt.Errorf("%w: the format has version %d, this program reads version %d", ErrDamaged, h.Version, Version)
	}
	seen := map[string]bool{}
	for _, t := range h.Tables {
		if t.Name == "" || seen[t.Name] || len(t.Columns) == 0 || t.Rows < 0 {
			return fmt.Errorf("%w: table %q twice, without name or without columns", ErrDamaged, t.Name)
		}
		seen[t.Name] = true
	}
	return nil
}

// footer ends an archive.
type footer struct {
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256"`
}
