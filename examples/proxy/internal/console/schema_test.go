package console_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/internal/console"
)

// openSIPS are the tables as an installation of OpenSIPS 3.6 has them, with
// some rows.
var openSIPS = []string{
	"CREATE TABLE version (table_name CHAR(32) NOT NULL UNIQUE, table_version INT UNSIGNED NOT NULL DEFAULT 0)",
	"INSERT INTO version VALUES ('domain', 4), ('dispatcher', 9), ('location', 1013), ('acc', 7), ('missed_calls', 5), ('dialog', 12), ('subscriber', 8)",
	`CREATE TABLE domain (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, domain CHAR(64) NOT NULL DEFAULT '' UNIQUE, attrs CHAR(255),
		accept_subdomain INT UNSIGNED NOT NULL DEFAULT 0, last_modified DATETIME NOT NULL DEFAULT '1900-01-01 00:00:01') DEFAULT CHARSET latin1`,
	`CREATE TABLE dispatcher (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, setid INT NOT NULL DEFAULT 0, destination CHAR(192) NOT NULL DEFAULT '',
		socket CHAR(128), state INT NOT NULL DEFAULT 0, probe_mode INT UNSIGNED NOT NULL DEFAULT 0, weight CHAR(64) NOT NULL DEFAULT '1',
		priority INT NOT NULL DEFAULT 0, attrs CHAR(128), description CHAR(64)) DEFAULT CHARSET latin1`,
	`CREATE TABLE location (contact_id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, username CHAR(64) NOT NULL DEFAULT '', domain CHAR(64),
		contact TEXT NOT NULL, received CHAR(255), path CHAR(255), expires INT UNSIGNED NOT NULL, q FLOAT(10,2) NOT NULL DEFAULT 1.0,
		callid CHAR(255) NOT NULL DEFAULT 'Default-Call-ID', cseq INT NOT NULL DEFAULT 13, last_modified DATETIME NOT NULL DEFAULT '1900-01-01 00:00:01',
		flags INT NOT NULL DEFAULT 0, cflags CHAR(255), user_agent CHAR(255) NOT NULL DEFAULT '', socket CHAR(64), methods INT,
		sip_instance CHAR(255), kv_store TEXT(512), attr CHAR(255)) DEFAULT CHARSET latin1`,
	`CREATE TABLE acc (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, method CHAR(16) NOT NULL DEFAULT '', from_tag CHAR(64) NOT NULL DEFAULT '',
		to_tag CHAR(64) NOT NULL DEFAULT '', callid CHAR(64) NOT NULL DEFAULT '', sip_code CHAR(3) NOT NULL DEFAULT '', sip_reason CHAR(32) NOT NULL DEFAULT '',
		time DATETIME NOT NULL, duration INT UNSIGNED NOT NULL DEFAULT 0, ms_duration INT UNSIGNED NOT NULL DEFAULT 0,
		setuptime INT UNSIGNED NOT NULL DEFAULT 0, created DATETIME, INDEX callid_idx (callid)) DEFAULT CHARSET latin1`,
	"CREATE TABLE missed_calls LIKE acc",
	"ALTER TABLE missed_calls DROP duration, DROP ms_duration",
	`CREATE TABLE dialog (dlg_id BIGINT UNSIGNED PRIMARY KEY, callid CHAR(255) NOT NULL, from_uri CHAR(255) NOT NULL, from_tag CHAR(64) NOT NULL,
		to_uri CHAR(255) NOT NULL, to_tag CHAR(64) NOT NULL, mangled_from_uri CHAR(255), mangled_to_uri CHAR(255), caller_cseq CHAR(11) NOT NULL,
		callee_cseq CHAR(11) NOT NULL, caller_ping_cseq INT UNSIGNED NOT NULL, callee_ping_cseq INT UNSIGNED NOT NULL, caller_route_set TEXT(512),
		callee_route_set TEXT(512), caller_contact CHAR(255), callee_contact CHAR(255), caller_sock CHAR(64) NOT NULL, callee_sock CHAR(64) NOT NULL,
		state INT UNSIGNED NOT NULL, start_time INT UNSIGNED NOT NULL, timeout INT UNSIGNED NOT NULL, vars BLOB(4096), profiles TEXT(512),
		script_flags CHAR(255), module_flags INT UNSIGNED NOT NULL DEFAULT 0, flags INT UNSIGNED NOT NULL DEFAULT 0, rt_on_answer CHAR(64),
		rt_on_timeout CHAR(64), rt_on_hangup CHAR(64)) DEFAULT CHARSET latin1`,
	"INSERT INTO domain (domain, attrs) VALUES ('a.test', 'setid=10;x=y'), ('b.test', 'fleet=domain')",
	"INSERT INTO dispatcher (setid, destination, attrs) VALUES (10, 'sip:10.0.1.10', 'source_ip=10.0.8.1')",
	"INSERT INTO location (username, domain, contact, received, expires) VALUES ('401', 'a.test', 'sip:401@192.168.1.40', '192.0.2.7:5060', 4000000000)",
}

