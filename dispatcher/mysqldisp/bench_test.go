package mysqldisp_test

import (
	"testing"

	"github.com/sipward/sipward/dispatcher"
)

func BenchmarkLoader_Load(b *testing.B) {
	db := createOpenSIPS(b)
	exec(b, db, "INSERT INTO dispatcher (setid, destination) SELECT seq DIV 2, CONCAT('sip:10.0.', seq DIV 250, '.', seq MOD 250, ':5060') FROM seq_1_to_2000")
	f := open(b, db)
	b.ReportAllocs()
	for b.Loop() {
		if all, err := f.Load(b.Context()); err != nil || len(all) != 2000 {
			b.Fatal(len(all), err)
		}
	}
}

func BenchmarkLoader_SetState(b *testing.B) {
	db := createOpenSIPS(b)
	exec(b, db, "INSERT INTO dispatcher (setid, destination) SELECT seq DIV 2, CONCAT('sip:10.0.', seq DIV 250, '.', seq MOD 250, ':5060') FROM seq_1_to_2000")
	f := open(b, db)
	d := f.load()[999]
	b.ReportAllocs()
	for b.Loop() {
		d.State = dispatcher.Probing - d.State
		if wrote, err := f.SetState(b.Context(), d, d.State); !wrote || err != nil {
			b.Fatal(wrote, err)
		}
	}
}
