package console_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/internal/console"
	"github.com/sipward/sipward/examples/proxy/internal/console/archive"
)

// dump returns all rows of a table: numbers that are not whole with all their
// digits, other values as their bytes in hexadecimal.
func (s *site) dump(table string) (all []string) {
	s.t.Helper()
	columns := s.value("SELECT GROUP_CONCAT('COALESCE(', CASE data_type WHEN 'float' THEN 'CAST(' WHEN 'double' THEN '(' WHEN 'decimal' THEN '(' ELSE 'HEX(' END," +
		" '`', REPLACE(column_name, '`', '``'), '`', IF(data_type = 'float', ' AS DOUBLE)', ')'), ', ''NULL'')' ORDER BY ordinal_position SEPARATOR ', '' '', ')" +
		" FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = '" + table + "'")
	rows, err := s.db.QueryContext(s.t.Context(), "SELECT CONCAT("+columns+") FROM `"+table+"` ORDER BY 1")
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			s.t.Fatal(err)
		}
		all = append(all, text)
	}
	return all
}

// columns of others may have any type.
const strangeColumns = `ALTER TABLE location
	ADD bits BIT(12), ADD raw VARBINARY(64), ADD big BLOB, ADD single_ FLOAT, ADD double_ DOUBLE, ADD exact DECIMAL(30,10),
	ADD stamp TIMESTAMP(6) NULL, ADD at DATETIME(3), ADD day DATE, ADD span TIME(2), ADD y YEAR, ADD e ENUM('a','é'), ADD st SET('x','y'),
	ADD latin VARCHAR(20) CHARACTER SET latin1, ADD tiny TINYINT, ADD negative BIGINT, ADD order_ INT, ADD ` + "`gr``oup`" + ` VARCHAR(9),
	ADD computed BIGINT AS (cseq + 1) VIRTUAL`

// hostileRows have what breaks careless dumps.
var hostileRows = []string{
	`SET SESSION sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'`,
	`SET SESSION time_zone = '+03:00'`,
	`INSERT INTO location (contact_id, username, domain, contact, expires) VALUES (0, '', NULL, '', 0)`,
	`INSERT INTO location (contact_id, username, domain, contact, expires, q, callid, cseq, last_modified, user_agent, kv_store, attr, received) VALUES
		(18446744073709551615, '401', 'a.test', CONCAT('a\'"\\%_', CHAR(0), CHAR(10), CHAR(13), CHAR(26), '\U0001F600'), 4294967295, 0.33,
		REPEAT('é', 255), -2147483648, '0000-00-00 00:00:00', '; DROP TABLE location; --', '{"a":"\\u0000"}', '', 'NULL'),
		(9223372036854775813, ' 401', 'A.test', REPEAT('x', 60000), 1, -1, '', 2147483647, '2026-02-31 25:00:00', 'null', NULL, NULL, NULL)`,
	`INSERT INTO location (contact_id, username, domain, contact, expires, bits, raw, big, single_, double_, exact, stamp, at, day, span, y, e, st, latin, tiny, negative, order_, ` + "`gr``oup`" + `)
		VALUES (7, '402', 'a.test', 'sip:402', 1, b'101000000001', UNHEX('00FF80'), UNHEX(REPEAT('FE00', 4000)), 16777217, 0.1, 12345678901234567890.0123456789,
		'2026-10-25 02:30:00.123456', '2026-03-14 12:00:00.125', '0000-00-00', '-838:59:59.25', 1901, 'é', 'x,y', 'äöü', -128, -9223372036854775808, 1, 'g'),
		(8, '403', 'a.test', 'sip:403', 1, b'0', '', '', 1e-30, 1.7976931348623157e308, -0.0000000001,
		'1970-01-01 03:00:01', '9999-12-31 23:59:59.999', '2026-02-31', '00:00:00', 0, 'a', '', '', 127, 9223372036854775807, NULL, '')`,
	`INSERT INTO domain (id, domain, attrs, setid, last_modified) VALUES (1, 'a.test', 'setid=10;x=\'', 10, '0000-00-00')`,
	`INSERT INTO dispatcher (id, setid, destination, socket, description) VALUES (4294967295, -1, 'sip:10.0.1.10', NULL, '\U0001F600')`,
}

// hostile fills a database with hostile rows.
func (s *site) hostile() {
	s.t.Helper()
	s.do("db", "init")
	s.exec(strangeColumns)
	conn, err := s.db.Conn(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	for _, statement := range append(hostileRows, "SET SESSION sql_mode = DEFAULT", "SET SESSION time_zone = DEFAULT") {
		statement = strings.ReplaceAll(statement, `\U0001F600`, "\U0001F600")
		if _, err := conn.ExecContext(s.t.Context(), statement); err != nil {
			s.t.Fatalf("%s: %v", statement, err)
		}
	}
}

// A table that was restored has the bytes that it had, whatever they are.
func TestRestore_SameBytes(t *testing.T) {
	t.Parallel()
	from, to := newSite(t), newSite(t)
	from.hostile()
	// More rows than one statement takes.
	from.exec("INSERT INTO location (contact_id, username, domain, contact, expires) SELECT 1000 + seq, seq, 'b.test', CONCAT('sip:', seq), 1 FROM seq_1_to_333")
	to.do("db", "init")
	to.exec(strangeColumns)
	file := filepath.Join(t.TempDir(), "backup")
	from.do("backup", file)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v; want 0600", info.Mode(), err)
	}
	for range 2 {
		to.do("restore", "-force", file) // the second time, over what is there
		for _, table := range []string{"domain", "dispatcher", "location", "version"} {
			if d := cmp.Diff(from.dump(table), to.dump(table)); d != "" {
				t.Errorf("%s: %s", table, d)
			}
		}
	}
	if n := to.value("SELECT COUNT(*) FROM location"); n != "338" {
		t.Errorf("%s rows, want 338", n)
	}
}

