package mysqlloc_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sipward/sipward/internal/mysqltest"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/mysqlloc"
)

// All reads page by page and holds no connection meanwhile, so that the loop
// may use a pool of one.
func TestAll_Pages(t *testing.T) {
	const rows = 2500
	db := create(t, mysqltest.DB(t))
	db.SetMaxOpenConns(1)
	fill(t, db, rows)
	exec(t, db, "UPDATE location SET expires = ? WHERE contact_id % 10 = 0", start.Unix())
	s := open(t, db, mysqlloc.Config{})
	seen := map[location.AOR]bool{}
	for e, err := range s.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if seen[e.AOR] {
			t.Fatalf("%v came twice", e.AOR)
		}
		seen[e.AOR] = true
		if len(seen)%500 == 0 && len(lookup(t, s, e.AOR)) != 1 {
			t.Errorf("%v is not there", e.AOR)
		}
	}
	if len(seen) != rows*9/10 {
		t.Errorf("got %d bindings, want %d", len(seen), rows*9/10)
	}
}

// Purge takes several statements, and no live row.
func TestPurge_Batches(t *testing.T) {
	const rows, limit = 1000, 350
	db := create(t, mysqltest.DB(t))
	fill(t, db, rows)
	exec(t, db, "UPDATE location SET expires = ? WHERE contact_id % 2 = 0", start.Unix())
	exec(t, db, "UPDATE location SET expires = ? WHERE contact_id % 2 = 1", start.Add(time.Second).Unix())
	s := open(t, db, mysqlloc.Config{})
	for i, want := range []int{limit, rows/2 - limit, 0} {
		if n, err := s.Purge(t.Context(), limit); n != want || err != nil {
			t.Errorf("call %d: got %d, %v; want %d", i, n, err, want)
		}
	}
	if n := count(t, db); n != rows/2 {
		t.Errorf("%d rows are left, want %d", n, rows/2)
	}
}

// The Contact is looked for in its domain only, by an index of it, and by
// what it means.
func TestLookupContact_Domain(t *testing.T) {
	db := create(t, mysqltest.DB(t))
	fill(t, db, 1000)
	s := open(t, db, mysqlloc.Config{})
	es, err := s.LookupContact(t.Context(), aor(t, "c250", "d2.example"))
	if err != nil || len(es) != 1 || es[0].AOR != aor(t, "u250", "d2.example") {
		t.Errorf("got %v, %v", es, err)
	}
	for _, a := range []location.AOR{aor(t, "c250", "d3.example"), aor(t, "C250", "d2.example"), aor(t, "c25", "d2.example"), {}} {
		if es, err := s.LookupContact(t.Context(), a); len(es) > 0 || err != nil {
			t.Errorf("%v: got %v, %v", a, es, err)
		}
	}
}

func TestClose_Twice(t *testing.T) {
	s, err := mysqlloc.New(t.Context(), create(t, mysqltest.DB(t)), mysqlloc.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Lookup(t.Context(), aor(t, "bob", "a.example")); err == nil {
		t.Error("Lookup: no error")
	}
}

// A row that another transaction holds delays Apply, and then is seen as that
// one left it.
func TestApply_WaitsForOthers(t *testing.T) {
	db := create(t, mysqltest.DB(t))
	s := open(t, db, mysqlloc.Config{})
	bob := aor(t, "bob", "a.example")
	b := binding("sip:bob@192.0.2.7")
	put(t, s, bob, b)

	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "UPDATE location SET cseq = 9"); err != nil {
		t.Fatal(err)
	}
	applied := make(chan error)
	go func() {
		b.CSeq = 5
		applied <- s.Apply(t.Context(), bob, location.Change{Put: []location.Binding{b}})
	}()
	select {
	case err := <-applied:
		t.Errorf("it did not wait: %v", err)
	case <-time.After(50 * time.Millisecond): // the other outcome is only ever early
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-applied; !errors.Is(err, location.ErrStale) {
		t.Errorf("got error %v, want ErrStale", err)
	}
}

func BenchmarkLookupContact(b *testing.B) {
	for _, perDomain := range []int{100, 10_000} {
		b.Run(fmt.Sprint(perDomain), func(b *testing.B) {
			db := create(b, mysqltest.DB(b))
			fill(b, db, 20_000)
			exec(b, db, "UPDATE location SET domain = CONCAT('d', contact_id DIV ?, '.example')", perDomain)
			s := open(b, db, mysqlloc.Config{})
			contact := aor(b, "c10500", fmt.Sprintf("d%d.example", 11500/perDomain))
			b.ReportAllocs()
			for b.Loop() {
				if es, err := s.LookupContact(b.Context(), contact); err != nil || len(es) != 1 {
					b.Fatal(es, err)
				}
			}
		})
	}
}

func BenchmarkAll(b *testing.B) {
	const rows = 20_000
	db := create(b, mysqltest.DB(b))
	fill(b, db, rows)
	s := open(b, db, mysqlloc.Config{})
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, err := range s.All(b.Context()) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != rows {
			b.Fatalf("got %d bindings", n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/binding")
}
