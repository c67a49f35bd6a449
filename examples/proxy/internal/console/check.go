package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sipward/sipward/dispatcher/mysqldisp"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

// Levels of findings.
const (
	levelOK      = "ok"
	levelNote    = "note"    // odd, and of no consequence
	levelWarning = "warning" // of consequence, if not for the proxy as a whole
	levelError   = "error"   // the proxy cannot use the database
)

// report is what db check prints.
type report struct {
	Database  string    `json:"database"`
	Server    string    `json:"server,omitempty"` // its version
	LatencyMS float64   `json:"latency_ms,omitempty"`
	Usable    bool      `json:"usable"`
	Findings  []finding `json:"findings"`
}

type finding struct {
	Level   string `json:"level"`
	Table   string `json:"table,omitempty"`
	Message string `json:"message"`
}

func (r *report) add(level, table, format string, args ...any) {
	r.Findings = append(r.Findings, finding{level, table, fmt.Sprintf(format, args...)})
	if level == levelError {
		r.Usable = false
	}
}

// check prints all there is to be said of the database.
func (s *session) check(ctx context.Context) error {
	r := report{Database: s.name, Usable: true}
	failed := s.examine(ctx, &r)
	if failed != nil {
		r.add(levelError, "", "%s", oneLine(failed))
	}
	if failed == nil && !r.Usable {
		failed = errors.New("the proxy cannot use this database")
	}
	return errors.Join(failed, s.out.print(r, func(w io.Writer) {
		if r.Server != "" {
			fmt.Fprintf(w, "%s: %s, answers in %.1f ms\n", r.Database, r.Server, r.LatencyMS)
		}
		for _, f := range r.Findings {
			table := f.Table
			if table != "" {
				table += ": "
			}
			fmt.Fprintf(w, "%-7s  %s%s\n", f.Level, table, cell(f.Message))
		}
	}))
}

// examine adds what there is to r. The error is one by which it ended early.
func (s *session) examine(ctx context.Context, r *report) error {
	var err error
	if r.Server, r.LatencyMS, err = s.ping(ctx); err != nil {
		return err
	}
	if err := s.examineServer(ctx, r); err != nil {
		return err
	}
	all, err := s.readSchema(ctx)
	if err != nil {
		return err
	}
	usable := map[string]bool{}
	for _, p := range parts() {
		if err := p.check(ctx, s.db); err != nil {
			r.add(s.levelWithout(&p), p.table, "%s", oneLine(err))
			continue
		}
		usable[p.table] = true
		r.add(levelOK, p.table, "version %d", p.version)
		examineTable(&p, all[p.table], r)
	}
	if usable["domain"] { // which needs dispatcher, too
		if err := s.examineTenants(ctx, r); err != nil {
			return err
		}
	}
	if usable["location"] {
		return s.examineBindings(ctx, r)
	}
	return nil
}

// ping returns the server's version, and how long it takes to answer on an open
// connection.
func (s *session) ping(ctx context.Context) (version string, latencyMS float64, err error) {
	if err := s.db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil {
		return "", 0, err
	}
	start := time.Now()
	if err := s.db.PingContext(ctx); err != nil {
		return "", 0, err
	}
	return version, float64(time.Since(start).Microseconds()) / 1000, nil
}

// examineServer looks at settings that the stores rely on.
func (s *session) examineServer(ctx context.Context, r *report) error {
	rows, err := s.db.QueryContext(ctx, `SHOW GLOBAL VARIABLES
		WHERE variable_name IN ('innodb_flush_log_at_trx_commit', 'log_bin', 'binlog_format')`)
	if err != nil {
		return err
	}
	defer rows.Close()
	set := map[string]string{}
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return err
		}
		set[strings.ToLower(name)] = value
	}
	switch set["innodb_flush_log_at_trx_commit"] {
	case "0":
		r.add(levelWarning, "", "innodb_flush_log_at_trx_commit is 0: a server that is killed loses the registrations of its last second; 1 or 2 keeps them")
	case "2":
		r.add(levelNote, "", "innodb_flush_log_at_trx_commit is 2: a power failure loses the registrations of the last second")
	}
	if set["log_bin"] == "ON" && set["binlog_format"] == "STATEMENT" {
		r.add(levelError, "", "binlog_format is STATEMENT, want MIXED or ROW: the server refuses all changes")
	}
	return rows.Err()
}

