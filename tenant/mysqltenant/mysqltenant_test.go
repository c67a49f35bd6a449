package mysqltenant_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/tenant"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

// P-76, P-80: names in any spelling, several domains of a set, sets by
// destinations in any state.
func TestLoader_Load(t *testing.T) {
	db := create(t)
	exec(t, db, `INSERT INTO domain (id, domain, setid, attrs) VALUES
		(5, 'a.example', 10, NULL), (6, 'B.Example.:5060', 20, 'fleet=domain'), (7, 'a2.example', 10, 'setid=10')`)
	exec(t, db, `INSERT INTO dispatcher (id, setid, destination, state, attrs) VALUES
		(1, 20, 'sip:10.0.2.10:5080;transport=tcp', 1, NULL),
		(2, 10, 'sip:10.0.1.10', 0, 'maint;source_ip=192.0.2.7'),
		(3, 10, 'sips:pbx@[2001:DB8::7]', 2, ''),
		(4, 30, 'sip:10.0.1.100:5060', 0, NULL)`)
	f := open(t, db, mysqltenant.Config{})
	table := f.load()
	wantTenants(t, table,
		tenant.Tenant{SetID: 10, Domains: []string{"a.example", "a2.example"}, Sources: sources("10.0.1.10:5060", "192.0.2.7/32", "[2001:db8::7]:5061")},
		tenant.Tenant{SetID: 20, Domains: []string{"b.example"}, Sources: sources("10.0.2.10:5080")},
		tenant.Tenant{SetID: 30, Sources: sources("10.0.1.100:5060")},
	)
	f.wantProblems()
	// P-63: addresses are no texts of which one could be part of another.
	for addr, set := range map[string]int{"10.0.1.10:5060": 10, "10.0.1.100:5060": 30, "192.0.2.7:40000": 10} {
		found := table.Candidates(netip.MustParseAddrPort(addr))
		if len(found) != 1 || found[0].SetID != set {
			t.Errorf("%s has candidates %v, want set %d", addr, found, set)
		}
	}
}

// P-33: either the column or attrs is enough; if they differ the column wins
// and that is reported.
func TestLoader_LoadSetID(t *testing.T) {
	const none = -1 // the domain is left out
	tests := []struct {
		column int
		attrs  any
		want   int
		report error
	}{
		{10, nil, 10, nil},
		{10, "", 10, nil},
		{10, "setid=10", 10, nil},
		{0, "setid=10", 10, nil},
		{0, "fleet=domain; SetID = 10 ;x", 10, nil},
		{0, "setid=10;setid=10", 10, nil},
		{0, "setid=0", 0, mysqltenant.ErrNoDestinations},
		{10, "setid=20", 10, mysqltenant.ErrConflict},
		{10, "setid=0", 10, mysqltenant.ErrConflict},
		{10, "setid=x", 10, mysqltenant.ErrConflict},
		{0, nil, none, mysqltenant.ErrNoSet},
		{0, "resetid=10", none, mysqltenant.ErrNoSet},
		{0, "setid", none, mysqltenant.ErrNoSet},
		{0, "setid=", none, mysqltenant.ErrBadRow},
		{0, "setid=-1", none, mysqltenant.ErrBadRow},
		{0, "setid=10;setid=20", none, mysqltenant.ErrBadRow},
		{0, "setid=2147483648", none, mysqltenant.ErrBadRow},
		{-1, "setid=10", none, mysqltenant.ErrBadRow},
		{30, nil, 30, mysqltenant.ErrNoDestinations},
	}
	db := create(t)
	f := open(t, db, mysqltenant.Config{})
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.column, tt.attrs), func(t *testing.T) {
			empty(t, db)
			exec(t, db, "INSERT INTO domain (id, domain, setid, attrs) VALUES (7, 'a.example', ?, ?)", tt.column, tt.attrs)
			exec(t, db, "INSERT INTO dispatcher (setid, destination) VALUES (10, 'sip:10.0.1.10'), (20, 'sip:10.0.2.10')")
			got := none
			if tn, ok := f.load().Domain("a.example"); ok {
				got = tn.SetID
			}
			if got != tt.want {
				t.Errorf("got set %d, want %d", got, tt.want)
			}
			if tt.report == nil {
				f.wantProblems()
				return
			}
			f.wantProblems(tt.report)
			if p := f.problems[0]; p.Table != "domain" || p.ID != 7 || !strings.Contains(p.String(), "a.example") && !errors.Is(p.Err, mysqltenant.ErrBadRow) {
				t.Errorf("%s: not of the row", p)
			}
		})
	}
}

