package mysqlloc_test

import (
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/internal/mysqltest"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/mysqlloc"
)

// users returns a change for each of n AORs, which puts a binding, and these
// bindings, which the changes share.
func users(t testing.TB, n int) (changes []location.AORChange, bs []location.Binding) {
	t.Helper()
	bs = make([]location.Binding, n)
	for i := range bs {
		b := binding(fmt.Sprintf("sip:u%d@192.0.2.7", i))
		b.CallID, b.CSeq = fmt.Sprintf("call-%d", i), 10
		bs[i] = b
		changes = append(changes, location.AORChange{
			AOR:    aor(t, fmt.Sprintf("u%03d", i), "a.example"),
			Change: location.Change{CallID: b.CallID, CSeq: b.CSeq, Put: bs[i : i+1]},
		})
	}
	return changes, bs
}

// applyAll applies changes, of which those with their index in but must fail.
func applyAll(t testing.TB, s *mysqlloc.Store, changes []location.AORChange, but map[int]error) {
	t.Helper()
	for i, err := range s.ApplyAll(t.Context(), changes) {
		if want := but[i]; want == nil && err != nil || !errors.Is(err, want) {
			t.Errorf("%v: got error %v, want %v", changes[i].AOR, err, want)
		}
	}
}

func wantBindings(t testing.TB, s location.Store, a location.AOR, want ...location.Binding) {
	t.Helper()
	if d := cmp.Diff(want, lookup(t, s, a), equalTimes); d != "" {
		t.Errorf("%v: %s", a, d)
	}
}

// What is promised is few round trips.
func TestApplyAll_RoundTrips(t *testing.T) {
	const n, most = 128, 10
	server := mysqltest.New(t)
	db := create(t, server.DB(t))
	db.SetMaxOpenConns(1)
	s := open(t, db, mysqlloc.Config{})
	changes, bs := users(t, n)
	questions := func() (count int) {
		var name string
		if err := db.QueryRowContext(t.Context(), "SHOW GLOBAL STATUS LIKE 'Questions'").Scan(&name, &count); err != nil {
			t.Fatal(err)
		}
		return count
	}
	for range 3 { // they come, are refreshed, and are refreshed again
		before := questions()
		applyAll(t, s, changes, nil)
		if did := questions() - before; did > most {
			t.Errorf("%d statements for %d changes, want at most %d", did, n, most)
		}
		for i := range bs {
			bs[i].CSeq++
		}
	}
}