// The standard output gets the very same archive, and nothing else.
func TestBackup_ToStdout(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.hostile()
	code, stdout, stderr := s.run("backup", "-")
	if code != console.ExitDone || !strings.Contains(stderr, "location") {
		t.Fatalf("exit code %d, stderr %q", code, stderr)
	}
	before := s.dump("location")
	s.exec("DELETE FROM location", "DELETE FROM domain", "DELETE FROM dispatcher")
	s.do("restore", s.file("backup", stdout))
	if d := cmp.Diff(before, s.dump("location")); d != "" {
		t.Error(d)
	}
}

// A backup shows one moment: of what comes in one transaction while it runs it
// has everything or nothing.
func TestBackup_OneMoment(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.do("db", "init")
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 300 {
			if err := s.transaction(
				fmt.Sprintf("INSERT INTO location (contact_id, username, domain, contact, expires) VALUES (%d, '', 'a.test', '', 1)", i+1),
				fmt.Sprintf("INSERT INTO domain (domain) VALUES ('d%d.test')", i),
				fmt.Sprintf("INSERT INTO dispatcher (destination) VALUES ('sip:d%d.test')", i),
			); err != nil {
				t.Error(err)
				return
			}
		}
	})
	defer wg.Wait()
	for range 10 {
		var report struct {
			Tables []struct{ Rows int }
		}
		text := s.do("backup", "-json", filepath.Join(s.dir, "backup"))
		if err := json.Unmarshal([]byte(text), &report); err != nil {
			t.Fatal(err)
		}
		if n := report.Tables; n[0].Rows != n[1].Rows || n[0].Rows != n[2].Rows {
			t.Errorf("rows of several moments: %v", n)
		}
	}
}

// transaction executes statements in one transaction.
func (s *site) transaction(statements ...string) error {
	tx, err := s.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, statement := range statements {
		if _, err := tx.Exec(statement); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// What cannot be restored as a whole changes nothing, and a backup that fails
// leaves no file.
func TestRestore_AllOrNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.hostile()
	file := filepath.Join(s.dir, "backup")
	s.do("backup", file)
	intact, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s.exec("DELETE FROM dispatcher", "UPDATE domain SET domain = 'other.test'")
	before := s.dump("location")
	unchanged := func(what string) {
		t.Helper()
		if d := cmp.Diff(before, s.dump("location")); d != "" {
			t.Errorf("%s: %s", what, d)
		}
		if name := s.value("SELECT domain FROM domain"); name != "other.test" {
			t.Errorf("%s: the domain is %s", what, name)
		}
	}
	fails := func(what, file string, want int, says string) {
		t.Helper()
		code, _, stderr := s.run("restore", "-force", file)
		if code != want || !strings.Contains(stderr, says) {
			t.Errorf("%s: exit code %d, want %d; stderr has no %q: %s", what, code, want, says, stderr)
		}
		unchanged(what)
	}
	for _, n := range []int{0, 1, 100, len(intact) / 2, len(intact) - 1} {
		fails("cut off", s.file("cut", string(intact[:n])), console.ExitFailed, "not an intact backup")
	}
	broken := bytes.Clone(intact)
	broken[len(broken)/2] ^= 1
	fails("a bit", s.file("bit", string(broken)), console.ExitFailed, "not an intact backup")

	// Only the server finds these.
	s.exec("UPDATE location SET attr = 'x', callid = 'c'", "ALTER TABLE location MODIFY callid CHAR(200) NOT NULL")
	before = s.dump("location")
	fails("too long", file, console.ExitFailed, "nothing was changed: table location: Error 1406")
	s.exec("ALTER TABLE location MODIFY callid CHAR(255) NOT NULL, MODIFY attr CHAR(255) NOT NULL")
	fails("no value", file, console.ExitFailed, "nothing was changed: table location: Error 1048")

	var foreign bytes.Buffer
	w, err := archive.NewWriter(&foreign, archive.Header{Tables: []archive.Table{{Name: "subscriber", Version: 8, Columns: []string{"id"}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	fails("a table of others", s.file("foreign", foreign.String()), console.ExitRefused, `a table "subscriber"`)

	s.exec("ALTER TABLE location DROP callid")
	if code, _, stderr := s.run("backup", filepath.Join(s.dir, "proxy.yaml", "b")); code != console.ExitFailed {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	left, err := filepath.Glob(filepath.Join(s.dir, "*.tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
}