// P-71: a table of OpenSIPS has no column setid, and other columns may be
// missing as well. A column that comes while a program runs is seen.
func TestLoader_LoadOptionalColumns(t *testing.T) {
	db := createOpenSIPS(t)
	exec(t, db, "ALTER TABLE dispatcher DROP attrs, DROP weight, DROP socket, DROP state")
	exec(t, db, "INSERT INTO domain (domain, attrs) VALUES ('a.example', 'setid=10')")
	exec(t, db, "INSERT INTO dispatcher (setid, destination) VALUES (10, 'sip:10.0.1.10'), (20, 'sip:10.0.2.10')")
	f := open(t, db, mysqltenant.Config{})
	a, b := sources("10.0.1.10:5060"), sources("10.0.2.10:5060")
	wantTenants(t, f.load(), tenant.Tenant{SetID: 10, Domains: []string{"a.example"}, Sources: a}, tenant.Tenant{SetID: 20, Sources: b})
	f.wantProblems()

	exec(t, db, "ALTER TABLE domain ADD COLUMN setid INT NOT NULL DEFAULT 20, DROP attrs")
	wantTenants(t, f.load(), tenant.Tenant{SetID: 10, Sources: a}, tenant.Tenant{SetID: 20, Domains: []string{"a.example"}, Sources: b})
	f.wantProblems()
}

// One bad row never stops a load: it is reported, and the others count.
func TestLoader_LoadSkipsBadDomains(t *testing.T) {
	tests := []struct {
		domain string
		want   error
	}{
		{"", mysqltenant.ErrBadRow},
		{"a b", mysqltenant.ErrBadRow},
		{"sip:a.example", mysqltenant.ErrBadRow},
		{"a..example", mysqltenant.ErrBadRow},
		{"010.0.1.10", mysqltenant.ErrBadRow},
		{"a.example:0", mysqltenant.ErrBadRow},
		{"b'\"\\%\x00", mysqltenant.ErrBadRow},
		{"\U0001F600.example", mysqltenant.ErrBadRow},
		{strings.Repeat("x", 64), mysqltenant.ErrBadRow},
		{"A.EXAMPLE", mysqltenant.ErrDuplicate},
		{"a.example.", mysqltenant.ErrDuplicate},
		{"a.example:5060", mysqltenant.ErrDuplicate},
	}
	db := create(t)
	f := open(t, db, mysqltenant.Config{})
	for _, tt := range tests {
		t.Run(tt.domain, func(t *testing.T) {
			empty(t, db)
			exec(t, db, "INSERT INTO domain (id, domain, setid) VALUES (1, 'a.example', 10), (2, ?, 20), (3, 'c.example', 10)", tt.domain)
			exec(t, db, "INSERT INTO dispatcher (setid, destination) VALUES (10, 'sip:10.0.1.10'), (20, 'sip:10.0.2.10')")
			wantTenants(t, f.load(),
				tenant.Tenant{SetID: 10, Domains: []string{"a.example", "c.example"}, Sources: sources("10.0.1.10:5060")},
				tenant.Tenant{SetID: 20, Sources: sources("10.0.2.10:5060")})
			f.wantProblems(tt.want)
			if f.problems[0].ID != 2 {
				t.Errorf("%s: want row 2", f.problems[0])
			}
		})
	}
}

