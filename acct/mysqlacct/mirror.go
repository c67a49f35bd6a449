package mysqlacct

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/sipward/sipward/acct"
	"github.com/sipward/sipward/internal/mysqlschema"
)

// MirrorConfig configures a [Mirror]. The zero MirrorConfig is ready to use.
type MirrorConfig struct {
	// Table is the name of the table, up to 64 letters, digits and underscores;
	// "dialog" if empty.
	Table string

	// Node tells the rows of several programs in one table apart: letters,
	// digits and underscores. It may be empty for one of them.
	Node string
}

// Mirror keeps the table dialog (version 12) of OpenSIPS 3.6 like the calls that
// are open, for dashboards that look there. States are 1 for a call without an
// answer, 2 for one that rings, 3 for one that is up without ACK and 4 for one
// with. Start_time is when the call was answered, or began. What a recorder does
// not know, such as contacts and CSeqs, is empty or 0.
//
// Its rows are marked in the column vars, and it touches no others. Still it is
// not for the table of an OpenSIPS that runs, which would take up the dialogs in
// it when it starts.
type Mirror struct {
	cfg   MirrorConfig
	db    *sqlx.DB
	texts map[string]text
	known map[uint64]int // states in the table, by dlg_id; nil if they must be read
}

// NewMirror checks the table. The error wraps [ErrSchema] if it is not one that
// a Mirror can use.
func NewMirror(ctx context.Context, db *sql.DB, cfg MirrorConfig) (*Mirror, error) {
	if cfg.Table == "" {
		cfg.Table = "dialog"
	}
	var faults []error
	if !mysqlschema.IsName(cfg.Table) {
		faults = append(faults, fmt.Errorf("mysqlacct: table %q: not a name of letters, digits and underscores", cfg.Table))
	}
	if cfg.Node != "" && !mysqlschema.IsName(cfg.Node) {
		faults = append(faults, fmt.Errorf("mysqlacct: node %q: not a name of letters, digits and underscores", cfg.Node))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	m := &Mirror{cfg: cfg, db: sqlx.NewDb(db, "mysql")}
	if _, err := mysqlschema.Check(ctx, m.db, cfg.Table, DialogVersion, dialogColumns()...); err != nil {
		return nil, fmt.Errorf("mysqlacct: %w", err)
	}
	var err error
	if m.texts, err = readTexts(ctx, m.db, cfg.Table); err != nil {
		return nil, fmt.Errorf("mysqlacct: %w", err)
	}
	return m, nil
}

// dialogColumns returns the columns that a Mirror fills: those without a
// default, and vars.
func dialogColumns() []string {
	return strings.Fields("dlg_id callid from_uri from_tag to_uri to_tag caller_sock callee_sock state start_time vars" +
		" caller_cseq callee_cseq caller_ping_cseq callee_ping_cseq timeout")
}

func (m *Mirror) mark() string { return "sipward#" + m.cfg.Node + "|" }

// row returns the row of a call.
func (m *Mirror) row(r *acct.Record) row {
	since := r.Answered
	if since.IsZero() {
		since = r.Created
	}
	fit := func(column, s string) string { return m.texts[column].fit(s) }
	return row{
		dialogID(r), fit("callid", r.CallID), fit("from_uri", r.FromURI), fit("from_tag", r.FromTag),
		fit("to_uri", r.ToURI), fit("to_tag", r.ToTag), "", "", state(r), since.Unix(), m.mark(),
		"0", "0", 0, 0, 0,
	}
}

// dialogID returns a number for the ID of a record.
func dialogID(r *acct.Record) uint64 {
	h := fnv.New64a()
	h.Write([]byte(r.ID))
	return h.Sum64()
}

func state(r *acct.Record) int {
	switch {
	case !r.Answered.IsZero() && r.NoACK:
		return 3
	case !r.Answered.IsZero():
		return 4
	case !r.Rang.IsZero():
		return 2
	}
	return 1
}

// batch is how many rows one statement writes.
const batch = 500

// Sync makes the table like calls, those of [acct.Recorder.Calls]. It writes
// what has changed since the last time only. It must not be called
// concurrently.
func (m *Mirror) Sync(ctx context.Context, calls iter.Seq[acct.Record]) error {
	if err := m.sync(ctx, calls); err != nil {
		m.known = nil // some of it may have been written
		return fmt.Errorf("mysqlacct: dialogs: %w", err)
	}
	return nil
}

func (m *Mirror) sync(ctx context.Context, calls iter.Seq[acct.Record]) error {
	if m.known == nil {
		if err := m.read(ctx); err != nil {
			return err
		}
	}
	open := make(map[uint64]int, len(m.known))
	var changed []row
	for r := range calls {
		id, now := dialogID(&r), state(&r)
		open[id] = now
		if before, there := m.known[id]; !there || before != now {
			changed = append(changed, m.row(&r))
		}
	}
	maps.DeleteFunc(m.known, func(id uint64, _ int) bool { _, is := open[id]; return is })
	for ids := range slices.Chunk(slices.Collect(maps.Keys(m.known)), batch) {
		if err := m.delete(ctx, ids); err != nil {
			return err
		}
	}
	for rows := range slices.Chunk(changed, batch) {
		err := insert(ctx, m.db, m.cfg.Table, dialogColumns(), rows,
			"state = VALUES(state), start_time = VALUES(start_time), to_tag = VALUES(to_tag)")
		if err != nil {
			return err
		}
	}
	m.known = open
	return nil
}

// read reads which rows there are of the last run.
func (m *Mirror) read(ctx context.Context) error {
	var rows []struct {
		ID    uint64 `db:"dlg_id"`
		State int    `db:"state"`
	}
	if err := m.db.SelectContext(ctx, &rows, "SELECT dlg_id, state FROM `"+m.cfg.Table+"` WHERE vars = ?", m.mark()); err != nil {
		return err
	}
	m.known = make(map[uint64]int, len(rows))
	for _, r := range rows {
		m.known[r.ID] = r.State
	}
	return nil
}

func (m *Mirror) delete(ctx context.Context, ids []uint64) error {
	query, args, err := sqlx.In("DELETE FROM `"+m.cfg.Table+"` WHERE vars = ? AND dlg_id IN (?)", m.mark(), ids)
	if err != nil {
		return err
	}
	_, err = m.db.ExecContext(ctx, query, args...)
	return err
}
