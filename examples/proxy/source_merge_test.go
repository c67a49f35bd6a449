package main

import (
	"database/sql"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/dispatcher/mysqldisp"
	"github.com/sipward/sipward/internal/mysqltest"
	"github.com/sipward/sipward/tenant"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

func TestMain(m *testing.M) {
	_, _ = net.LookupHost("localhost") // what the resolver keeps must not be of a bubble
	mysqltest.Main(m)
}

// exec runs statements. It may be called in a bubble with a pool of outside.
func exec(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// createTables makes the tables of tenants.
func createTables(t testing.TB, db *sql.DB) {
	t.Helper()
	if err := mysqldisp.Create(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if err := mysqltenant.Create(t.Context(), db); err != nil {
		t.Fatal(err)
	}
}

func emptyTables(t testing.TB, db *sql.DB) {
	t.Helper()
	exec(t, db, "DELETE FROM domain", "DELETE FROM dispatcher")
}

// TestMerge: the database's rows stand beside the file's tenants.
func TestMerge(t *testing.T) {
	src := func(prefix string, port uint16) tenant.Source {
		return tenant.Source{Prefix: netip.MustParsePrefix(prefix), Port: port}
	}
	const file = `
database: "u@/db"
tenants:
  - {setid: 10, domains: [a.test], destinations: [{uri: "sip:10.0.1.10", weight: 2}]}
  - {setid: 20}
`
	a := tenant.Tenant{SetID: 10, Domains: []string{"a.test"}, Sources: []tenant.Source{src("10.0.1.10/32", 5060)}}
	onlyA := []tenant.Tenant{a, {SetID: 20}}
	pbx := dispatcher.Destination{SetID: 10, URI: "sip:10.0.1.10:5060", Weight: 2}
	off := pbx
	off.State = dispatcher.Inactive
	const twenty = "set 20: no domain and no destination"
	tests := []struct {
		name         string
		rows         []string
		tenants      []tenant.Tenant
		destinations []dispatcher.Destination
		problems     []string
	}{
		{
			"no rows", nil,
			onlyA, []dispatcher.Destination{pbx}, []string{twenty},
		},
		{
			"other sets",
			[]string{
				"INSERT INTO domain (domain, setid) VALUES ('c.test', 30)",
				"INSERT INTO dispatcher (setid, destination, attrs) VALUES (30, 'sip:10.0.1.30', 'source_ip=10.0.8.0/24')",
			},
			[]tenant.Tenant{a, {SetID: 20}, {SetID: 30, Domains: []string{"c.test"}, Sources: []tenant.Source{src("10.0.1.30/32", 5060), src("10.0.8.0/24", 0)}}},
			[]dispatcher.Destination{pbx, {SetID: 30, URI: "sip:10.0.1.30", Weight: 1, Attrs: "source_ip=10.0.8.0/24"}},
			[]string{twenty},
		},
		{
			"the same sets",
			[]string{
				"INSERT INTO domain (domain, setid) VALUES ('A.test', 10), ('a2.test', 10), ('b.test', 20)",
				"INSERT INTO dispatcher (setid, destination) VALUES (10, 'sip:10.0.1.11'), (20, 'sip:10.0.1.20')",
			},
			[]tenant.Tenant{
				{SetID: 10, Domains: []string{"a.test", "a2.test"}, Sources: []tenant.Source{src("10.0.1.10/32", 5060), src("10.0.1.11/32", 5060)}},
				{SetID: 20, Domains: []string{"b.test"}, Sources: []tenant.Source{src("10.0.1.20/32", 5060)}},
			},
			[]dispatcher.Destination{pbx, {SetID: 10, URI: "sip:10.0.1.11", Weight: 1}, {SetID: 20, URI: "sip:10.0.1.20", Weight: 1}},
			nil,
		},
		{
			"domain of the file's, destination of the database's",
			[]string{"INSERT INTO dispatcher (setid, destination) VALUES (20, 'sip:10.0.1.20')"},
			[]tenant.Tenant{a, {SetID: 20, Sources: []tenant.Source{src("10.0.1.20/32", 5060)}}},
			[]dispatcher.Destination{pbx, {SetID: 20, URI: "sip:10.0.1.20", Weight: 1}},
			[]string{"set 20: no domain, so that nobody can register there"},
		},
		{
			"domain of the database's, destination of the file's",
			[]string{"INSERT INTO domain (domain, setid) VALUES ('a2.test', 10)"},
			[]tenant.Tenant{{SetID: 10, Domains: []string{"a.test", "a2.test"}, Sources: a.Sources}, {SetID: 20}},
			[]dispatcher.Destination{pbx}, []string{twenty},
		},
		{
			"the same destination, written differently",
			[]string{"INSERT INTO dispatcher (setid, destination, weight, state, attrs) VALUES (10, 'SIP:10.0.1.10:5060;transport=UDP', '2', 2, 'source_ip=10.0.8.1')"},
			[]tenant.Tenant{{SetID: 10, Domains: a.Domains, Sources: []tenant.Source{src("10.0.1.10/32", 5060), src("10.0.8.1/32", 0)}}, {SetID: 20}},
			[]dispatcher.Destination{pbx}, []string{twenty},
		},
		{
			"the same destination, off",
			[]string{"INSERT INTO dispatcher (setid, destination, weight, state) VALUES (10, 'sip:10.0.1.10', '2', 1)"},
			onlyA, []dispatcher.Destination{off}, []string{twenty},
		},
		{
			"the same destination, of another weight",
			[]string{"INSERT INTO dispatcher (setid, destination, weight) VALUES (10, 'sip:10.0.1.10', '5')"},
			onlyA, []dispatcher.Destination{pbx},
			[]string{"set 10: sip:10.0.1.10: table dispatcher has another weight, priority or socket than the file's tenants[0].destinations[0], which counts", twenty},
		},
		{
			"the same domain, of another set",
			[]string{
				"INSERT INTO domain (domain, setid) VALUES ('A.test.', 30)",
				"INSERT INTO dispatcher (setid, destination) VALUES (30, 'sip:10.0.1.30')",
			},
			[]tenant.Tenant{a, {SetID: 20}, {SetID: 30, Sources: []tenant.Source{src("10.0.1.30/32", 5060)}}},
			[]dispatcher.Destination{pbx, {SetID: 30, URI: "sip:10.0.1.30", Weight: 1}},
			[]string{
				`domain "a.test": table domain has set 30, the file's tenants[0].domains[0] has set 10, which counts`,
				twenty, "set 30: no domain, so that nobody can register there",
			},
		},
		{ // P-33, and one bad row never stops a load.
			"rows with faults",
			[]string{
				"INSERT INTO domain (id, domain, setid, attrs) VALUES (1, 'c.test', 30, 'setid=40'), (2, 'd.test', 0, NULL), (3, 'a b', 10, NULL), (4, 'e.test', 0, 'setid=0')",
				"INSERT INTO dispatcher (id, setid, destination, weight, attrs) VALUES (1, 30, 'sip:10.0.1.30', 'x', 'source_ip=x'), (2, 30, 'tel:1', '1', NULL)",
			},
			[]tenant.Tenant{{SetID: 0, Domains: []string{"e.test"}}, a, {SetID: 20}, {SetID: 30, Domains: []string{"c.test"}, Sources: []tenant.Source{src("10.0.1.30/32", 5060)}}},
			[]dispatcher.Destination{pbx, {SetID: 30, URI: "sip:10.0.1.30", Weight: 1, Attrs: "source_ip=x"}},
			[]string{
				`domain: row 1: set 30: domain "c.test": attrs and column setid differ: column has 30, attrs have 40`,
				`dispatcher: row 1: set 30: source_ip is not valid: "x" is no address or network`,
				`dispatcher: row 1: set 30: weight is not valid: "x" is not a number from 0 to 2147483647, 1 counts`,
				`dispatcher: row 2: set 30: row is not valid: destination "tel:1" is not a SIP URI`,
				`domain: row 2: set 0: domain "d.test": domain has no set`,
				`domain: row 3: set 0: row is not valid: "a b" is no domain`,
				"set 0: no destination for its domain e.test", twenty,
			},
		},
	}
	db := mysqltest.DB(t)
	createTables(t, db)
	cfg := parseConfig(t, file)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			emptyTables(t, db)
			exec(t, db, tt.rows...)
			rows, err := (&tables{db: db}).read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			f, problems := merge(cfg, rows, nil)
			st, _, err := f.newState()
			if err != nil {
				t.Fatal(err)
			}
			if err := dispatcher.New(dispatcher.Config{}).Update(f.members); err != nil {
				t.Error(err)
			}
			var tenants []tenant.Tenant
			for tn := range st.tenants.Tenants() {
				tenants = append(tenants, *tn)
			}
			samePrefix := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
			if diff := cmp.Diff(tt.tenants, tenants, samePrefix); diff != "" {
				t.Errorf("tenants (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.destinations, f.destinations); diff != "" {
				t.Errorf("destinations (-want +got):\n%s", diff)
			}
			sortProblems(problems)
			var texts []string
			for _, p := range problems {
				texts = append(texts, p.Text)
			}
			if diff := cmp.Diff(tt.problems, texts); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}
