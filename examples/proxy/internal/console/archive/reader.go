package archive

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
)

// maxLine bounds what a damaged archive, or one that is meant to, can make us
// hold in memory. A row of the tables that are backed up has some kilobytes.
const maxLine = 64 << 20

// Reader reads an archive. It keeps no more than a row in memory.
type Reader struct {
	lines  *bufio.Reader
	number int // of the line that was read last
	sum    hash.Hash
	header Header
	cursor cursor
	err    error // ends reading
}

// NewReader returns a Reader that has read the header. The error wraps
// [ErrDamaged] if r is no archive.
func NewReader(r io.Reader) (*Reader, error) {
	zip, err := gzip.NewReader(r)
	if err != nil {
		return nil, damage(err)
	}
	return newReader(zip)
}

// newReader is NewReader for what has been decompressed.
func newReader(r io.Reader) (*Reader, error) {
	a := &Reader{lines: bufio.NewReader(r), sum: sha256.New()}
	line, err := a.line()
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(line, &a.header); err != nil {
		return nil, a.fault("no header: %v", err)
	}
	if err := a.header.check(); err != nil {
		return nil, err
	}
	a.sum.Write(line)
	return a, nil
}

// Header returns the header. Its slices are the Reader's.
func (r *Reader) Header() Header { return r.header }

// Read returns the next row and the index of its table in the header. A nil
// value is NULL; the values are the caller's. After the last row the error is
// [io.EOF] if the archive is intact, and wraps [ErrDamaged] if not: until then
// nothing that was read is to be relied upon.
func (r *Reader) Read() (table int, values [][]byte, err error) {
	if r.err != nil {
		return 0, nil, r.err
	}
	if table = r.cursor.next(&r.header); table < 0 {
		r.err = r.end()
		return 0, nil, r.err
	}
	values, r.err = r.row(len(r.header.Tables[table].Columns))
	return table, values, r.err
}

func (r *Reader) row(columns int) ([][]byte, error) {
	line, err := r.line()
	if err != nil {
		return nil, err
	}
	var row []any
	if err := json.Unmarshal(line, &row); err != nil {
		return nil, r.fault("no row: %v", err)
	}
	if len(row) != columns {
		return nil, r.fault("%d values for %d columns", len(row), columns)
	}
	r.sum.Write(line)
	values := make([][]byte, len(row))
	for i, v := range row {
		if values[i], err = fromJSON(v); err != nil {
			return nil, r.fault("%v", err)
		}
	}
	return values, nil
}

// end reads the footer. It returns io.EOF if all is well.
func (r *Reader) end() error {
	line, err := r.line()
	if err != nil {
		return err
	}
	var f footer
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return r.fault("no footer: %v", err)
	}
	if f.Rows != r.header.Rows() || f.SHA256 != hex.EncodeToString(r.sum.Sum(nil)) {
		return r.fault("the checksum is not that of the lines before")
	}
	switch _, err := r.lines.ReadByte(); {
	case err == nil:
		return r.fault("something follows the footer")
	case !errors.Is(err, io.EOF):
		return damage(err)
	}
	return io.EOF
}

// line returns the next line, with its end. It is valid until the next call.
func (r *Reader) line() ([]byte, error) {
	r.number++
	var line []byte
	for {
		part, err := r.lines.ReadSlice('\n')
		switch {
		case len(line)+len(part) > maxLine:
			return nil, r.fault("longer than %d bytes", maxLine)
		case err == nil && line == nil:
			return part, nil
		case err == nil:
			return append(line, part...), nil
		case errors.Is(err, bufio.ErrBufferFull):
			line = append(line, part...)
		case errors.Is(err, io.EOF):
			return nil, r.fault("it ends here")
		default:
			return nil, damage(err)
		}
	}
}

// fault returns what is wrong with the line that was read last.
func (r *Reader) fault(format string, args ...any) error {
	return fmt.Errorf("%w: line %d: %s", ErrDamaged, r.number, fmt.Sprintf(format, args...))
}

// damage marks the errors of a text that is none of gzip, or ends too early.
// Those of the file system stay what they are.
func damage(err error) error {
	_, corrupt := errors.AsType[flate.CorruptInputError](err)
	if corrupt || errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %v", ErrDamaged, err) // which must not be taken for the end
	}
	return err
}
