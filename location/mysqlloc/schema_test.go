package mysqlloc_test

import (
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/sipward/sipward/internal/mysqltest"
	"github.com/sipward/sipward/location/mysqlloc"
)

// P-01: ids have more than 32 bits and no sign. A table that cannot hold them
// is refused before it is written to.
func TestNew_ErrSchema(t *testing.T) {
	tests := []struct {
		name string
		sql  string
		want []string // parts of the error
	}{
		{"no version", "DELETE FROM version", []string{"no row for location", "1013"}},
		{"no table of versions", "DROP TABLE version", []string{"no table version", "1013"}},
		{"other version", "UPDATE version SET table_version = 1012", []string{"location has version 1012, want 1013"}},
		{"no table", "DROP TABLE location", []string{"no table location"}},
		{"small id", "ALTER TABLE location MODIFY contact_id INT AUTO_INCREMENT", []string{"location.contact_id is int(11), want bigint unsigned"}},
		{"small id without sign", "ALTER TABLE location MODIFY contact_id INT UNSIGNED AUTO_INCREMENT", []string{"contact_id is int(10) unsigned, want bigint unsigned"}},
		{"id with sign", "ALTER TABLE location MODIFY contact_id BIGINT AUTO_INCREMENT", []string{"contact_id is bigint(20), want bigint unsigned"}},
		{"no column", "ALTER TABLE location DROP kv_store, DROP methods", []string{"no column kv_store", "no column methods"}},
		{"number for text", "ALTER TABLE location MODIFY cflags INT", []string{"location.cflags is int(11), want a text"}},
		{"no key", "ALTER TABLE location MODIFY contact_id BIGINT UNSIGNED, DROP PRIMARY KEY", []string{"primary key (), want (contact_id)"}},
		{"other key", "ALTER TABLE location DROP PRIMARY KEY, ADD PRIMARY KEY (contact_id, username)", []string{"primary key (contact_id,username), want (contact_id)"}},
		{"no transactions", "ALTER TABLE location ENGINE = MyISAM", []string{"engine MyISAM, want InnoDB"}},
		{
			"two faults", "ALTER TABLE location MODIFY contact_id INT AUTO_INCREMENT, DROP path",
			[]string{"contact_id is int(11)", "no column path"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			db := create(t, mysqltest.DB(t))
			exec(t, db, tt.sql)
			_, err := mysqlloc.New(t.Context(), db, mysqlloc.Config{})
			if !errors.Is(err, mysqlloc.ErrSchema) {
				t.Fatalf("got error %v, want ErrSchema", err)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
}

// A server that cuts texts off with no more than a warning is refused.
func TestNew_StrictMode(t *testing.T) {
	server := mysqltest.New(t)
	db := create(t, server.DB(t))
	for _, mode := range []string{"''", "'STRICT_TRANS_TABLES,PAD_CHAR_TO_FULL_LENGTH'"} {
		cfg := server.Config(t, db)
		cfg.Params = map[string]string{"sql_mode": mode}
		other, err := sql.Open("mysql", cfg.FormatDSN())
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if _, err := mysqlloc.New(t.Context(), other, mysqlloc.Config{}); err == nil || errors.Is(err, mysqlloc.ErrSchema) {
			t.Errorf("sql_mode %s: error %v", mode, err)
		}
	}
}

// Create can be used on its own result and on a database of OpenSIPS, whose
// rows stay, by several programs at once.
func TestCreate_AddsOnly(t *testing.T) {
	tables := map[string]func(testing.TB, *sql.DB){
		"empty":    func(testing.TB, *sql.DB) {},
		"own":      func(t testing.TB, db *sql.DB) { create(t, db) },
		"OpenSIPS": createOpenSIPS,
		"OpenSIPS without indexes": func(t testing.TB, db *sql.DB) {
			createOpenSIPS(t, db)
			exec(t, db, "ALTER TABLE location DROP INDEX username_domain_idx, DROP INDEX domain_idx, DROP INDEX expires_idx")
		},
	}
	for name, table := range tables {
		t.Run(name, func(t *testing.T) {
			db := mysqltest.DB(t)
			table(t, db)
			mysqltest.AtOnce(t, db, mysqlloc.Create)
			before := indexes(t, db)
			s := open(t, db, mysqlloc.Config{})
			bob := aor(t, "bob", "a.example")
			put(t, s, bob, binding("sip:bob@192.0.2.7"))
			create(t, db)
			if after := indexes(t, db); after != before {
				t.Errorf("indexes %d, then %d", before, after)
			}
			if n := len(lookup(t, s, bob)); n != 1 {
				t.Errorf("got %d bindings, want 1", n)
			}
			fill(t, db, 2000) // small tables are read as a whole
			for _, query := range mysqlloc.Queries() {
				wantIndex(t, db, query)
			}
		})
	}
}

func indexes(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	const query = "SELECT COUNT(*) FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'location'"
	if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// wantIndex checks that a query finds its rows by an index.
func wantIndex(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	args := make([]any, strings.Count(query, "?"))
	for i := range args {
		args[i] = strconv.Itoa(1001 + i) // an id, and as good as any other text
	}
	if strings.HasSuffix(query, "LIMIT ?") {
		args[len(args)-1] = 10
	}
	rows, err := db.QueryContext(t.Context(), "EXPLAIN "+query, args...)
	if err != nil {
		t.Fatal(query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, selectType, table, kind, possible, key, length, ref, count, extra sql.NullString
		if err := rows.Scan(&id, &selectType, &table, &kind, &possible, &key, &length, &ref, &count, &extra); err != nil {
			t.Fatal(err)
		}
		if !key.Valid || kind.String == "ALL" || kind.String == "index" {
			t.Errorf("%s: access %s, key %q, %s rows", query, kind.String, key.String, count.String)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// fill adds n rows of as many users, a hundred in each domain, unless the table
// has them.
func fill(t testing.TB, db *sql.DB, n int) {
	t.Helper()
	const query = `INSERT IGNORE INTO location (contact_id, username, domain, contact, expires, q, callid, last_modified)
		SELECT 1000 + seq, CONCAT('u', seq), CONCAT('d', seq DIV 100, '.example'),
			CONCAT('sip:c', seq, '@10.0.0.1'), 1900000000, -1, 'call', '2026-01-01 00:00:00'
		FROM seq_1_to_1000000 WHERE seq <= ?`
	exec(t, db, query, n)
	exec(t, db, "ANALYZE TABLE location")
}
