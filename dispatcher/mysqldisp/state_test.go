package mysqldisp_test

import (
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/dispatcher/mysqldisp"
	"github.com/sipward/sipward/internal/mysqltest"
)

func TestLoader_SetState(t *testing.T) {
	target := dispatcher.Destination{SetID: 10, URI: "sip:a", Socket: "udp:1"}
	tests := []struct {
		name  string
		state string // in the table
		d     dispatcher.Destination
		set   dispatcher.State
		wrote bool
		want  string // in the table, of all rows by id
	}{
		{"fails", "0", target, dispatcher.Probing, true, "2 0 0 0 0"},
		{"recovers", "2", target, dispatcher.Active, true, "0 0 0 0 0"},
		{"switched off", "0", target, dispatcher.Inactive, true, "1 0 0 0 0"},
		{"the same", "2", target, dispatcher.Probing, false, "2 0 0 0 0"},
		{"operator's, recovers", "1", target, dispatcher.Active, false, "1 0 0 0 0"},
		{"operator's, fails", "1", target, dispatcher.Probing, false, "1 0 0 0 0"},
		{"other case", "0", dispatcher.Destination{SetID: 10, URI: "SIP:A", Socket: "udp:1"}, dispatcher.Probing, true, "0 2 0 0 0"},
		{"no socket", "0", dispatcher.Destination{SetID: 10, URI: "sip:a"}, dispatcher.Probing, true, "0 0 2 0 0"},
		{"other set", "0", dispatcher.Destination{SetID: 20, URI: "sip:a", Socket: "udp:1"}, dispatcher.Probing, true, "0 0 0 2 0"},
		{"hostile", "0", dispatcher.Destination{SetID: 10, URI: "sip:'\\%", Socket: "\U0001F600"}, dispatcher.Probing, true, "0 0 0 0 2"},
		{"gone", "0", dispatcher.Destination{SetID: 10, URI: "sip:%"}, dispatcher.Probing, false, "0 0 0 0 0"},
	}
	own := mysqltest.DB(t)
	if err := mysqldisp.Create(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	for name, db := range map[string]*sql.DB{"OpenSIPS": createOpenSIPS(t), "own": own} {
		f := open(t, db)
		for _, tt := range tests {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				exec(t, db, "DELETE FROM dispatcher")
				exec(t, db, `INSERT INTO dispatcher (id, setid, destination, socket) VALUES
					(1, 10, 'sip:a', 'udp:1'), (2, 10, 'SIP:A', 'udp:1'), (3, 10, 'sip:a', NULL), (4, 20, 'sip:a', 'udp:1'), (5, 10, ?, ?)`,
					"sip:'\\%", "\U0001F600")
				exec(t, db, "UPDATE dispatcher SET state = ? WHERE id = 1", tt.state)
				wrote, err := f.SetState(t.Context(), tt.d, tt.set)
				if wrote != tt.wrote || err != nil {
					t.Errorf("SetState = %t, %v, want %t", wrote, err, tt.wrote)
				}
				if got := states(t, db); got != tt.want {
					t.Errorf("got states %s, want %s", got, tt.want)
				}
			})
		}
	}
}

// states returns the states of all rows by id.
func states(t *testing.T, db *sql.DB) (all string) {
	t.Helper()
	const query = "SELECT GROUP_CONCAT(state ORDER BY id SEPARATOR ' ') FROM dispatcher"
	if err := db.QueryRowContext(t.Context(), query).Scan(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestLoader_SetStateFails(t *testing.T) {
	db := createOpenSIPS(t)
	f := open(t, db)
	d := dispatcher.Destination{URI: "sip:a"}
	if wrote, err := f.SetState(t.Context(), d, 3); wrote || err == nil {
		t.Errorf("unknown state: %t, %v", wrote, err)
	}
	exec(t, db, "DROP TABLE dispatcher")
	if wrote, err := f.SetState(t.Context(), d, dispatcher.Active); wrote || err == nil || !strings.Contains(err.Error(), `"sip:a"`) {
		t.Errorf("no table: %t, %v", wrote, err)
	}
}

// Create can be used on its own result and on a table of OpenSIPS, which it
// leaves as it is, by several programs at once.
func TestCreate_AddsOnly(t *testing.T) {
	tables := map[string]func(testing.TB) *sql.DB{
		"empty":    func(t testing.TB) *sql.DB { return mysqltest.DB(t) },
		"OpenSIPS": createOpenSIPS,
	}
	for name, table := range tables {
		t.Run(name, func(t *testing.T) {
			db := table(t)
			mysqltest.AtOnce(t, db, mysqldisp.Create)
			for range 2 {
				if err := mysqldisp.Create(t.Context(), db); err != nil {
					t.Fatal(err)
				}
				exec(t, db, "INSERT INTO dispatcher (setid, destination) SELECT 10, CONCAT('sip:', COUNT(*)) FROM dispatcher")
			}
			want := []dispatcher.Destination{{SetID: 10, URI: "sip:0", Weight: 1}, {SetID: 10, URI: "sip:1", Weight: 1}}
			if d := cmp.Diff(want, open(t, db).load()); d != "" {
				t.Error(d)
			}
			var versions int
			if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM version WHERE table_name = 'dispatcher'").Scan(&versions); err != nil || versions != 1 {
				t.Errorf("got %d versions, %v", versions, err)
			}
		})
	}
}

func TestNew_ErrSchema(t *testing.T) {
	tests := []struct{ name, sql, want string }{
		{"no version", "DELETE FROM version", "no row for dispatcher, want version 9"},
		{"no table of versions", "DROP TABLE version", "no table version, want one with version 9"},
		{"other version", "UPDATE version SET table_version = 8", "dispatcher has version 8, want 9"},
		{"no table", "DROP TABLE dispatcher", "no table dispatcher"},
		{"no columns", "ALTER TABLE dispatcher DROP state, DROP socket", "dispatcher lacks the columns socket, state"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			db := createOpenSIPS(t)
			exec(t, db, tt.sql)
			_, err := mysqldisp.New(t.Context(), db, mysqldisp.Config{})
			if !errors.Is(err, mysqldisp.ErrSchema) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want ErrSchema with %q", err, tt.want)
			}
		})
	}
}

func TestNew_Table(t *testing.T) {
	db := createOpenSIPS(t)
	for _, name := range []string{"a`b", "dispatcher; DROP TABLE dispatcher", "a.b", strings.Repeat("x", 65), "dïspatcher"} {
		if _, err := mysqldisp.New(t.Context(), db, mysqldisp.Config{Table: name}); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
	exec(t, db, "RENAME TABLE dispatcher TO pbx_2")
	exec(t, db, "UPDATE version SET table_name = 'pbx_2' WHERE table_name = 'dispatcher'")
	if _, err := mysqldisp.New(t.Context(), db, mysqldisp.Config{Table: "pbx_2"}); err != nil {
		t.Error(err)
	}
}
