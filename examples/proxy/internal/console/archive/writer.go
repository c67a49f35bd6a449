package archive

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Writer writes an archive. It keeps no more than a row in memory.
type Writer struct {
	zip    *gzip.Writer
	sum    hash.Hash
	lines  *json.Encoder // to both
	header Header
	cursor cursor
	row    []any
}

// NewWriter returns a Writer that has written a header. The header's Format and
// Version are set by it.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	h.Format, h.Version = Format, Version
	if err := h.check(); err != nil {
		return nil, err
	}
	zip, sum := gzip.NewWriter(w), sha256.New()
	a := &Writer{zip: zip, sum: sum, lines: json.NewEncoder(io.MultiWriter(zip, sum)), header: h}
	return a, a.lines.Encode(h)
}

// Write writes the next row, of the first table that does not have all of its
// rows. A nil value is NULL. The values are not kept.
func (w *Writer) Write(values [][]byte) error {
	t := w.cursor.next(&w.header)
	if t < 0 {
		return errors.New("archive: more rows than the header says")
	}
	table := w.header.Tables[t]
	if len(values) != len(table.Columns) {
		return fmt.Errorf("archive: %d values for the %d columns of %s", len(values), len(table.Columns), table.Name)
	}
	w.row = w.row[:0]
	for _, v := range values {
		w.row = append(w.row, toJSON(v))
	}
	return w.lines.Encode(w.row)
}

// Close ends the archive. It fails if there are less rows than the header says.
// It does not close the writer below.
func (w *Writer) Close() error {
	if w.cursor.next(&w.header) >= 0 {
		return errors.New("archive: less rows than the header says")
	}
	end := footer{Rows: w.header.Rows(), SHA256: hex.EncodeToString(w.sum.Sum(nil))}
	if err := w.lines.Encode(end); err != nil {
		return err
	}
	return w.zip.Close()
}

// cursor counts rows through the tables of a header.
type cursor struct {
	table int
	rows  int64 // of table
}

// next returns the index of the table that the next row belongs to, or -1 if
// there is none.
func (c *cursor) next(h *Header) int {
	for c.table < len(h.Tables) && c.rows == h.Tables[c.table].Rows {
		c.table, c.rows = c.table+1, 0
	}
	if c.table == len(h.Tables) {
		return -1
	}
	c.rows++
	return c.table
}
