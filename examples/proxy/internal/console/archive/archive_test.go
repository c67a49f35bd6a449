package archive_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/internal/console/archive"
)

func header() archive.Header {
	return archive.Header{
		Created: time.Date(2026, time.March, 14, 12, 0, 0, 0, time.UTC),
		From:    "db.example:3306/sip",
		Tables: []archive.Table{
			{Name: "domain", Version: 4, Columns: []string{"id", "domain"}, Rows: 2},
			{Name: "empty", Columns: []string{"id"}},
			{Name: "location", Version: 1013, Columns: []string{"contact_id", "contact", "site"}, Rows: 1},
		},
	}
}

// rows are those of header, with what breaks careless encodings.
func rows() [][][]byte {
	return [][][]byte{
		{[]byte("1"), nil},
		{[]byte(""), []byte("a'\"\\%\x00\n<&>\u2028\U0001F600")},
		{[]byte("18446744073709551615"), []byte("\xff\xfe\x00"), []byte("null")},
	}
}

func write(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, header())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows() {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// read returns all rows, each with the index of its table.
func read(r io.Reader) (h archive.Header, all [][][]byte, tables []int, err error) {
	a, err := archive.NewReader(r)
	if err != nil {
		return archive.Header{}, nil, nil, err
	}
	for {
		table, row, err := a.Read()
		switch {
		case err == io.EOF:
			return a.Header(), all, tables, nil
		case err != nil:
			return a.Header(), all, tables, err
		}
		all, tables = append(all, row), append(tables, table)
	}
}

func TestRoundTrip(t *testing.T) {
	h, got, tables, err := read(bytes.NewReader(write(t)))
	if err != nil {
		t.Fatal(err)
	}
	want := header()
	want.Format, want.Version = archive.Format, archive.Version
	if d := cmp.Diff(want, h); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(rows(), got); d != "" { // which tells nil from empty
		t.Error(d)
	}
	if d := cmp.Diff([]int{0, 0, 2}, tables); d != "" {
		t.Error(d)
	}
}

// What is not as the header says is refused when it is written.
func TestWriter_Refuses(t *testing.T) {
	for name, do := range map[string]func(*archive.Writer) error{
		"too few rows": func(w *archive.Writer) error { return w.Close() },
		"too few values": func(w *archive.Writer) error {
			return w.Write([][]byte{[]byte("1")})
		},
		"too many rows": func(w *archive.Writer) error {
			for _, r := range rows() {
				if err := w.Write(r); err != nil {
					t.Fatal(err)
				}
			}
			return w.Write(nil)
		},
	} {
		w, err := archive.NewWriter(io.Discard, header())
		if err != nil {
			t.Fatal(err)
		}
		if err := do(w); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for name, tables := range map[string][]archive.Table{
		"no name":    {{Columns: []string{"id"}}},
		"no columns": {{Name: "domain"}},
		"twice":      {{Name: "domain", Columns: []string{"id"}}, {Name: "domain", Columns: []string{"id"}}},
	} {
		if _, err := archive.NewWriter(io.Discard, archive.Header{Tables: tables}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func unzip(t testing.TB, b []byte) string {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func zip(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, text)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// No alteration of the text passes, wherever it is.
func TestReader_Damaged(t *testing.T) {
	text := unzip(t, write(t))
	for name, change := range map[string]func(string) string{
		"empty":           func(string) string { return "" },
		"other format":    func(s string) string { return strings.Replace(s, archive.Format, "other backup", 1) },
		"other version":   func(s string) string { return strings.Replace(s, `"version":1,`, `"version":2,`, 1) },
		"header only":     func(s string) string { return s[:strings.Index(s, "\n")+1] },
		"no footer":       func(s string) string { return s[:strings.LastIndex(s, `{"rows"`)] },
		"no last newline": func(s string) string { return strings.TrimSuffix(s, "\n") },
		"value altered":   func(s string) string { return strings.Replace(s, `["1",null]`, `["2",null]`, 1) },
		"null altered":    func(s string) string { return strings.Replace(s, `["1",null]`, `["1",""]`, 1) },
		"header altered":  func(s string) string { return strings.Replace(s, `"id","domain"`, `"id","attrs"`, 1) },
		"row missing":     func(s string) string { return strings.Replace(s, "[\"1\",null]\n", "", 1) },
		"row twice":       func(s string) string { return strings.Replace(s, "[\"1\",null]\n", "[\"1\",null]\n[\"1\",null]\n", 1) },
		"value missing":   func(s string) string { return strings.Replace(s, `["1",null]`, `["1"]`, 1) },
		"number":          func(s string) string { return strings.Replace(s, `["1",null]`, `[1,null]`, 1) },
		"no bytes":        func(s string) string { return strings.Replace(s, `["1",null]`, `["1",{}]`, 1) },
		"other object":    func(s string) string { return strings.Replace(s, `["1",null]`, `["1",{"base65":""}]`, 1) },
		"null row":        func(s string) string { return strings.Replace(s, `["1",null]`, `null`, 1) },
		"empty row":       func(s string) string { return strings.Replace(s, `["1",null]`, ``, 1) },
		"table twice":     func(s string) string { return strings.Replace(s, `"empty"`, `"domain"`, 1) },
		"empty footer":    func(s string) string { return s[:strings.LastIndex(s, `{"rows"`)] + "\n" },
		"more":            func(s string) string { return s + "\n" },
	} {
		changed := change(text)
		if changed == text {
			t.Fatalf("%s: nothing is changed", name)
		}
		_, _, _, err := read(bytes.NewReader(zip(t, changed)))
		if !errors.Is(err, archive.ErrDamaged) || errors.Is(err, io.EOF) {
			t.Errorf("%s: got error %v, want ErrDamaged", name, err)
		}
	}
}

// A file that was cut off, wherever, is never taken for a whole one, and what
// is not ours is told apart from what cannot be read.
func TestReader_Bytes(t *testing.T) {
	whole := write(t)
	for n := range whole {
		if _, _, _, err := read(bytes.NewReader(whole[:n])); !errors.Is(err, archive.ErrDamaged) {
			t.Fatalf("the first %d bytes: got error %v, want ErrDamaged", n, err)
		}
	}
	for name, b := range map[string][]byte{
		"text":      []byte("-- SQL dump\n"),
		"bit":       append(append([]byte(nil), whole[:len(whole)-9]...), append([]byte{whole[len(whole)-9] ^ 1}, whole[len(whole)-8:]...)...),
		"more":      append(append([]byte(nil), whole...), 'x'),
		"two files": append(append([]byte(nil), whole...), whole...),
	} {
		if _, _, _, err := read(bytes.NewReader(b)); !errors.Is(err, archive.ErrDamaged) {
			t.Errorf("%s: got error %v, want ErrDamaged", name, err)
		}
	}
	broken := errors.New("input/output error")
	for n := range whole {
		r := io.MultiReader(bytes.NewReader(whole[:n]), failing{broken})
		if _, _, _, err := read(r); !errors.Is(err, broken) || errors.Is(err, archive.ErrDamaged) {
			t.Fatalf("the first %d bytes: got error %v, want that of the reader", n, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// A line without end does not fill the memory.
func TestReader_LongLine(t *testing.T) {
	r := io.MultiReader(strings.NewReader(`{"format":"`), endless{})
	if _, err := archive.NewTextReader(r); !errors.Is(err, archive.ErrDamaged) || !strings.Contains(err.Error(), "longer") {
		t.Errorf("got error %v, want ErrDamaged of a line that is too long", err)
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

// What is read without error is what a Writer writes.
func FuzzReader(f *testing.F) {
	f.Add(unzip(f, write(f)))
	f.Add("{\"format\":\"sipward backup\",\"version\":1,\"tables\":[]}\n{\"rows\":0,\"sha256\":\"\"}\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := archive.NewTextReader(strings.NewReader(text))
		if err != nil {
			return
		}
		h := r.Header()
		w, err := archive.NewWriter(io.Discard, h)
		if err != nil {
			t.Fatalf("a header that was read cannot be written: %v", err)
		}
		for {
			_, row, err := r.Read()
			if err == io.EOF {
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				return
			}
			if err != nil {
				return
			}
			if err := w.Write(row); err != nil {
				t.Fatalf("a row that was read cannot be written: %v", err)
			}
		}
	})
}
