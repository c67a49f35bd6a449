package archive_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/sipward/sipward/examples/proxy/internal/console/archive"
)

// binding is a row of the table location as phones make them.
func binding() (columns []string, row [][]byte) {
	for _, text := range []string{"3617797875662073346", "401", "tenant-a.example", "sip:401@192.168.1.40:51234;line=x1", "sip:203.0.113.7:51234;transport=udp", "",
		"1773493200", "-1", "60f86b69b228-zd4egelytysk", "2", "2026-03-14 12:00:00", "0", "NAT", "snomD785/10.1", "udp:198.51.100.1:5060", "7999",
		"<urn:uuid:7cc7d6ee-1f24-4b0f-9d2c-000413aabbcc>", `{"sipward_token":"t1"}`, ""} {
		columns = append(columns, "column")
		row = append(row, []byte(text))
	}
	row[5], row[18] = nil, nil
	return columns, row
}

func BenchmarkWriter(b *testing.B) {
	columns, row := binding()
	w, err := archive.NewWriter(io.Discard, archive.Header{Tables: []archive.Table{{Name: "location", Columns: columns, Rows: 1 << 62}}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Write(row); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReader(b *testing.B) {
	columns, row := binding()
	const rows = 10_000
	var file bytes.Buffer
	w, err := archive.NewWriter(&file, archive.Header{Tables: []archive.Table{{Name: "location", Columns: columns, Rows: rows}}})
	if err != nil {
		b.Fatal(err)
	}
	for range rows {
		if err := w.Write(row); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var r *archive.Reader
	for b.Loop() {
		if r != nil {
			if _, _, err = r.Read(); err == nil {
				continue
			}
			if err != io.EOF {
				b.Fatal(err)
			}
		}
		if r, err = archive.NewReader(bytes.NewReader(file.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
}
