package mysqlloc_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/internal/mysqltest"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/locationtest"
	"github.com/sipward/sipward/location/mysqlloc"
)

func TestMain(m *testing.M) { mysqltest.Main(m) }

// start is when the tests play.
var start = time.Date(2026, time.March, 14, 12, 0, 0, 0, time.UTC)

// open returns a store on db, which has a location table.
func open(t testing.TB, db *sql.DB, cfg mysqlloc.Config) *mysqlloc.Store {
	t.Helper()
	if cfg.TimeZone == nil {
		cfg.TimeZone = time.UTC
	}
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return start }
	}
	s, err := mysqlloc.New(t.Context(), db, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// create makes an empty location table of this package.
func create(t testing.TB, db *sql.DB) *sql.DB {
	t.Helper()
	if err := mysqlloc.Create(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return db
}

func exec(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// column returns a column of the only row.
func column(t testing.TB, db *sql.DB, name string) string {
	t.Helper()
	var value sql.NullString
	if err := db.QueryRowContext(t.Context(), "SELECT CAST("+name+" AS CHAR) FROM location").Scan(&value); err != nil {
		t.Fatal(err)
	}
	if !value.Valid {
		return "NULL"
	}
	return value.String
}

func aor(t testing.TB, user, domain string) location.AOR {
	t.Helper()
	a, err := location.MakeAOR(user, domain)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func put(t testing.TB, s location.Store, a location.AOR, bs ...location.Binding) {
	t.Helper()
	if err := s.Apply(t.Context(), a, location.Change{Put: bs}); err != nil {
		t.Fatal(err)
	}
}

func lookup(t testing.TB, s location.Store, a location.AOR) []location.Binding {
	t.Helper()
	bs, err := s.Lookup(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return bs
}

// binding returns a plain one for an hour.
func binding(contact string) location.Binding {
	return location.Binding{
		Contact: contact, CallID: "call", CSeq: 1, Q: location.QUnspecified,
		Updated: start, Expires: start.Add(time.Hour),
	}
}

// The tables that the suite must pass on. P-42: its hostile texts reach each
// column.
func TestStore(t *testing.T) {
	tables := map[string]func(testing.TB, *sql.DB){
		"created": func(t testing.TB, db *sql.DB) { create(t, db) },
		// Its collation folds case and accents, and so do its lookups.
		"OpenSIPS": createOpenSIPS,
	}
	for name, table := range tables {
		t.Run(name, func(t *testing.T) {
			server := mysqltest.New(t)
			var db *sql.DB // of the store that is being tested
			var cfg mysqlloc.Config
			locationtest.Run(t, locationtest.Harness{
				New: func(t testing.TB, now func() time.Time) location.Store {
					db, cfg = server.DB(t), mysqlloc.Config{Now: now, TimeZone: time.UTC}
					table(t, db)
					return open(t, db, cfg)
				},
				Reopen: func(t testing.TB, _ location.Store) location.Store { return open(t, db, cfg) },
				Break: func(t testing.TB, _ location.Store) func() {
					server.Kill(t)
					return func() { server.Start(t) }
				},
			})
		})
	}
}

// createOpenSIPS makes the table as databases of OpenSIPS have it, with the
// indexes and the collation that their operators gave it.
func createOpenSIPS(t testing.TB, db *sql.DB) {
	t.Helper()
	for statement := range strings.SplitSeq(openSIPSSchema, ";\n") {
		exec(t, db, statement)
	}
}

const openSIPSSchema = `CREATE TABLE version (table_name CHAR(32) NOT NULL UNIQUE, table_version INT UNSIGNED DEFAULT 0 NOT NULL);
INSERT INTO version VALUES ('location', 1013), ('domain', 4);
CREATE TABLE location (
	contact_id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL,
	username CHAR(64) DEFAULT '' NOT NULL,
	domain CHAR(64) DEFAULT NULL,
	contact TEXT NOT NULL,
	received CHAR(255) DEFAULT NULL,
	path CHAR(255) DEFAULT NULL,
	expires INT NOT NULL,
	q FLOAT(10,2) DEFAULT 1.0 NOT NULL,
	callid CHAR(255) DEFAULT 'Default-Call-ID' NOT NULL,
	cseq INT DEFAULT 13 NOT NULL,
	last_modified DATETIME DEFAULT '1900-01-01 00:00:01' NOT NULL,
	flags INT DEFAULT 0 NOT NULL,
	cflags CHAR(255) DEFAULT NULL,
	user_agent CHAR(255) DEFAULT '' NOT NULL,
	socket CHAR(64) DEFAULT NULL,
	methods INT DEFAULT NULL,
	sip_instance CHAR(255) DEFAULT NULL,
	kv_store TEXT(512) DEFAULT NULL,
	attr CHAR(255) DEFAULT NULL,
	site CHAR(16) DEFAULT 'here' NOT NULL,
	INDEX username_domain_idx (username, domain),
	INDEX domain_idx (domain),
	INDEX expires_idx (expires)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci`

func TestNew_BadTable(t *testing.T) {
	db := mysqltest.DB(t)
	for _, name := range []string{"a`b", "location; DROP TABLE location", "a.b", "a b", strings.Repeat("x", 65), "löcation"} {
		if _, err := mysqlloc.New(t.Context(), db, mysqlloc.Config{Table: name}); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
}

func TestStore_OtherTable(t *testing.T) {
	db := create(t, mysqltest.DB(t))
	exec(t, db, "CREATE TABLE site2_location LIKE location")
	if _, err := mysqlloc.New(t.Context(), db, mysqlloc.Config{Table: "site2_location"}); !errors.Is(err, mysqlloc.ErrSchema) {
		t.Errorf("without a version: error %v", err)
	}
	exec(t, db, "INSERT INTO version VALUES ('site2_location', 1013)")
	one, two := open(t, db, mysqlloc.Config{}), open(t, db, mysqlloc.Config{Table: "site2_location"})
	bob := aor(t, "bob", "a.example")
	put(t, two, bob, binding("sip:bob@192.0.2.7"))
	if n := len(lookup(t, one, bob)); n != 0 {
		t.Errorf("location has %d bindings", n)
	}
	if n := len(lookup(t, two, bob)); n != 1 {
		t.Errorf("site2_location has %d bindings", n)
	}
}

// What the pool makes of times, of affected rows and of parameters does not
// matter.
func TestStore_AnyPool(t *testing.T) {
	server := mysqltest.New(t)
	for name, set := range map[string]func(*mysql.Config){
		"times":      func(c *mysql.Config) { c.ParseTime, c.Loc = true, time.FixedZone("", 7200) },
		"found rows": func(c *mysql.Config) { c.ClientFoundRows = true },
		"text":       func(c *mysql.Config) { c.InterpolateParams = true },
	} {
		t.Run(name, func(t *testing.T) {
			db := create(t, server.DB(t))
			cfg := server.Config(t, db)
			set(cfg)
			pool, err := sql.Open("mysql", cfg.FormatDSN())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { pool.Close() })
			s := open(t, pool, mysqlloc.Config{})
			bob, b := aor(t, "bob", "a.example"), binding("sip:bob@192.0.2.7")
			for range 2 {
				put(t, s, bob, b) // the second one is a repeat
				if d := cmp.Diff([]location.Binding{b}, lookup(t, s, bob), equalTimes); d != "" {
					t.Error(d)
				}
			}
			b.CSeq++
			put(t, s, bob, b)
			if d := cmp.Diff([]location.Binding{b}, lookup(t, s, bob), equalTimes); d != "" {
				t.Error(d)
			}
		})
	}
}

// Two stores are two processes, as far as the database can tell.
func TestStore_SeveralWriters(t *testing.T) {
	const goroutines, refreshes, keep = 24, 5, 10
	db := create(t, mysqltest.DB(t))
	stores := []location.Store{open(t, db, mysqlloc.Config{}), open(t, db, mysqlloc.Config{})}
	bob := aor(t, "bob", "a.example")
	errs := make(chan error, goroutines)
	for g := range goroutines {
		go func() {
			b := binding("sip:bob@192.0.2." + string(rune('0'+g/2%10)) + ":1" + string(rune('0'+g/20)))
			b.CallID = b.Contact
			errs <- register(t.Context(), stores[g%2], bob, b, refreshes, keep)
		}()
	}
	for range goroutines {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	bs := lookup(t, stores[0], bob)
	if len(bs) != keep {
		t.Errorf("got %d bindings, want %d", len(bs), keep)
	}
	seen := map[string]bool{}
	for _, b := range bs {
		if seen[b.Contact] {
			t.Errorf("%s is there twice", b.Contact)
		}
		seen[b.Contact] = true
	}
}

func register(ctx context.Context, s location.Store, a location.AOR, b location.Binding, times, keep int) error {
	for range times {
		b.CSeq++
		err := s.Apply(ctx, a, location.Change{CallID: b.CallID, CSeq: b.CSeq, Put: []location.Binding{b}, Keep: keep})
		if err != nil && !errors.Is(err, location.ErrStale) {
			return err
		}
	}
	return nil
}

// BenchmarkStore measures the store with the database, which has no other
// clients. Each refresh reads and writes its row in a transaction.
func BenchmarkStore(b *testing.B) {
	locationtest.Bench(b, locationtest.Harness{New: func(t testing.TB, now func() time.Time) location.Store {
		return open(t, create(t, mysqltest.DB(t)), mysqlloc.Config{Now: now})
	}})
}
