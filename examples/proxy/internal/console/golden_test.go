package console_test

import (
	"strings"
	"testing"

	"github.com/sipward/sipward/examples/proxy/internal/console"
)

// The commands, as text and as JSON, with each of their ends (P-55, P-64). A
// line is a command, or a statement that prepares the database.
func TestGolden(t *testing.T) {
	tests := []struct{ name, script string }{
		{"db-init", `
			db init
			db init
			sql ALTER TABLE location DROP INDEX sipward_expires
			sql ALTER TABLE domain DROP COLUMN setid
			sql ALTER TABLE acc DROP COLUMN record_id, DROP COLUMN direction
			sql DROP TABLE dialog
			db init -json
			db init -json
			sql DELETE FROM version WHERE table_name = 'domain'
			db init
			sql UPDATE version SET table_version = 8 WHERE table_name = 'dispatcher'
			db init
			db init -json
		`},
		{"db-check", `
			db check
			db check -json
			db init
			db check
			sql ALTER TABLE domain DROP COLUMN setid, ADD site INT
			sql ALTER TABLE location DROP INDEX sipward_aor, MODIFY username CHAR(64) CHARACTER SET latin1 NOT NULL DEFAULT ''
			sql INSERT INTO domain (id, domain, attrs) VALUES (1, 'a.test', 'setid=10'), (2, 'b.test', NULL), (3, 'no domain', 'setid=10')
			sql INSERT INTO dispatcher (id, setid, destination, attrs) VALUES (1, 10, 'sip:pbx.test', 'source_ip=nonsense'), (2, 10, 'nonsense', NULL)
			sql INSERT INTO location (contact_id, username, domain, contact, received, expires) VALUES (1, '401', 'a.test', 'sip:401@192.0.2.7', 'sip:192.0.2.7', 0), (2, '402', 'a.test', 'sip:402@192.0.2.7', 'nonsense', 0), (3, '403', NULL, 'sip:403@192.0.2.7', NULL, 0)
			db check
			db check -json
			sql ALTER TABLE location MODIFY contact_id INT UNSIGNED NOT NULL
			sql ALTER TABLE acc DROP INDEX sipward_record, ENGINE MyISAM
			sql ALTER TABLE dialog DROP COLUMN vars
			sql ALTER TABLE missed_calls ADD COLUMN mine INT
			db check
			sql DROP TABLE missed_calls
			sql DROP TABLE dispatcher
			db check
		`},
		{"domain-add", `
			domain add a.test
			db init
			domain add a.test 10
			domain add a.test 10
			domain add a.test
			sql INSERT INTO dispatcher (setid, destination) VALUES (10, 'sip:10.0.1.10'), (20, 'sip:10.0.1.20')
			domain add A.Test.:5060 20 -json
			domain add -json b.test
			domain add f.test 6
			sql ALTER TABLE domain AUTO_INCREMENT = 6
			domain add g.test
			domain add g.test -json
			sql INSERT INTO dispatcher (setid, destination) VALUES (8, 'sip:10.0.1.80')
			domain add h.test
			domain add h.test 8
			domain add b.test 10
			domain add c.test 0
			domain add c.test ten
			domain add "c test"
			domain add
			domain add c.test 10 11
			domain add xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.test 10
			domain list
		`},
		{"domain-list", `
			domain list
			db init
			domain list
			domain list -json
			sql INSERT INTO dispatcher (setid, destination) VALUES (10, 'sip:10.0.1.10'), (20, 'sip:10.0.1.20')
			sql INSERT INTO domain (id, domain, setid, attrs) VALUES (5, 'b.test', 10, NULL), (6, 'a.test', 0, 'fleet=domain;setid=20'), (7, 'c.test', 10, 'setid=20'), (8, 'd.test', 0, NULL), (9, 'e.test', 30, 'x')
			domain list
			domain list -json
			domain list now
		`},
		{"domain-rm", `
			db init
			sql INSERT INTO domain (domain, setid) VALUES ('a.test', 10), ('b.test', 10), ('c.test', 10)
			sql INSERT INTO location (contact_id, username, domain, contact, expires) VALUES (1, '401', 'a.test', 'sip:401@192.0.2.7', 0), (2, '402', 'A.test', 'sip:402@192.0.2.7', 4000000000), (3, '403', 'b.test', 'sip:403@192.0.2.7', 1)
			domain rm a.test
			domain rm a.test -json
			domain rm a.test -force
			domain rm B.TEST
			domain rm b.test
			domain rm c.test -json
			domain rm
			domain list
		`},
		{"dispatcher-add", `
			dispatcher add 10 sip:10.0.1.10:5060
			db init
			dispatcher add 10 sip:10.0.1.10:5060
			dispatcher add 10 sip:10.0.1.11 -weight 2 -priority 5 -socket udp:192.0.2.1:5060 -description "second box" -source 10.0.8.1 -source 10.0.9.0/24 -json
			dispatcher add -weight 3 10 sip:10.0.1.10:5060 -source 2001:db8::1
			sql UPDATE dispatcher SET attrs = CONCAT(attrs, ';x=y'), state = 1 WHERE id = 1
			dispatcher add 10 sip:10.0.1.10:5060 -source 10.0.8.2 -priority -1
			dispatcher list -json
			dispatcher add 10 sip:10.0.1.11:5060;transport=udp -socket udp:192.0.2.1 -weight 4
			dispatcher add 20 sip:PBX.test.;transport=TCP -description old
			dispatcher add 20 sip:pbx.test;transport=tcp -weight 4 -json
			dispatcher add 20 sip:pbx.test
			dispatcher add 10 10.0.1.12
			dispatcher add 10 sip:401@10.0.1.12
			dispatcher add ten sip:10.0.1.12
			dispatcher add 10 sip:10.0.1.12 -weight -1
			dispatcher add 10 sip:10.0.1.12 -weight heavy
			dispatcher add 10 sip:10.0.1.12 -socket 192.0.2.1
			dispatcher add 10 sip:10.0.1.12 -source pbx.test
			dispatcher add 10 sip:10.0.1.12 -source 0.0.0.0/0
			dispatcher add 10 sip:10.0.1.12 -wieght 1
			dispatcher add 10
			dispatcher add 10 sip:10.0.1.12 -description "` + strings.Repeat("d", 65) + `"
			dispatcher list
		`},
		{"dispatcher-list", `
			dispatcher list
			db init
			dispatcher list
			dispatcher list -json
			sql INSERT INTO dispatcher (id, setid, destination, socket, state, weight, priority, attrs, description) VALUES (1, 20, 'sip:10.0.1.20', NULL, 0, '1', 0, NULL, NULL), (2, 10, 'sip:10.0.1.10', 'udp:192.0.2.1:5060', 1, '50', 3, 'source_ip=10.0.8.1', 'first box'), (3, 10, 'sip:10.0.1.11', NULL, 2, 'fs://:s3cret@pbx', 0, NULL, CONCAT('a', CHAR(27), '[2J')), (4, 10, 'nonsense', NULL, 0, '1', 0, NULL, NULL)
			dispatcher list
			dispatcher list 20
			dispatcher list 10 -json
			dispatcher list 30
			dispatcher list ten
		`},
		{"dispatcher-rm", `
			db init
			sql INSERT INTO dispatcher (setid, destination) VALUES (10, 'sip:10.0.1.10'), (10, 'sip:10.0.1.11'), (20, 'sip:10.0.1.20')
			dispatcher rm 1
			dispatcher rm 1
			dispatcher rm 2
			dispatcher rm 3 -json
			dispatcher rm first
			dispatcher rm
			dispatcher list
		`},
		{"dispatcher-set-state", `
			db init
			sql INSERT INTO dispatcher (setid, destination, state) VALUES (10, 'sip:10.0.1.10', 0), (10, 'sip:10.0.1.11', 2)
			dispatcher set-state 2 inactive
			dispatcher set-state 2 inactive
			dispatcher set-state 1 inactive
			dispatcher list
			dispatcher set-state 2 active -json
			dispatcher set-state 3 active
			dispatcher set-state 1 on
			dispatcher set-state 1
			dispatcher list
		`},
		{"location-list", `
			location list
			db init
			location list
			location list -json
			` + someBindings + `
			location list
			location list A.TEST.
			location list -json
			location list c.test -json
			location list "a test"
		`},
		{"location-show", `
			db init
			` + someBindings + `
			location show 401@a.test
			location show sip:401@a.test -json
			location show 402@b.test
			location show 404@a.test
			location show 404@a.test -json
			location show 403@a.test
			location show 401
			location show
		`},
		{"location-rm", `
			db init
			` + someBindings + `
			location rm 401@a.test sip:401@192.168.1.40
			location rm 401@a.test sip:401@192.168.1.41:5062
			location rm 401@a.test
			location rm 401@a.test
			location rm 402@b.test -json
			location rm 401
			location list
		`},
		{"status", `
			status
			db init
			status
			sql INSERT INTO domain (domain, setid) VALUES ('a.test', 10), ('b.test', 20), ('d.test', 10)
			sql INSERT INTO dispatcher (setid, destination, state) VALUES (10, 'sip:10.0.1.10', 0), (10, 'sip:10.0.1.11', 1), (30, 'sip:10.0.1.30', 0)
			` + someBindings + `
			status
			status -json
			status now
		`},
		{"verify-cdr", `
			verify-cdr
			verify-cdr -json
			db init
			verify-cdr
			` + someRecords + `
			verify-cdr
			verify-cdr -json
			verify-cdr -since 24h
			sql INSERT INTO acc (method, callid, from_tag, to_tag, sip_code, sip_reason, time, created, setuptime, duration, ms_duration) VALUES ('INVITE', 'one', 'f', 't', '200', 'OK', '2026-01-02 10:00:05', '2026-01-02 10:00:00', 5, 6, 5070), ('INVITE', 'four', 'f', 't', '200', 'OK', '2026-01-02 10:00:05', '2026-01-02 10:00:00', 5, 5, 5070), ('INVITE', '', 'f', 't', '200', 'OK', '2026-01-03 12:00:05', NULL, 5, 6, 5070)
			sql INSERT INTO missed_calls (method, callid, from_tag, sip_code, sip_reason, time, created, setuptime) SELECT 'INVITE', CONCAT('many', id), '', '486', 'Busy Here', time, created, setuptime FROM acc, (SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5) AS five
			sql ALTER TABLE acc DROP INDEX sipward_record, DROP COLUMN direction
			verify-cdr
			verify-cdr -json
			verify-cdr -since -1h
			verify-cdr -since yesterday
			verify-cdr now
			sql UPDATE version SET table_version = 8 WHERE table_name = 'acc'
			verify-cdr
			help verify-cdr
		`},
		{"explain", `
			explain
			explain "OPTIONS sip:a.test"
			explain -from 203.0.113.5 "OPTIONS sip:a.test"
			explain -from 203.0.113.5:5060 -transport sctp "OPTIONS sip:a.test"
			explain -from 203.0.113.5:5060 "OPTIONS sip:a.test"
			explain -from 203.0.113.5:5060 "OPTIONS sip:a.test" -json
			explain -from 203.0.113.5:5060 DIR/none
			explain -from 203.0.113.5:5060 -to sip:401@a.test DIR/proxy.yaml
			explain -h
		`},
		{"ban-list", `
			ban list
			ban list -json
			ban list 192.0.2.1
			ban list -h
		`},
		{"ban-add", `
			ban add
			ban add 192.0.2.1 -for long
			ban add 192.0.2.1 -for -1s
			ban add 192.0.2.1
			ban add 192.0.2.1 -json
			ban add -h
		`},
		{"ban-rm", `
			ban rm
			ban rm 192.0.2.1 192.0.2.2
			ban rm 192.0.2.1
			ban rm 192.0.2.1 -json
			ban rm -h
			ban
		`},
		{"backup", `
			backup DIR/b
			db init
			backup DIR/b
			` + someBindings + `
			sql INSERT INTO domain (domain, setid) VALUES ('a.test', 10)
			backup DIR/b
			backup DIR/b -json
			backup DIR/nowhere/b
			backup - -json
			backup
		`},
		{"restore", `
			db init
			` + someBindings + `
			sql INSERT INTO domain (domain, setid) VALUES ('a.test', 10)
			backup DIR/b
			restore DIR/b
			restore DIR/b -json
			sql DELETE FROM location
			sql DELETE FROM domain
			restore -dry-run DIR/b
			domain list
			restore DIR/b
			domain list
			restore -dry-run DIR/b
			restore -dry-run -force DIR/b -json
			restore -force DIR/b -json
			restore DIR/proxy.yaml
			restore DIR/none
			restore
			sql UPDATE version SET table_version = 1012 WHERE table_name = 'location'
			sql ALTER TABLE domain DROP attrs
			sql DROP TABLE dispatcher
			restore -force DIR/b
		`},
		{"import-endpoint-locations", `
			db init
			import endpoint-locations
			sql CREATE TABLE endpoint_locations (aor VARCHAR(255) PRIMARY KEY, contact_ip VARCHAR(45) NOT NULL, contact_port VARCHAR(10) NOT NULL, contact_uri VARCHAR(255) NOT NULL, expires DATETIME NOT NULL)
			import endpoint-locations
			sql INSERT INTO domain (domain, setid) VALUES ('a.test', 10), ('b.test', 0)
			sql INSERT INTO location (contact_id, username, domain, contact, expires) VALUES (1, '402', 'a.test', 'sip:402@192.0.2.7', 0)
			sql INSERT INTO endpoint_locations VALUES ('401@A.test', '192.0.2.7', '5062', 'sip:401@192.168.1.40:5062;line=x', '2037-01-01'), ('402@a.test', '192.0.2.7', '5062', 'sip:402@192.168.1.40:5062', '2037-01-01'), ('403@a.test', '192.0.2.7', '5062', 'sip:403@192.168.1.40:5062', '2020-01-01')
			sql INSERT INTO endpoint_locations VALUES ('404@b.test', '192.0.2.7', '5062', 'sip:404@192.168.1.40', '2037-01-01'), ('405@c.test', '192.0.2.7', '5062', 'sip:405@192.168.1.40', '2037-01-01')
			sql INSERT INTO endpoint_locations VALUES ('406@a.test', 'pbx', '5062', 'sip:406@192.168.1.40', '2037-01-01'), ('407@a.test', '192.0.2.7', '', 'sip:407@192.168.1.40', '2037-01-01'), ('408@a.test', '192.0.2.7', '5062', '', '2037-01-01'), ('409', '192.0.2.7', '5062', 'sip:409@192.168.1.40', '2037-01-01'), ('410@a.test', '192.0.2.7', '5062', 'sip:410@192.168.1.40;transport=pigeon', '2037-01-01'), ('411@a.test', '192.0.2.7', '5062', 'sip:411@192.168.1.40', '0000-00-00')
			import endpoint-locations -dry-run
			location list
			import endpoint-locations
			import endpoint-locations -json
			location list
			import
			import endpoints
			import endpoint-locations now
		`},
		{"help", `
			help domain
			help domain rm
			domain
			domain -h
			domain remove a.test
			restore -h
		`},
	}
	golden := map[string]bool{}
	for _, tt := range tests {
		golden[tt.name] = true
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tr := &transcript{site: newSite(t, "admin: 127.0.0.1:9")}
			tr.play(tt.script)
			tr.compare(tt.name)
		})
	}
	for _, c := range console.Commands() {
		if !golden[strings.ReplaceAll(c.Name, " ", "-")] {
			t.Errorf("there is no golden file for %q", c.Name)
		}
	}
}