// levelWithout returns how bad it is that the proxy cannot use a table.
func (s *session) levelWithout(p *part) string {
	switch {
	case !p.history:
		return levelError
	case s.cfg.Calls() == config.AcctMySQL && len(p.indexes) > 0:
		return levelWarning // records wait until it is there
	}
	return levelNote
}

// examineTable looks at what a usable table has and lacks.
func examineTable(p *part, t *table, r *report) {
	if !strings.EqualFold(t.engine, "InnoDB") {
		r.add(levelWarning, t.name, "its engine is %s, not InnoDB: there are no transactions", t.engine)
	}
	if p.history { // of which all columns are filled that there are, as far as they can be
		if len(p.indexes) > 0 && !t.indexed(recordID) {
			r.add(levelWarning, t.name, "there is no index on %s: a failure of the database may have a record written twice; proxy db init makes one", recordID)
		}
		return
	}
	made := p.columns()
	for _, name := range made {
		if t.column(name) == nil {
			r.add(levelWarning, t.name, "there is no column %s: the proxy does without it", name)
		}
	}
	for _, c := range t.columns {
		if !slices.Contains(made, strings.ToLower(c.name)) {
			r.add(levelNote, t.name, "the column %s is not one of OpenSIPS 3.6: it is left alone", c.name)
		}
		if c.charset != "" && c.charset != "utf8mb4" {
			r.add(levelNote, t.name, "the column %s has the character set %s: texts that it cannot express are refused", c.name, c.charset)
		}
	}
	if c := t.column("username"); c != nil && !strings.HasSuffix(c.collation, "_bin") {
		r.add(levelNote, t.name, "the collation %s takes users for equal that are not: sipward tells them apart, other programs may not", c.collation)
	}
	for _, index := range p.indexes {
		if !t.indexed(index...) {
			r.add(levelWarning, t.name, "there is no index on %s: looking up reads the whole table; proxy db init makes one", strings.Join(index, ", "))
		}
	}
}

// examineTenants reads the tables domain and dispatcher as the proxy does, but
// resolves no names.
func (s *session) examineTenants(ctx context.Context, r *report) error {
	rows, err := s.readTenants(ctx)
	if err != nil {
		return err
	}
	_, problems := rows.Tenants(nil)
	for _, p := range problems {
		// The other ones of dispatcher are reported below.
		if p.Table == "domain" || errors.Is(p.Err, mysqltenant.ErrBadSource) {
			r.add(levelWarning, p.Table, "row %d: %v", p.ID, p.Err)
		}
	}
	loader, err := mysqldisp.New(ctx, s.db, mysqldisp.Config{OnProblem: func(p mysqldisp.Problem) {
		r.add(levelWarning, p.Table, "row %d: %s", p.ID, oneLine(p.Err))
	}})
	if err != nil {
		return err
	}
	_, err = loader.Load(ctx)
	return err
}

// examineBindings reads the whole table location.
func (s *session) examineBindings(ctx context.Context, r *report) error {
	var bad badRows
	store, err := s.openStore(ctx, bad.add)
	if err != nil {
		return err
	}
	defer store.Close()
	live := 0
	for _, err := range store.All(ctx) {
		if err != nil {
			return err
		}
		live++
	}
	for _, text := range bad.texts() {
		r.add(levelWarning, "location", "%s", text)
	}
	r.add(levelOK, "location", "live bindings: %d", live)
	return nil
}
