package mysqldisp_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/dispatcher/mysqldisp"
)

// An operator sees each row, with what is wrong with it.
func TestLoader_EntriesTx(t *testing.T) {
	db := createOpenSIPS(t)
	exec(t, db, `INSERT INTO dispatcher (id, setid, destination, socket, state, weight, priority, attrs, description) VALUES
		(3, 10, 'sip:10.0.1.10', 'udp:192.0.2.1:5060', 1, '5', 7, 'source_ip=10.0.8.1', 'first'),
		(5, 10, 'sip:10.0.1.11', NULL, 0, 'fs://:secret@host', 0, NULL, NULL),
		(7, 10, 'sip:10.0.1.11', NULL, 0, '1', 0, NULL, NULL),
		(9, 20, '10.0.1.12', NULL, 9, '1', 0, NULL, NULL)`)
	f := open(t, db)
	want := []mysqldisp.Entry{
		{ID: 3, Destination: dispatcher.Destination{SetID: 10, URI: "sip:10.0.1.10", Socket: "udp:192.0.2.1:5060", State: dispatcher.Inactive,
			Weight: 5, Priority: 7, Attrs: "source_ip=10.0.8.1", Description: "first"}},
		{ID: 5, Destination: dispatcher.Destination{SetID: 10, URI: "sip:10.0.1.11", Weight: 1}, Problems: []error{mysqldisp.ErrBadWeight}},
		{ID: 7, Destination: dispatcher.Destination{SetID: 10, URI: "sip:10.0.1.11", Weight: 1}, Problems: []error{mysqldisp.ErrDuplicate}},
		{ID: 9, Destination: dispatcher.Destination{SetID: 20, URI: "10.0.1.12", State: 9, Weight: 1}, Problems: []error{mysqldisp.ErrBadRow}},
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	got, err := f.EntriesTx(t.Context(), tx)
	if err != nil {
		t.Fatal(err)
	}
	is := cmp.Comparer(func(a, b error) bool { return errors.Is(a, b) || errors.Is(b, a) })
	if d := cmp.Diff(want, got, is, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
	if len(f.problems) != 0 {
		t.Errorf("problems %v were reported as those of a load", f.problems)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	exec(t, db, "DROP TABLE dispatcher")
	if tx, err = db.BeginTx(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := f.EntriesTx(t.Context(), tx); !errors.Is(err, mysqldisp.ErrSchema) {
		t.Errorf("got error %v, want ErrSchema", err)
	}
}