// On a database of OpenSIPS, db init adds what is missing and touches no row.
// What the operator then sees and does is what OpenSIPS reads.
func TestInit_OpenSIPS(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.exec(openSIPS...)
	rows := func() []string {
		all := append(s.dump("dispatcher"), s.dump("location")...)
		all = append(all, s.value("SELECT GROUP_CONCAT(table_name, table_version ORDER BY table_name) FROM version WHERE table_version <> 1")) // ours are
		return append(all, s.value("SELECT GROUP_CONCAT(id, domain, attrs, last_modified ORDER BY id) FROM domain"))
	}
	before := rows()
	calls := func(table string) (text string) {
		for _, column := range strings.Fields("from_uri to_uri domain setid src_ip dst_ip backend direction user_agent callee_agent cause end_reason no_ack record_id") {
			text += "added column " + column + " of " + table + "\n"
		}
		return text + "added index sipward_record of " + table + "\n"
	}
	want := calls("acc") + "added column setid of domain\nadded index sipward_setid of domain\n" +
		"added table door_knock_attempts\nadded table failed_registrations\nadded index sipward_aor of location\nadded index sipward_expires of location\n" + calls("missed_calls")
	if got := s.do("db", "init"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := s.do("db", "init"); got != "nothing is missing\n" {
		t.Errorf("the second time, got\n%s", got)
	}
	if d := cmp.Diff(before, rows()); d != "" {
		t.Error(d)
	}
	s.do("db", "check")
	s.do("domain", "add", "b.test", "10")
	if got := s.value("SELECT CONCAT(setid, ' ', attrs) FROM domain WHERE domain = 'b.test'"); got != "10 fleet=domain;setid=10" {
		t.Errorf("the domain has %s", got)
	}
	if got := s.do("location", "show", "401@a.test"); !strings.Contains(got, "udp:192.0.2.7:5060") {
		t.Errorf("got\n%s", got)
	}
}

// Optional columns are optional (P-71).
func TestOptionalColumns(t *testing.T) {
	t.Parallel()
	for _, drop := range []string{"setid", "attrs, DROP last_modified, DROP accept_subdomain"} {
		s := newSite(t)
		s.do("db", "init")
		s.exec("ALTER TABLE domain DROP "+drop, "ALTER TABLE dispatcher DROP weight, DROP priority, DROP attrs, DROP description, DROP probe_mode")
		s.do("dispatcher", "add", "10", "sip:10.0.1.10", "-weight", "2", "-source", "10.0.8.1")
		s.do("domain", "add", "a.test", "10")
		if got := s.do("domain", "list"); !strings.Contains(got, "a.test  10 ") {
			t.Errorf("without %s, got\n%s", drop, got)
		}
		if got := s.do("dispatcher", "list"); !strings.Contains(got, "sip:10.0.1.10") {
			t.Errorf("without %s, got\n%s", drop, got)
		}
		s.do("db", "check")
	}
}

// Operators at the same moment do not make two rows of one domain, and none of
// them loses the other's change.
func TestDomainAdd_Concurrently(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.exec(openSIPS...)
	s.do("db", "init")
	s.exec("ALTER TABLE domain MODIFY domain CHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL") // in which names have case
	var wg sync.WaitGroup
	for _, name := range []string{"c.test", "C.test", "c.test.", "c.TEST"} {
		wg.Go(func() {
			if code, _, stderr := s.run("domain", "add", name, "10"); code != console.ExitDone {
				t.Errorf("exit code %d: %s", code, stderr)
			}
		})
		wg.Go(func() {
			if code, _, stderr := s.run("dispatcher", "add", "10", "sip:10.0.1.77", "-weight", "2"); code != console.ExitDone {
				t.Errorf("exit code %d: %s", code, stderr)
			}
		})
	}
	wg.Wait()
	if n := s.value("SELECT COUNT(*) FROM domain WHERE domain LIKE 'c.%'"); n != "1" {
		t.Errorf("there are %s rows of the domain", n)
	}
	if n := s.value("SELECT COUNT(*) FROM dispatcher WHERE destination = 'sip:10.0.1.77'"); n != "1" {
		t.Errorf("there are %s rows of the destination", n)
	}
}