// A refresh among others is an update of its row, as it is alone.
func TestApplyAll_KeepsForeignValues(t *testing.T) {
	db := mysqltest.DB(t)
	createOpenSIPS(t, db)
	s := open(t, db, mysqlloc.Config{BranchFlags: "OTHER"})
	changes, bs := users(t, 20)
	applyAll(t, s, changes, nil)
	exec(t, db, `UPDATE location SET flags = 4, cflags = 'NAT', attr = 'a=b', site = 'there', kv_store = '{"n":3,"site":"hq"}', domain = 'A.Example'`)
	ids := func() (all string) {
		if err := db.QueryRowContext(t.Context(), "SELECT GROUP_CONCAT(contact_id ORDER BY contact_id) FROM location").Scan(&all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := ids()
	for i := range bs {
		bs[i].CSeq, bs[i].Token, bs[i].UserAgent = 11, "t", "phone"
	}
	applyAll(t, s, changes, nil)
	if after := ids(); after != before {
		t.Errorf("ids were %s, now they are %s", before, after)
	}
	const kept = `SELECT COUNT(*) FROM location WHERE flags = 4 AND cflags = 'NAT' AND attr = 'a=b' AND site = 'there' AND
		domain = BINARY 'A.Example' AND kv_store = '{"n":3,"sipward_token":"t","site":"hq"}' AND cseq = 11 AND user_agent = 'phone'`
	var n int
	if err := db.QueryRowContext(t.Context(), kept).Scan(&n); err != nil || n != len(bs) {
		t.Errorf("%d rows of %d have all that they must have, error %v", n, len(bs), err)
	}
}

// What the server refuses it refuses all together, so that the store has to
// find out which one it is.
func TestApplyAll_ErrValue(t *testing.T) {
	db := create(t, mysqltest.DB(t))
	s := open(t, db, mysqlloc.Config{})
	changes, bs := users(t, 200)
	applyAll(t, s, changes, nil)
	old := [...]location.Binding{bs[30], bs[150]}
	for i := range bs {
		bs[i].CSeq++
	}
	bs[30].CSeq = 1 << 31 // known to the server only
	bs[150].Contact = ""
	applyAll(t, s, changes, map[int]error{30: mysqlloc.ErrValue, 150: mysqlloc.ErrValue})
	bs[30], bs[150] = old[0], old[1]
	for i := range bs {
		wantBindings(t, s, changes[i].AOR, bs[i])
	}
}

// A user that the column cannot express makes the server refuse the statement.
func TestApplyAll_Latin1(t *testing.T) {
	db := mysqltest.DB(t)
	createOpenSIPS(t, db)
	exec(t, db, "ALTER TABLE location CONVERT TO CHARACTER SET latin1 COLLATE latin1_swedish_ci")
	s := open(t, db, mysqlloc.Config{})
	changes, bs := users(t, 50)
	changes[7].AOR = aor(t, "\u260e", "a.example")
	applyAll(t, s, changes, map[int]error{7: mysqlloc.ErrValue})
	for i := range bs {
		if i != 7 {
			wantBindings(t, s, changes[i].AOR, bs[i])
		}
	}
}

// A row that somebody keeps locked holds up its own AOR and no other one.
func TestApplyAll_WaitsForOthersLast(t *testing.T) {
	const locked = 30
	db := create(t, mysqltest.DB(t))
	fill(t, db, 2000) // of a small table all rows are looked at
	s := open(t, db, mysqlloc.Config{})
	changes, bs := users(t, 64)
	applyAll(t, s, changes, nil)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	const update = "UPDATE location SET cseq = 99 WHERE domain = 'a.example' AND username = ?"
	if _, err := tx.ExecContext(t.Context(), update, changes[locked].AOR.User()); err != nil {
		t.Fatal(err)
	}
	for i := range bs {
		bs[i].CSeq++
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		applyAll(t, s, changes, map[int]error{locked: location.ErrStale})
	}()
	for i, c := range changes {
		for i != locked && lookup(t, s, c.AOR)[0].CSeq != bs[i].CSeq {
			select {
			case <-done:
				t.Fatalf("%v was not changed", c.AOR)
			case <-time.After(time.Millisecond): // others tell of it by nothing else
			}
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	<-done
}

// Ids that are taken already are evaded, whoever has them.
func TestApplyAll_IDsTaken(t *testing.T) {
	db := create(t, mysqltest.DB(t))
	s := open(t, db, mysqlloc.Config{})
	changes, bs := users(t, 10)
	for _, c := range changes[:3] {
		id := mysqlloc.NewContactID(c.AOR.User(), c.AOR.Domain(), nil, 0)
		exec(t, db, "INSERT INTO location (contact_id, username, domain, contact, expires) VALUES (?, 'other', 'b.example', 'sip:x@192.0.2.1', ?)", id, bs[0].Expires.Unix())
	}
	applyAll(t, s, changes, nil)
	for i := range bs {
		wantBindings(t, s, changes[i].AOR, bs[i])
	}
	if n := len(lookup(t, s, aor(t, "other", "b.example"))); n != 3 {
		t.Errorf("the other one has %d bindings, want 3", n)
	}
}

// A table may have more keys that a row must not share with another one.
func TestApplyAll_OtherUniqueKey(t *testing.T) {
	for _, key := range []string{"callid", "contact"} {
		t.Run(key, func(t *testing.T) {
			db := create(t, mysqltest.DB(t))
			exec(t, db, "ALTER TABLE location ADD UNIQUE KEY ("+key+")")
			s := open(t, db, mysqlloc.Config{})
			changes, bs := users(t, 12)
			for i := range bs {
				bs[i].Instance = fmt.Sprintf("<urn:uuid:%d>", i)
			}
			applyAll(t, s, changes, nil)
			old := bs[4]
			for i := range bs[:10] {
				bs[i].CSeq++
			}
			bs[4].CallID, bs[4].Contact = bs[11].CallID, bs[11].Contact
			for i, err := range s.ApplyAll(t.Context(), changes[:10]) {
				if (err != nil) != (i == 4) {
					t.Errorf("%d: error %v", i, err)
				}
			}
			bs[4] = old
			for i := range bs {
				wantBindings(t, s, changes[i].AOR, bs[i])
			}
			if n := count(t, db); n != len(bs) {
				t.Errorf("%d rows, want %d", n, len(bs))
			}
		})
	}
}

// The statement that replaces rows never writes over one that it has not been
// told the id of. With this key and level MariaDB leads it there.
func TestUpdateAllQuery_OtherRow(t *testing.T) {
	db := create(t, mysqltest.DB(t))
	exec(t, db, "ALTER TABLE location ADD UNIQUE KEY (contact) USING HASH")
	fill(t, db, 10)
	var args []any
	for i, contact := range []int{1, 2, 3, 9} {
		args = append(args, fmt.Sprintf("sip:c%d@10.0.0.1", contact), nil, nil, 1900000001, -1, "new", 1, "2026-01-01 00:00:00",
			"", nil, nil, nil, nil, 1001+i, fmt.Sprint("u", 1+i), "d0.example")
	}
	if _, err := db.ExecContext(t.Context(), mysqlloc.UpdateAllQuery(4), args...); err == nil {
		t.Error("no error")
	}
	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM location WHERE callid = 'new'").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d rows were written, error %v", n, err)
	}
}

// Two stores are two processes, as far as the database can tell. Each AOR has
// one phone that one of them knows and one that the other knows, and one that
// both know.
func TestApplyAll_SeveralWriters(t *testing.T) {
	const n, rounds, writers = 60, 10, 4
	for name, table := range map[string]func(testing.TB, *sql.DB){
		"created":  func(t testing.TB, db *sql.DB) { create(t, db) },
		"OpenSIPS": createOpenSIPS,
	} {
		t.Run(name, func(t *testing.T) {
			db := mysqltest.DB(t)
			table(t, db)
			stores := []*mysqlloc.Store{open(t, db, mysqlloc.Config{}), open(t, db, mysqlloc.Config{})}
			var wg sync.WaitGroup
			for w := range writers {
				changes, bs := users(t, n)
				for i := range changes {
					own := bs[i]
					own.Contact, own.CallID = fmt.Sprintf("sip:writer%d@192.0.2.9", w), fmt.Sprint("writer ", w)
					changes[i].Change.Put = []location.Binding{bs[i], own}
				}
				wg.Go(func() {
					for round := range rounds {
						for i := range changes {
							for k := range changes[i].Change.Put {
								changes[i].Change.Put[k].CSeq = uint32(10 + round)
							}
						}
						for i, err := range stores[w%2].ApplyAll(t.Context(), changes) {
							if err != nil && !errors.Is(err, location.ErrStale) {
								t.Errorf("%v: %v", changes[i].AOR, err)
							}
						}
					}
				})
			}
			wg.Wait()
			changes, _ := users(t, n)
			for _, c := range changes {
				bs := lookup(t, stores[0], c.AOR)
				if len(bs) != 1+writers {
					t.Errorf("%v has %d bindings, want %d", c.AOR, len(bs), 1+writers)
				}
				for _, b := range bs {
					if b.Contact == c.Change.Put[0].Contact && b.CSeq != 10+rounds-1 {
						t.Errorf("%v: %s has CSeq %d", c.AOR, b.Contact, b.CSeq)
					}
				}
			}
			if rows := count(t, db); rows != n*(1+writers) {
				t.Errorf("%d rows, want %d", rows, n*(1+writers))
			}
		})
	}
}