// A set without a valid destination is reported with its domain, whose tenant
// is there all the same.
func TestLoader_LoadSkipsBadDestinations(t *testing.T) {
	db := create(t)
	f := open(t, db, mysqltenant.Config{})
	for _, uri := range []string{
		"", "10.0.1.10", "sip:", "tel:401", "sip:@", "<sip:10.0.1.10>", "sip:10.0.1.10:0", "sip:10.0.1.10:65536", "sip:10.0.1.10:",
		"sip:010.0.1.10", "sip:10.0.1", "sip:[10.0.1.10]", "sip:[2001:db8::7", "sip:[fe80::1%eth0]", "sip:0.0.0.0", "sip:[::]:5060",
		"sip:a b", "sip:a\x00", "sip:\U0001F600", "sip://10.0.1.10",
	} {
		t.Run(uri, func(t *testing.T) {
			empty(t, db)
			exec(t, db, "INSERT INTO domain (domain, setid) VALUES ('a.example', 10), ('b.example', 20)")
			exec(t, db, "INSERT INTO dispatcher (id, setid, destination, attrs) VALUES (1, 10, ?, 'source_ip=192.0.2.7'), (2, 20, 'sip:10.0.2.10', NULL), (3, -1, 'sip:10.0.3.10', NULL)", uri)
			wantTenants(t, f.load(),
				tenant.Tenant{SetID: 10, Domains: []string{"a.example"}},
				tenant.Tenant{SetID: 20, Domains: []string{"b.example"}, Sources: sources("10.0.2.10:5060")})
			f.wantProblems(mysqltenant.ErrBadRow, mysqltenant.ErrBadRow, mysqltenant.ErrNoDestinations)
		})
	}
}

// Addresses in attrs: one or many, in any place, bad ones reported (P-33).
func TestLoader_LoadSourceIP(t *testing.T) {
	tests := []struct {
		attrs string
		want  []tenant.Source
		bad   int
	}{
		{"source_ip=192.0.2.7", sources("192.0.2.7/32"), 0},
		{"source_ip=192.0.2.7,192.0.2.8", sources("192.0.2.7/32", "192.0.2.8/32"), 0},
		{"source_ip=192.0.2.7, 192.0.2.8;x=1", sources("192.0.2.7/32", "192.0.2.8/32"), 0},
		{"source_ip=192.0.2.7;source_ip=192.0.2.8", sources("192.0.2.7/32", "192.0.2.8/32"), 0},
		{"x=1;source_ip=192.0.2.7;y=2", sources("192.0.2.7/32"), 0},
		{"x=1,source_ip=192.0.2.7,y=2", sources("192.0.2.7/32"), 0},
		{"x=1 source_ip=192.0.2.7 y=2", sources("192.0.2.7/32"), 0},
		{"  Source_IP  =\t192.0.2.7 ; flag", sources("192.0.2.7/32"), 0},
		{"source_ip=10.1.2.3/16,2001:db8::7,2001:db8:1::/48", sources("10.1.0.0/16", "2001:db8::7/128", "2001:db8:1::/48"), 0},
		{"source_ip=::ffff:192.0.2.7", sources("192.0.2.7/32"), 0},
		{"source_ip=10.0.1.10", sources("10.0.1.10/32"), 0},
		{"source_ip=192.0.2.7;192.0.2.8", sources("192.0.2.7/32"), 0}, // the latter is another attribute
		{"resource_ip=192.0.2.7;source_ipx=192.0.2.8", nil, 0},
		{"source_ip=0.0.0.0/0,192.0.2.7,::/0", sources("192.0.2.7/32"), 2},
		{"source_ip=pbx.example", nil, 1},
		{"source_ip=010.0.1.10;source_ip=10.0.1;source_ip=10.0.0.1/33", nil, 3},
		{"source_ip=fe80::1%eth0", nil, 1},
		{"source_ip=", nil, 1},
		{"source_ip=;x='\"\\%\U0001F600", nil, 1},
	}
	db := create(t)
	f := open(t, db, mysqltenant.Config{})
	for _, tt := range tests {
		t.Run(tt.attrs, func(t *testing.T) {
			empty(t, db)
			exec(t, db, "INSERT INTO dispatcher (setid, destination, attrs) VALUES (10, 'sip:10.0.1.10', ?)", tt.attrs)
			wantTenants(t, f.load(), tenant.Tenant{SetID: 10, Sources: append(sources("10.0.1.10:5060"), tt.want...)})
			var want []error
			for range tt.bad {
				want = append(want, mysqltenant.ErrBadSource)
			}
			f.wantProblems(want...)
		})
	}
}

