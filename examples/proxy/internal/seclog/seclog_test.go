package seclog_test

import (
	"context"
	"database/sql"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/internal/seclog"
	"github.com/sipward/sipward/internal/mysqltest"
)

func TestMain(m *testing.M) { mysqltest.Main(m) }

var (
	source = netip.MustParseAddrPort("203.0.113.5:5062")
	noon   = time.Date(2026, 3, 14, 12, 0, 0, 0, time.Local)
)

func exec(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// rows returns what a query says, the cells of a row with bars between them.
func rows(t *testing.T, db *sql.DB, query string) (all []string) {
	t.Helper()
	rs, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rs.Close()
	for rs.Next() {
		var line string
		if err := rs.Scan(&line); err != nil {
			t.Fatal(err)
		}
		all = append(all, line)
	}
	if err := rs.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

const (
	failures = `SELECT CONCAT_WS('|', username, domain, source_ip, source_port, COALESCE(user_agent, 'NULL'), response_code,
		COALESCE(response_reason, 'NULL'), attempt_time, COALESCE(expires_header, 'NULL')) FROM failed_registrations ORDER BY id`
	knocks = `SELECT CONCAT_WS('|', COALESCE(domain, 'NULL'), source_ip, source_port, COALESCE(user_agent, 'NULL'), method,
		COALESCE(request_uri, 'NULL'), reason, attempt_time) FROM door_knock_attempts ORDER BY id`
)

// written has a Log write, and returns what it has counted at its end.
func written(t *testing.T, db *sql.DB, f func(l *seclog.Log)) seclog.Stats {
	t.Helper()
	l := seclog.New(seclog.Config{DB: db})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	f(l)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	return l.Stats()
}

// TestLog: each value is in its column, and what waits at the end is written.
// P-83.
func TestLog(t *testing.T) {
	db := mysqltest.DB(t)
	mysqltest.AtOnce(t, db, seclog.Create)
	if err := seclog.Create(t.Context(), db); err != nil { // it alters nothing
		t.Fatal(err)
	}
	st := written(t, db, func(l *seclog.Log) {
		l.Registration(seclog.Registration{Time: noon, User: "401", Domain: "a.test", Source: source, UserAgent: "phone/1", Status: 403, Reason: "Forbidden", Expires: "3600"})
		l.Registration(seclog.Registration{Time: noon, User: "401", Domain: "a.test", Source: netip.MustParseAddrPort("[2001:db8::1]:5060"), Status: 404, Expires: "soon"})
		l.Registration(seclog.Registration{Time: noon, User: "401", Domain: "a.test", Source: source, Status: 401, Expires: "99999999999"})
		l.Knock(seclog.Knock{Time: noon, Domain: "x.test", Source: source, UserAgent: "sipvicious", Method: "OPTIONS", RequestURI: "sip:100@x.test", Reason: "scanner_detected"})
		l.Knock(seclog.Knock{Time: noon, Source: source, Reason: "malformed"})
	})
	if want := (seclog.Stats{Written: 5}); st != want {
		t.Errorf("got %+v", st)
	}
	if d := cmp.Diff([]string{
		"401|a.test|203.0.113.5|5062|phone/1|403|Forbidden|2026-03-14 12:00:00|3600",
		"401|a.test|2001:db8::1|5060|NULL|404|NULL|2026-03-14 12:00:00|NULL",
		"401|a.test|203.0.113.5|5062|NULL|401|NULL|2026-03-14 12:00:00|2147483647",
	}, rows(t, db, failures)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{
		"x.test|203.0.113.5|5062|sipvicious|OPTIONS|sip:100@x.test|scanner_detected|2026-03-14 12:00:00",
		"NULL|203.0.113.5|5062|NULL||NULL|malformed|2026-03-14 12:00:00",
	}, rows(t, db, knocks)); d != "" {
		t.Error(d)
	}
}

// TestLog_Attempts: a row says for how many attempts it stands, if the table has a
// column for that; a table without one gets the row all the same.
func TestLog_Attempts(t *testing.T) {
	db := mysqltest.DB(t)
	if err := seclog.Create(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	write := func() {
		t.Helper()
		st := written(t, db, func(l *seclog.Log) {
			for _, n := range []int{0, 17} {
				l.Registration(seclog.Registration{Time: noon, Source: source, Status: 403, Attempts: n})
				l.Knock(seclog.Knock{Time: noon, Source: source, Reason: "malformed", Attempts: n})
			}
		})
		if st != (seclog.Stats{Written: 4}) {
			t.Errorf("got %+v", st)
		}
	}
	write()
	for _, table := range []string{seclog.Registrations, seclog.Knocks} {
		if d := cmp.Diff([]string{"1", "17"}, rows(t, db, "SELECT attempts FROM "+table+" ORDER BY id")); d != "" {
			t.Errorf("%s: %s", table, d)
		}
		exec(t, db, "ALTER TABLE "+table+" DROP COLUMN attempts")
		if err := seclog.Check(t.Context(), db, table); err != nil {
			t.Error(err)
		}
	}
	write()
}

// TestLog_Hostile: no text makes the server refuse a row, whatever the column's
// character set. P-70.
func TestLog_Hostile(t *testing.T) {
	for _, charset := range []string{"utf8mb4", "utf8mb3", "latin1", "ascii"} {
		t.Run(charset, func(t *testing.T) {
			db := mysqltest.DB(t)
			if err := seclog.Create(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			exec(t, db, "ALTER TABLE failed_registrations CONVERT TO CHARACTER SET "+charset)
			exec(t, db, "ALTER TABLE door_knock_attempts CONVERT TO CHARACTER SET "+charset)
			long := strings.Repeat("ж😀\xff", 1000)
			st := written(t, db, func(l *seclog.Log) {
				l.Registration(seclog.Registration{Time: noon, User: long, Domain: long, Source: source, UserAgent: long, Status: 403, Reason: long, Expires: long})
				l.Knock(seclog.Knock{Time: noon, Domain: long, Source: source, UserAgent: "a\xffb", Method: long, RequestURI: long, Reason: "malformed"})
			})
			if want := (seclog.Stats{Written: 2}); st != want {
				t.Errorf("got %+v", st)
			}
			const sizes = "SELECT CONCAT_WS(' ', CHAR_LENGTH(username), CHAR_LENGTH(domain), CHAR_LENGTH(user_agent)) FROM failed_registrations"
			if d := cmp.Diff([]string{"64 128 255"}, rows(t, db, sizes)); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff([]string{"a?b"}, rows(t, db, "SELECT user_agent FROM door_knock_attempts")); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestLog_Missing: a table that is not there costs its own rows, and one of
// another shape too; the other table gets what is its.
func TestLog_Missing(t *testing.T) {
	db := mysqltest.DB(t)
	if err := seclog.Check(t.Context(), db, seclog.Knocks); err == nil || err.Error() != "seclog: there is no table door_knock_attempts" {
		t.Errorf("got %v", err)
	}
	both := func(l *seclog.Log) {
		l.Registration(seclog.Registration{Time: noon, User: "401", Domain: "a.test", Source: source, Status: 403})
		l.Knock(seclog.Knock{Time: noon, Source: source, Reason: "malformed"})
	}
	if st := written(t, db, both); st != (seclog.Stats{Lost: 2}) {
		t.Errorf("without tables: %+v", st)
	}
	if err := seclog.Create(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	exec(t, db, "ALTER TABLE failed_registrations DROP COLUMN user_agent")
	if st := written(t, db, both); st != (seclog.Stats{Written: 1, Lost: 1}) {
		t.Errorf("without a column: %+v", st)
	}
	if err := seclog.Check(t.Context(), db, seclog.Registrations); err == nil || !strings.Contains(err.Error(), "'user_agent'") {
		t.Errorf("got %v", err)
	}
	if err := seclog.Check(t.Context(), db, seclog.Knocks); err != nil {
		t.Error(err)
	}
}

// TestLog_Full: what does not fit is lost, and nothing blocks; a Log of nothing
// takes everything.
func TestLog_Full(t *testing.T) {
	l := seclog.New(seclog.Config{DB: mysqltest.DB(t)})
	var none *seclog.Log
	for range 5000 {
		l.Knock(seclog.Knock{Source: source})
		none.Knock(seclog.Knock{Source: source})
		none.Registration(seclog.Registration{Source: source})
	}
	if st := l.Stats(); st.Waiting == 0 || st.Lost == 0 || st.Waiting+int(st.Lost) != 5000 {
		t.Errorf("got %+v", st)
	}
}

// TestLog_Outage: rows wait for a database that is away.
func TestLog_Outage(t *testing.T) {
	server := mysqltest.New(t)
	db := server.DB(t)
	if err := seclog.Create(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	server.Stop(t)
	st := written(t, db, func(l *seclog.Log) {
		l.Knock(seclog.Knock{Time: noon, Source: source, Reason: "malformed"})
		time.Sleep(1500 * time.Millisecond) // it has tried
		server.Start(t)
		for l.Stats().Written == 0 && t.Context().Err() == nil {
			time.Sleep(50 * time.Millisecond)
		}
	})
	if st != (seclog.Stats{Written: 1}) {
		t.Errorf("got %+v", st)
	}
}
