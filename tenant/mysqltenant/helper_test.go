package mysqltenant_test

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/internal/mysqltest"
	"github.com/sipward/sipward/tenant"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

func TestMain(m *testing.M) { mysqltest.Main(m) }

// openSIPSSchema has the tables as an installation of OpenSIPS has them.
const openSIPSSchema = `CREATE TABLE version (table_name CHAR(32) NOT NULL UNIQUE, table_version INT UNSIGNED DEFAULT 0 NOT NULL);
INSERT INTO version VALUES ('dispatcher', 9), ('domain', 4);
CREATE TABLE domain (
	id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL,
	domain CHAR(64) DEFAULT '' NOT NULL,
	attrs CHAR(255) DEFAULT NULL,
	accept_subdomain INT UNSIGNED DEFAULT 0 NOT NULL,
	last_modified DATETIME DEFAULT '1900-01-01 00:00:01' NOT NULL,
	UNIQUE INDEX domain_idx (domain)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
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

// createOpenSIPS makes the tables, without the column setid, in a new database.
func createOpenSIPS(t testing.TB) *sql.DB {
	t.Helper()
	db := mysqltest.DB(t)
	for statement := range strings.SplitSeq(openSIPSSchema, ";\n") {
		exec(t, db, statement)
	}
	return db
}

// create makes the tables with the column setid.
func create(t testing.TB) *sql.DB {
	t.Helper()
	db := createOpenSIPS(t)
	exec(t, db, "ALTER TABLE domain ADD COLUMN setid INT NOT NULL DEFAULT 0")
	return db
}

// empty removes all rows.
func empty(t testing.TB, db *sql.DB) {
	t.Helper()
	exec(t, db, "DELETE FROM domain")
	exec(t, db, "DELETE FROM dispatcher")
}

// fixture is a loader with what it reported last.
type fixture struct {
	*mysqltenant.Loader
	t        testing.TB
	problems []mysqltenant.Problem
}

// open returns a loader; without a resolver, names do not exist.
func open(t testing.TB, db *sql.DB, cfg mysqltenant.Config) *fixture {
	t.Helper()
	f := &fixture{t: t}
	cfg.OnProblem = func(p mysqltenant.Problem) { f.problems = append(f.problems, p) }
	if cfg.Resolver == nil {
		cfg.Resolver = lookup(func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no such host") })
	}
	l, err := mysqltenant.New(t.Context(), db, cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.Loader = l
	return f
}

// load returns the table of what Load returns.
func (f *fixture) load() *tenant.Table {
	f.t.Helper()
	f.problems = nil
	tenants, err := f.Load(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	table, err := tenant.NewTable(tenants)
	if err != nil {
		f.t.Fatalf("NewTable: %v", err)
	}
	return table
}

// wantProblems checks the errors of the last load, in order.
func (f *fixture) wantProblems(want ...error) {
	f.t.Helper()
	same := slices.EqualFunc(f.problems, want, func(p mysqltenant.Problem, err error) bool { return errors.Is(p.Err, err) })
	if !same {
		f.t.Errorf("got problems %v, want %v", f.problems, want)
	}
}

// wantTenants checks a table.
func wantTenants(t testing.TB, table *tenant.Table, want ...tenant.Tenant) {
	t.Helper()
	var got []tenant.Tenant
	for tn := range table.Tenants() {
		got = append(got, *tn)
	}
	samePrefix := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	if d := cmp.Diff(want, got, samePrefix); d != "" {
		t.Error(d)
	}
}

// sources returns those that are written as prefixes or addresses with port.
func sources(texts ...string) (all []tenant.Source) {
	for _, s := range texts {
		if ap, err := netip.ParseAddrPort(s); err == nil {
			all = append(all, tenant.Source{Prefix: netip.PrefixFrom(ap.Addr(), ap.Addr().BitLen()), Port: ap.Port()})
		} else {
			all = append(all, tenant.Source{Prefix: netip.MustParsePrefix(s)})
		}
	}
	return all
}

// lookup is a resolver that knows no SRV records.
type lookup func(ctx context.Context, host string) ([]netip.Addr, error)

func (f lookup) LookupHost(ctx context.Context, host string) ([]netip.Addr, time.Duration, error) {
	addrs, err := f(ctx, host)
	return addrs, 0, err
}

func (lookup) LookupSRV(context.Context, string) ([]*net.SRV, time.Duration, error) {
	return nil, 0, nil
}