// Whatever is in the tables, a table of tenants takes it.
func TestLoader_LoadRandomRows(t *testing.T) {
	db := create(t)
	exec(t, db, "ALTER TABLE domain DROP INDEX domain_idx, MODIFY setid CHAR(64)")
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	for range 300 {
		number := fmt.Sprint(r.IntN(30) - 2)
		exec(t, db, "INSERT INTO domain (domain, setid, attrs) VALUES (?, ?, ?)",
			pick("a", "A", "a.", "[::1]", "::1", "", "'", "d"+number, "D"+number+".:5060"), pick(number, "0", "", "x"), pick("", "setid="+number, "setid=1 2", "setid=;;="))
		exec(t, db, "INSERT INTO dispatcher (setid, destination, attrs) VALUES (?, ?, ?)",
			number, pick("sip:", "sip:10.0.0."+number, "sip:[::ffff:10.0.0.1]", "sip:h"+number, "x", "sips:u;x@h:"+number),
			pick("", "source_ip=10.0.0."+number, "source_ip=::ffff:0:0/90,::/0", "source_ip=10.0.0.0/"+number))
	}
	f := open(t, db, mysqltenant.Config{Resolver: lookup(func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{{}, netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("::ffff:10.0.0.1"), netip.IPv6Unspecified()}, nil
	})})
	if n := f.load().Len(); n < 10 || len(f.problems) < 50 {
		t.Errorf("got %d tenants and %d problems", n, len(f.problems))
	}
}

// Both tables are read as they are at one moment: a tenant that moves to
// another set is never seen halfway.
func TestLoader_LoadIsConsistent(t *testing.T) {
	db := create(t)
	exec(t, db, "INSERT INTO domain (domain, setid) VALUES ('a.example', 10)")
	exec(t, db, "INSERT INTO dispatcher (setid, destination) VALUES (10, 'sip:10.0.1.10')")
	f := open(t, db, mysqltenant.Config{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 300 {
			if err := move(t.Context(), db, 10+i%2); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		if n := f.load().Len(); n != 1 || len(f.problems) > 0 {
			t.Fatalf("got %d tenants, problems %v", n, f.problems)
		}
	}
}

// ReadTx sees what its transaction does, and what the rows mean can be asked
// again with other answers.
func TestLoader_ReadTx(t *testing.T) {
	db := create(t)
	exec(t, db, "INSERT INTO domain (id, domain, setid) VALUES (1, 'a.example', 10), (2, 'b.example', 20)")
	exec(t, db, "INSERT INTO dispatcher (id, setid, destination) VALUES (1, 10, 'sip:PBX.example.'), (2, 10, 'sip:pbx.example;transport=tcp'), (3, 10, 'sip:10.0.1.10')")
	f := open(t, db, mysqltenant.Config{})
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := f.ReadTx(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	empty(t, db)
	rows, err := f.ReadTx(t.Context(), tx)
	if err != nil {
		t.Fatal(err)
	}
	udp, tcp := mysqltenant.Name{Host: "pbx.example", Service: "_sip._udp"}, mysqltenant.Name{Host: "pbx.example", Service: "_sip._tcp"}
	if diff := cmp.Diff(map[mysqltenant.Name][]int{udp: {10}, tcp: {10}}, rows.Names()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	for _, targets := range [][]mysqltenant.Target{nil, {{Addr: netip.MustParseAddr("192.0.2.7")}}} {
		a := mysqltenant.Answer{Targets: targets}
		tenants, problems := rows.Tenants(map[mysqltenant.Name]mysqltenant.Answer{udp: a, tcp: a})
		if len(tenants) != 2 || len(tenants[0].Sources) != 1+2*len(targets) || len(problems) != 1 || problems[0].ID != 2 {
			t.Errorf("with %v: tenants %v, problems %v", targets, tenants, problems)
		}
	}
}

// move gives all rows another set at once.
func move(ctx context.Context, db *sql.DB, set int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, query := range []string{"UPDATE dispatcher SET setid = ?", "UPDATE domain SET setid = ?"} {
		if _, err := tx.ExecContext(ctx, query, set); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func TestLoader_LoadFails(t *testing.T) {
	db := create(t)
	exec(t, db, "INSERT INTO dispatcher (setid, destination) VALUES (10, 'sip:pbx.example')")
	ctx, cancel := context.WithCancel(t.Context())
	f := open(t, db, mysqltenant.Config{Resolver: lookup(func(ctx context.Context, _ string) ([]netip.Addr, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	})})
	if _, err := f.Load(ctx); !errors.Is(err, context.Canceled) || len(f.problems) > 0 {
		t.Errorf("canceled: error %v, problems %v", err, f.problems)
	}
	exec(t, db, "DROP TABLE dispatcher")
	if _, err := f.Load(t.Context()); !errors.Is(err, mysqltenant.ErrSchema) {
		t.Errorf("no table: error %v, want ErrSchema", err)
	}
}
