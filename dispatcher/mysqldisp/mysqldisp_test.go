package mysqldisp_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/dispatcher/mysqldisp"
	"github.com/sipward/sipward/internal/mysqltest"
)

func TestMain(m *testing.M) { mysqltest.Main(m) }

// openSIPSSchema has the table as an installation of OpenSIPS has it, whose
// collation knows no case.
const openSIPSSchema = `CREATE TABLE version (table_name CHAR(32) NOT NULL UNIQUE, table_version INT UNSIGNED DEFAULT 0 NOT NULL);
INSERT INTO version VALUES ('dispatcher', 9), ('domain', 4);
CREATE TABLE dispatcher (
	id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL,
	setid INT DEFAULT 0 NOT NULL,
	destination CHAR(192) DEFAULT '' NOT NULL,
	socket CHAR(128) DEFAULT NULL,
	state INT DEFAULT 0 NOT NULL,
	probe_mode INT UNSIGNED DEFAULT 0 NOT NULL,
	weight CHAR(64) DEFAULT '1' NOT NULL,
	priority INT DEFAULT 0 NOT NULL,
	attrs CHAR(128) DEFAULT NULL,
	description CHAR(64) DEFAULT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci`

func exec(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// createOpenSIPS makes the table in an empty database.
func createOpenSIPS(t testing.TB) *sql.DB {
	t.Helper()
	db := mysqltest.DB(t)
	for statement := range strings.SplitSeq(openSIPSSchema, ";\n") {
		exec(t, db, statement)
	}
	return db
}

// fixture is a loader with what it reported last.
type fixture struct {
	*mysqldisp.Loader
	t        testing.TB
	problems []mysqldisp.Problem
}

func open(t testing.TB, db *sql.DB) *fixture {
	t.Helper()
	f := &fixture{t: t}
	l, err := mysqldisp.New(t.Context(), db, mysqldisp.Config{
		OnProblem: func(p mysqldisp.Problem) { f.problems = append(f.problems, p) },
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Loader = l
	return f
}

// load returns what Load does; a dispatcher must accept it.
func (f *fixture) load() []dispatcher.Destination {
	f.t.Helper()
	f.problems = nil
	all, err := f.Load(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	if err := dispatcher.New(dispatcher.Config{}).Update(all); err != nil {
		f.t.Errorf("Update: %v", err)
	}
	return all
}

func TestLoader_Load(t *testing.T) {
	db := createOpenSIPS(t)
	exec(t, db, `INSERT INTO dispatcher (id, setid, destination, socket, state, probe_mode, weight, priority, attrs, description) VALUES
		(9, 20, 'sip:pbx.b.example:5070;transport=tcp', NULL, 2, 1, '3', -1, NULL, NULL),
		(1, 10, 'sip:10.0.1.10:5060', 'udp:198.51.100.1:5060', 0, 0, '50', 7, 'source_ip=192.0.2.7', 'main'),
		(2, 10, 'sip:10.0.1.10:5060', '', 1, 0, '0', 0, '', '')`)
	exec(t, db, "INSERT INTO dispatcher (id, destination) VALUES (3, 'SIPS:[2001:db8::7]')")
	f := open(t, db)
	want := []dispatcher.Destination{
		{SetID: 10, URI: "sip:10.0.1.10:5060", Socket: "udp:198.51.100.1:5060", Weight: 50, Priority: 7, Attrs: "source_ip=192.0.2.7", Description: "main"},
		{SetID: 10, URI: "sip:10.0.1.10:5060", State: dispatcher.Inactive},
		{URI: "SIPS:[2001:db8::7]", Weight: 1},
		{SetID: 20, URI: "sip:pbx.b.example:5070;transport=tcp", State: dispatcher.Probing, Weight: 3, Priority: -1},
	}
	if d := cmp.Diff(want, f.load()); d != "" {
		t.Error(d)
	}
	if len(f.problems) > 0 {
		t.Errorf("got problems %v", f.problems)
	}
}

// P-35: the column probe_mode counts only for those who want it to.
func TestLoader_ProbeMode(t *testing.T) {
	db := createOpenSIPS(t)
	exec(t, db, `INSERT INTO dispatcher (setid, destination, probe_mode) VALUES (10, 'sip:10.0.1.10', 0), (10, 'sip:10.0.1.11', 1), (10, 'sip:10.0.1.12', 7)`)
	for _, wanted := range []bool{false, true} {
		l, err := mysqldisp.New(t.Context(), db, mysqldisp.Config{ProbeMode: wanted})
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var down []bool
		for _, d := range got {
			down = append(down, d.ProbeDown)
		}
		if want := []bool{wanted, false, false}; !slices.Equal(down, want) {
			t.Errorf("ProbeMode %t: probed only when down: %v, want %v", wanted, down, want)
		}
	}
	exec(t, db, "ALTER TABLE dispatcher DROP probe_mode")
	l, err := mysqldisp.New(t.Context(), db, mysqldisp.Config{ProbeMode: true})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := l.Load(t.Context()); err != nil || got[0].ProbeDown {
		t.Errorf("%+v, %v of a table without the column", got, err)
	}
}

// One bad row never stops a load: it is reported, and the others count.
func TestLoader_LoadReports(t *testing.T) {
	const good = "sip:10.0.1.10"
	tests := []struct {
		name string
		set  string // what the bad row has instead
		want error
		used bool // whether the row counts all the same
	}{
		{"no URI", "destination = ''", mysqldisp.ErrBadRow, false},
		{"bare address", "destination = '10.0.1.10:5060'", mysqldisp.ErrBadRow, false},
		{"name-addr", "destination = '<sip:10.0.1.10>'", mysqldisp.ErrBadRow, false},
		{"four bytes", "destination = 'sip:\U0001F600'", mysqldisp.ErrBadRow, false},
		{"NUL", "destination = 'sip:a\\0b'", mysqldisp.ErrBadRow, false},
		{"negative set", "setid = -1", mysqldisp.ErrBadRow, false},
		{"unknown state", "state = 3", mysqldisp.ErrBadRow, false},
		{"negative state", "state = -1", mysqldisp.ErrBadRow, false},
		{"duplicate", "destination = '" + good + "'", mysqldisp.ErrDuplicate, false},
		{"FreeSWITCH", "weight = 'fs://:secret@10.0.1.10:8021'", mysqldisp.ErrBadWeight, true},
		{"no number", "weight = 'heavy'", mysqldisp.ErrBadWeight, true},
		{"fraction", "weight = '1.5'", mysqldisp.ErrBadWeight, true},
		{"negative", "weight = '-1'", mysqldisp.ErrBadWeight, true},
		{"huge", "weight = '99999999999999999999'", mysqldisp.ErrBadWeight, true},
		{"no weight", "weight = ''", nil, true},
		{"hostile texts", `attrs = '\'"\\%\0\U0001F600; DROP TABLE dispatcher', socket = '"\'\\'`, nil, true},
		{"other case", "destination = 'SIP:10.0.1.10'", nil, true},
	}
	db := createOpenSIPS(t)
	f := open(t, db)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			exec(t, db, "DELETE FROM dispatcher")
			exec(t, db, "INSERT INTO dispatcher (id, setid, destination) VALUES (1, 10, ?), (2, 10, 'sip:10.0.1.11'), (3, 10, 'sip:10.0.1.12')", good)
			exec(t, db, "UPDATE dispatcher SET "+tt.set+" WHERE id = 2")
			all := f.load()
			if used := len(all) == 3; used != tt.used || len(all) < 2 {
				t.Errorf("got %d destinations, used = %t", len(all), tt.used)
			}
			if tt.used && all[1].Weight != 1 {
				t.Errorf("weight %d, want 1", all[1].Weight)
			}
			switch {
			case tt.want == nil && len(f.problems) > 0:
				t.Errorf("got problems %v, want none", f.problems)
			case tt.want == nil:
			case len(f.problems) != 1 || !errors.Is(f.problems[0].Err, tt.want) || f.problems[0].ID != 2:
				t.Errorf("got problems %v, want %v of row 2", f.problems, tt.want)
			case strings.Contains(f.problems[0].String(), "secret"): // P-54
				t.Errorf("%q tells a password", f.problems[0])
			}
		})
	}
}

// Numbers that are none, in a table that somebody has altered.
func TestLoader_LoadTexts(t *testing.T) {
	db := createOpenSIPS(t)
	exec(t, db, "ALTER TABLE dispatcher MODIFY setid CHAR(64), MODIFY state CHAR(64), MODIFY priority CHAR(64)")
	exec(t, db, "INSERT INTO dispatcher (id, setid, destination, state, priority) VALUES (1, 'ten', 'sip:a', '0', '0'), (2, '10', 'sip:b', 'up', '0'), (3, '10', 'sip:c', '0', '1e3'), (4, '10', 'sip:d', '0', NULL)")
	f := open(t, db)
	if all := f.load(); len(all) != 1 || all[0].URI != "sip:d" {
		t.Errorf("got %v", all)
	}
	if len(f.problems) != 3 {
		t.Errorf("got problems %v, want 3", f.problems)
	}
}

// What an operator has switched off in one of two rows is off.
func TestLoader_LoadMerges(t *testing.T) {
	db := createOpenSIPS(t)
	exec(t, db, "INSERT INTO dispatcher (id, setid, destination, state, weight) VALUES (1, 10, 'sip:a', 0, '2'), (2, 10, 'sip:a', 1, '3'), (3, 20, 'sip:a', 0, '4')")
	f := open(t, db)
	want := []dispatcher.Destination{
		{SetID: 10, URI: "sip:a", State: dispatcher.Inactive, Weight: 2},
		{SetID: 20, URI: "sip:a", Weight: 4},
	}
	if d := cmp.Diff(want, f.load()); d != "" {
		t.Error(d)
	}
	if len(f.problems) != 1 || f.problems[0].ID != 2 {
		t.Errorf("got problems %v", f.problems)
	}
}

// P-71: columns that are no more than useful may be missing.
func TestLoader_LoadOptionalColumns(t *testing.T) {
	db := createOpenSIPS(t)
	exec(t, db, "ALTER TABLE dispatcher DROP weight, DROP priority, DROP attrs, DROP description, DROP probe_mode")
	exec(t, db, "INSERT INTO dispatcher (setid, destination, socket, state) VALUES (10, 'sip:a', 'udp:a', 2)")
	f := open(t, db)
	want := []dispatcher.Destination{{SetID: 10, URI: "sip:a", Socket: "udp:a", State: dispatcher.Probing, Weight: 1}}
	if d := cmp.Diff(want, f.load()); d != "" {
		t.Error(d)
	}
}

func TestLoader_LoadRandomRows(t *testing.T) {
	db := createOpenSIPS(t)
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...any) any { return of[r.IntN(len(of))] }
	const rows = 400
	for range rows {
		exec(t, db, "INSERT INTO dispatcher (setid, destination, socket, state, weight, priority) VALUES (?, ?, ?, ?, ?, ?)",
			pick(0, 1, 2, -1), pick("", "sip:", "sip:a", "SIP:A", "sips:a;x=y", "sip:a b", "tel:1", fmt.Sprint("sip:", r.IntN(50))),
			pick(nil, "", "udp:a", "'"), pick(0, 1, 2, 3, -7), pick("", "1", "0", "fs://x", "2147483648", "2147483647"), r.Int32())
	}
	f := open(t, db)
	skipped := map[int64]bool{}
	all := f.load()
	for _, p := range f.problems {
		if !errors.Is(p.Err, mysqldisp.ErrBadWeight) {
			skipped[p.ID] = true
		}
	}
	if len(all)+len(skipped) != rows {
		t.Errorf("%d destinations and %d skipped rows, want %d together", len(all), len(skipped), rows)
	}
}

// LoadTx sees what its transaction does.
func TestLoader_LoadTx(t *testing.T) {
	db := createOpenSIPS(t)
	exec(t, db, "INSERT INTO dispatcher (setid, destination) VALUES (10, 'sip:a'), (10, 'sip:a b')")
	f := open(t, db)
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for range 2 {
		f.problems = nil
		all, err := f.LoadTx(t.Context(), tx)
		if err != nil || len(all) != 1 || all[0].URI != "sip:a" || len(f.problems) != 1 {
			t.Errorf("got %v, %v, problems %v", all, err, f.problems)
		}
		exec(t, db, "DELETE FROM dispatcher")
	}
}

func TestLoader_LoadFails(t *testing.T) {
	db := createOpenSIPS(t)
	f := open(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Load(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: error %v", err)
	}
	exec(t, db, "DROP TABLE dispatcher")
	if _, err := f.Load(t.Context()); !errors.Is(err, mysqldisp.ErrSchema) {
		t.Errorf("no table: error %v, want ErrSchema", err)
	}
}
