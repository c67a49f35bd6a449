package mysqltenant_test

import (
	"database/sql"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sipward/sipward/tenant/mysqltenant"
)

// P-33: an operator sees each row, with what is wrong with it.
func TestRows_Domains(t *testing.T) {
	db := create(t)
	exec(t, db, "INSERT INTO dispatcher (setid, destination) VALUES (10, 'sip:10.0.1.10'), (20, 'sip:pbx.example'), (20, 'nonsense')")
	exec(t, db, `INSERT INTO domain (id, domain, setid, attrs) VALUES (1, 'A.example', 10, NULL), (2, 'b.example', 0, 'setid=20'),
		(3, 'c.example', 10, 'setid=20'), (4, 'd.example', 0, 'x=y'), (5, 'a.example:5060', 20, NULL), (6, 'e.example', 30, NULL), (7, 'no domain', 10, NULL)`)
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	rows, err := open(t, db, mysqltenant.Config{}).ReadTx(t.Context(), tx)
	if err != nil {
		t.Fatal(err)
	}
	want := []mysqltenant.Domain{
		{ID: 1, Name: "a.example", SetID: 10},
		{ID: 2, Name: "b.example", SetID: 20, Attrs: "setid=20"},
		{ID: 3, Name: "c.example", SetID: 10, Attrs: "setid=20", Problems: []error{mysqltenant.ErrConflict}},
		{ID: 4, Name: "d.example", Attrs: "x=y", LeftOut: true, Problems: []error{mysqltenant.ErrNoSet}},
		{ID: 5, Name: "a.example", SetID: 20, LeftOut: true, Problems: []error{mysqltenant.ErrDuplicate}},
		{ID: 6, Name: "e.example", SetID: 30, Problems: []error{mysqltenant.ErrNoDestinations}},
		{ID: 7, Name: "no domain", SetID: 10, LeftOut: true, Problems: []error{mysqltenant.ErrBadRow}},
	}
	// Names are not resolved for it, so that a set with none but these has destinations.
	is := cmp.Comparer(func(a, b error) bool { return errors.Is(a, b) || errors.Is(b, a) })
	for range 2 { // it changes nothing
		if d := cmp.Diff(want, rows.Domains(), is, cmpopts.EquateEmpty()); d != "" {
			t.Error(d)
		}
	}
}