// someBindings are rows of the table location, live for long, expired and not
// to be read.
const someBindings = `sql INSERT INTO location (contact_id, username, domain, contact, received, path, expires, q, callid, cseq, last_modified, user_agent, socket, sip_instance, kv_store) VALUES (1, '401', 'a.test', 'sip:401@192.168.1.40:5062;line=x', 'sip:192.0.2.7:5062;transport=udp', NULL, 4000000000, 0.5, 'c1', 7, '2026-03-14 12:00:00', 'phone/1', 'udp:192.0.2.1:5060', NULL, NULL), (2, '401', 'a.test', 'sip:401@192.168.1.41:5062', 'sip:192.0.2.8:5062;transport=tcp', '<sip:edge.test;lr>', 4000000000, -1, 'c2', 8, '2026-03-14 12:00:00', '', 'tcp:192.0.2.1:5060', '<urn:uuid:1>', '{"sipward_token":"t1","sipward_reg_id":1,"sipward_registrar":"sip:10.0.1.10"}'), (3, '402', 'b.test', 'sip:402@192.0.2.9', NULL, NULL, 4000000000, 1, 'c3', 9, '2026-03-14 12:00:00', '', NULL, NULL, NULL), (4, '403', 'a.test', 'sip:403@192.0.2.9', 'nonsense', NULL, 4000000000, 1, 'c4', 9, '2026-03-14 12:00:00', '', NULL, NULL, NULL), (5, '404', 'a.test', 'sip:404@192.0.2.9', NULL, NULL, 1, 1, 'c5', 9, '2026-03-14 12:00:00', '', NULL, NULL, NULL), (6, '405', 'c.test', 'sip:405@192.0.2.9', NULL, NULL, 4000000000, 1, 'c6', 9, '2026-03-14 12:00:00', '', NULL, NULL, NULL)`

// someRecords are rows of the tables acc and missed_calls, with nothing wrong.
const someRecords = `sql INSERT INTO acc (method, callid, from_tag, to_tag, sip_code, sip_reason, time, created, setuptime, duration, ms_duration) VALUES ('INVITE', 'one', 'f', 't', '200', 'OK', '2026-01-02 10:00:05', '2026-01-02 10:00:00', 5, 6, 5070), ('INVITE', 'two', 'f', '', '486', 'Busy Here', '2026-01-02 10:01:05', '2026-01-02 10:01:00', 5, 0, 0), ('INVITE', 'three', 'f', 't', '200', 'OK', '2026-01-03 10:00:05', '2026-01-03 10:00:00', 5, 6, 5070)
			sql INSERT INTO missed_calls (method, callid, from_tag, to_tag, sip_code, sip_reason, time, created, setuptime) VALUES ('INVITE', 'two', 'f', '', '486', 'Busy Here', '2026-01-02 10:01:05', '2026-01-02 10:01:00', 5)`
