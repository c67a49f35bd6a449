package mysqlacct_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/acct"
	"github.com/sipward/sipward/acct/mysqlacct"
	"github.com/sipward/sipward/internal/mysqltest"
)

func TestMain(m *testing.M) { mysqltest.Main(m) }

// openSIPSSchema has the tables as an installation of OpenSIPS has them, with
// the two columns of the seed system.
const openSIPSSchema = `CREATE TABLE version (table_name CHAR(32) NOT NULL UNIQUE, table_version INT UNSIGNED DEFAULT 0 NOT NULL);
INSERT INTO version VALUES ('acc', 7), ('missed_calls', 5), ('dialog', 12);
CREATE TABLE acc (
	id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL,
	method CHAR(16) DEFAULT '' NOT NULL,
	from_tag CHAR(64) DEFAULT '' NOT NULL,
	to_tag CHAR(64) DEFAULT '' NOT NULL,
	from_uri VARCHAR(255) DEFAULT NULL,
	to_uri VARCHAR(255) DEFAULT NULL,
	callid CHAR(64) DEFAULT '' NOT NULL,
	sip_code CHAR(3) DEFAULT '' NOT NULL,
	sip_reason CHAR(32) DEFAULT '' NOT NULL,
	time DATETIME NOT NULL,
	duration INT UNSIGNED DEFAULT 0 NOT NULL,
	ms_duration INT UNSIGNED DEFAULT 0 NOT NULL,
	setuptime INT UNSIGNED DEFAULT 0 NOT NULL,
	created DATETIME DEFAULT NULL,
	INDEX callid_idx (callid)
) CHARSET=CHARACTERS;
CREATE TABLE missed_calls (
	id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL,
	method CHAR(16) DEFAULT '' NOT NULL,
	from_tag CHAR(64) DEFAULT '' NOT NULL,
	to_tag CHAR(64) DEFAULT '' NOT NULL,
	callid CHAR(64) DEFAULT '' NOT NULL,
	sip_code CHAR(3) DEFAULT '' NOT NULL,
	sip_reason CHAR(32) DEFAULT '' NOT NULL,
	time DATETIME NOT NULL,
	setuptime INT UNSIGNED DEFAULT 0 NOT NULL,
	created DATETIME DEFAULT NULL,
	INDEX callid_idx (callid)
) CHARSET=CHARACTERS`

func exec(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// createOpenSIPS makes the tables of OpenSIPS in db.
func createOpenSIPS(t testing.TB, db *sql.DB, charset string) *sql.DB {
	t.Helper()
	for statement := range strings.SplitSeq(strings.ReplaceAll(openSIPSSchema, "CHARACTERS", charset), ";\n") {
		exec(t, db, statement)
	}
	return db
}

// create makes the tables of this package in db.
func create(t testing.TB, db *sql.DB) *sql.DB {
	t.Helper()
	if err := mysqlacct.Create(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return db
}

// open returns a sink with times in UTC and calls that were not answered.
func open(t testing.TB, db *sql.DB) *mysqlacct.Sink {
	t.Helper()
	s, err := mysqlacct.New(t.Context(), db, mysqlacct.Config{Failed: true, TimeZone: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t testing.TB, s *mysqlacct.Sink, records ...acct.Record) {
	t.Helper()
	if err := s.Write(t.Context(), records); err != nil {
		t.Fatal(err)
	}
}

// rows returns columns of all rows of a table, a row a line.
func rows(t testing.TB, db *sql.DB, table, columns string) string {
	t.Helper()
	all := "COALESCE(" + strings.Join(strings.Fields(columns), ", 'NULL'), COALESCE(") + ", 'NULL')"
	result, err := db.QueryContext(t.Context(), "SELECT CONCAT_WS(' ', "+all+") FROM "+table+" ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer result.Close()
	var lines []string
	for result.Next() {
		var line string
		if err := result.Scan(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if err := result.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

func wantRows(t testing.TB, db *sql.DB, table, columns string, want ...string) {
	t.Helper()
	if d := cmp.Diff(strings.Join(want, "\n"), rows(t, db, table, columns)); d != "" {
		t.Errorf("%s: %s", table, d)
	}
}

func count(t testing.TB, db *sql.DB, table string) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

var begin = time.Date(2026, 11, 22, 17, 4, 5, 999_000_000, time.UTC)

// call is a record of a call that was answered.
func call(n int) acct.Record {
	return acct.Record{
		ID: fmt.Sprintf("019ab0000000abcdef1234%010x", n), CallID: fmt.Sprintf("call-%d@10.1.2.3", n), FromTag: "x7", ToTag: "as5d",
		FromURI: "sip:201@a.example", ToURI: "sip:9@a.example", SetID: 10, Domain: "a.example",
		Source: netip.MustParseAddrPort("203.0.113.5:40123"), Destination: netip.MustParseAddrPort("10.0.1.10:5060"),
		CallerAgent: "Snom", CalleeAgent: "Asterisk", Attempts: 1, Code: 200, Reason: "OK",
		Cause: acct.Answered, End: acct.ByCaller,
		Created: begin, Rang: begin.Add(time.Second), Answered: begin.Add(2100 * time.Millisecond), Ended: begin.Add(7170 * time.Millisecond),
	}
}

// missed is a record of one to a phone that was not.
func missed(n int) acct.Record {
	r := call(n)
	r.Direction, r.ToTag, r.CalleeAgent, r.Answered, r.End = acct.ToPhone, "", "", time.Time{}, acct.Unanswered
	r.Source, r.Destination = r.Destination, r.Source
	r.Code, r.Reason, r.Cause = 486, "Busy Here", acct.Busy
	return r
}

// newRecorder returns a recorder that writes to s, and what ends it.
func newRecorder(t testing.TB, s acct.Sink, dir string) (r *acct.Recorder, halt func()) {
	t.Helper()
	r, err := acct.Open(acct.Config{Dir: dir, Sinks: map[string]acct.Sink{"mysql": s}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	return r, func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := r.Close(ctx); err != nil {
			t.Error(err)
		}
	}
}

// databases returns empty tables of all kinds.
func databases(t testing.TB) map[string]*sql.DB {
	t.Helper()
	return map[string]*sql.DB{
		"own":                create(t, mysqltest.DB(t)),
		"OpenSIPS":           createOpenSIPS(t, mysqltest.DB(t), "utf8mb4"),
		"OpenSIPS, latin1":   createOpenSIPS(t, mysqltest.DB(t), "latin1"),
		"OpenSIPS, utf8mb3":  createOpenSIPS(t, mysqltest.DB(t), "utf8mb3"),
		"OpenSIPS, upgraded": create(t, createOpenSIPS(t, mysqltest.DB(t), "latin1")),
	}
}
