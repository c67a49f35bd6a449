package peertest

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/internal/mysqltest"
)

// database is a database with the proxy's tables, and the server that it is on.
type database struct {
	t      *testing.T
	db     *sql.DB
	server *mysqltest.Server
	dsn    string
}

// newDatabase starts a server and makes a database on it.
func newDatabase(t *testing.T) *database {
	t.Helper()
	return databaseOn(t, mysqltest.New(t))
}

// databaseOn lets the proxy make the tables.
func databaseOn(t *testing.T, server *mysqltest.Server) *database {
	t.Helper()
	d := &database{t: t, db: server.DB(t), server: server}
	d.dsn = server.Config(t, d.db).FormatDSN()
	d.command("db", "init")
	return d
}

// command runs a command of the proxy on the database.
func (d *database) command(args ...string) {
	d.t.Helper()
	file := newSite(d.t).config(settings{lines: d.lines()})
	if code, stdout, stderr := command(d.t, append(args, "-config", file)...); code != 0 {
		d.t.Fatalf("%q: exit code %d\n%s%s", args, code, stdout, stderr)
	}
}

// lines are what the configuration of a proxy says of the database, with a spool
// of its own.
func (d *database) lines() []string { return d.shared(d.t.TempDir(), 0) }

// shared is lines for a spool and for how long what was read is trusted.
func (d *database) shared(spool string, maxAge time.Duration) []string {
	return []string{
		fmt.Sprintf("database: %q", d.dsn),
		fmt.Sprintf("cache: {max_age: %v, spool: %q}", maxAge, spool),
	}
}

func (d *database) exec(query string, args ...any) {
	d.t.Helper()
	if _, err := d.db.ExecContext(d.t.Context(), query, args...); err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
}

// lock keeps everybody else out of the table location until unlock is called,
// as a database does that is too slow to be of use.
func (d *database) lock() (unlock func()) {
	d.t.Helper()
	conn, err := d.db.Conn(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	do := func(query string) {
		d.t.Helper()
		if _, err := conn.ExecContext(context.Background(), query); err != nil {
			d.t.Errorf("%s: %v", query, err)
		}
	}
	do("LOCK TABLES location WRITE")
	return func() {
		d.t.Helper()
		do("UNLOCK TABLES")
		conn.Close()
	}
}

// row is what the table location has of a binding.
type row struct {
	id           uint64
	aor, contact string
	callID       string
	cseq         int
	expires      int64 // Unix time
}

// rows returns all of the table location.
func (d *database) rows() (all []row) {
	d.t.Helper()
	found, err := d.db.QueryContext(d.t.Context(),
		"SELECT contact_id, CONCAT(username, '@', domain), contact, callid, cseq, expires FROM location")
	if err != nil {
		d.t.Fatal(err)
	}
	defer found.Close()
	for found.Next() {
		var r row
		if err := found.Scan(&r.id, &r.aor, &r.contact, &r.callID, &r.cseq, &r.expires); err != nil {
			d.t.Fatal(err)
		}
		all = append(all, r)
	}
	if err := found.Err(); err != nil {
		d.t.Fatal(err)
	}
	return all
}

// wantRows waits until the table location has these bindings, each once, and
// no other ones.
func (d *database) wantRows(want ...string) {
	d.t.Helper()
	slices.Sort(want)
	var got []string
	ok := holds(patience, func() bool {
		got = nil
		for _, r := range d.rows() {
			got = append(got, r.aor+" "+r.contact)
		}
		slices.Sort(got)
		return slices.Equal(got, want)
	})
	if !ok {
		d.t.Errorf("table location (-want +got):\n%s", cmp.Diff(want, got))
	}
}

// inherit adds the phone of a user as an OpenSIPS would have.
func (d *database) inherit(user, domain string, h *peer) {
	d.t.Helper()
	d.exec(`INSERT INTO location (username, domain, contact, received, expires, q, callid, cseq, last_modified, cflags)
		VALUES (?, ?, ?, ?, UNIX_TIMESTAMP() + 600, -1, 'c', 1, NOW(), 'NAT')`, user, domain, h.contactOf(user), h.addr.String())
}

// registered is how wantRows knows the phone of a user.
func registered(h *peer, user, domain string) string {
	return user + "@" + domain + " " + h.contactOf(user)
}
