package mysqlacct

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"
)

// Report is what [Verify] has found.
type Report struct {
	Acc    TableReport `json:"acc"`
	Missed TableReport `json:"missed_calls"`
}

// TableReport is what [Verify] has found in one of the tables.
type TableReport struct {
	Name    string    `json:"name"`
	Lacks   []string  `json:"lacks"` // optional columns that are not there, and "unique " + record_id
	Rows    int64     `json:"rows"`  // those looked at, as below
	First   time.Time `json:"first,omitzero"`
	Last    time.Time `json:"last,omitzero"`
	Results []Result  `json:"results"` // rows by status, the most frequent first

	// Incomplete are rows without a Call-ID, From tag, time or created.
	// Duplicates are rows of which there is another one for the same call.
	// Durations are rows whose times and durations do not agree.
	Incomplete Faults `json:"incomplete"`
	Duplicates Faults `json:"duplicates"`
	Durations  Faults `json:"durations"`

	// Gaps are the longest times without a row, of an hour at least, the
	// longest first, at most 10. A night may be one.
	Gaps []Gap `json:"gaps"`
}

// Result is how many rows have a status.
type Result struct {
	Code string `json:"code" db:"code"`
	Rows int64  `json:"rows" db:"n"`
}

// Faults are rows that are not as they should be.
type Faults struct {
	Rows int64    `json:"rows"`
	IDs  []uint64 `json:"ids"` // of the latest 20
}

// Gap is a time without a row.
type Gap struct {
	After  time.Time `json:"after"`
	Before time.Time `json:"before"`
}

// OK reports whether no row has a fault.
func (r *Report) OK() bool { return r.Acc.faults()+r.Missed.faults() == 0 }

func (t *TableReport) faults() int64 { return t.Incomplete.Rows + t.Duplicates.Rows + t.Durations.Rows }

// Verify checks the tables and those of their rows that are not older than
// since; a zero time takes all of them. It changes nothing. Rows of an OpenSIPS
// pass if they are right.
//
// The error wraps [ErrSchema] if a table is not one that a [Sink] can use; then
// there is no report.
func Verify(ctx context.Context, db *sql.DB, cfg Config, since time.Time) (*Report, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("mysqlacct: %w", err)
	}
	v := verifier{db: sqlx.NewDb(db, "mysql"), zone: cfg.TimeZone, since: "1000-01-01 00:00:00"}
	if !since.IsZero() {
		v.since = since.In(cfg.TimeZone).Format(timeLayout)
	}
	acc, err := readTable(ctx, v.db, cfg.Table, Version, true)
	if err != nil {
		return nil, fmt.Errorf("mysqlacct: verify: %w", err)
	}
	missed, err := readTable(ctx, v.db, cfg.MissedTable, MissedVersion, false)
	if err != nil {
		return nil, fmt.Errorf("mysqlacct: verify: %w", err)
	}
	var report Report
	report.Acc, err = v.verify(ctx, acc, accDurations)
	if err == nil {
		report.Missed, err = v.verify(ctx, missed, missedDurations)
	}
	if err != nil {
		return nil, fmt.Errorf("mysqlacct: verify: %w", err)
	}
	return &report, nil
}

const (
	// A second is where what is rounded may differ.
	missedDurations = "time < created OR ABS(TIMESTAMPDIFF(SECOND, created, time) - CAST(setuptime AS SIGNED)) > 1"
	accDurations    = missedDurations + " OR duration <> CEIL(ms_duration / 1000) OR sip_code NOT LIKE '2%' AND ms_duration > 0"

	incomplete = "callid = '' OR from_tag = '' OR time IS NULL OR created IS NULL"

	// The calls of a Call-ID that were not answered are as many as there were
	// attempts, but none of them ended twice.
	duplicate = `EXISTS (SELECT 1 FROM %[1]s AS other
		WHERE other.callid = mine.callid AND other.id <> mine.id
		AND BINARY other.callid = BINARY mine.callid AND BINARY other.from_tag = BINARY mine.from_tag
		AND BINARY other.to_tag = BINARY mine.to_tag AND other.sip_code = mine.sip_code
		AND (mine.sip_code LIKE '2%%' OR other.time = mine.time AND other.created <=> mine.created))`
)

type verifier struct {
	db    *sqlx.DB
	zone  *time.Location
	since string
}

func (v *verifier) verify(ctx context.Context, t *table, durations string) (r TableReport, err error) {
	r = TableReport{Name: t.name, Lacks: t.lacks(), Results: []Result{}, Gaps: []Gap{}}
	if err := v.times(ctx, &r); err != nil {
		return r, err
	}
	const results = "SELECT sip_code AS code, COUNT(*) AS n FROM `%s` WHERE time >= ? GROUP BY sip_code ORDER BY n DESC, code"
	if err := v.db.SelectContext(ctx, &r.Results, fmt.Sprintf(results, t.name), v.since); err != nil {
		return r, err
	}
	for _, check := range []struct {
		into      *Faults
		condition string
	}{
		{&r.Incomplete, incomplete},
		{&r.Duplicates, fmt.Sprintf(duplicate, "`"+t.name+"`")},
		{&r.Durations, durations},
	} {
		if *check.into, err = v.faults(ctx, t.name, check.condition); err != nil {
			return r, err
		}
	}
	return r, nil
}

// faults returns the rows that meet a condition.
func (v *verifier) faults(ctx context.Context, table, condition string) (f Faults, err error) {
	where := " FROM `" + table + "` AS mine WHERE mine.time >= ? AND (" + condition + ")"
	if err := v.db.GetContext(ctx, &f.Rows, "SELECT COUNT(*)"+where, v.since); err != nil {
		return f, err
	}
	f.IDs = []uint64{}
	err = v.db.SelectContext(ctx, &f.IDs, "SELECT id"+where+" ORDER BY id DESC LIMIT 20", v.since)
	return f, err
}

// minGap and maxGaps say which gaps are reported.
const (
	minGap  = time.Hour
	maxGaps = 10
)

// times goes through the times of all rows.
func (v *verifier) times(ctx context.Context, r *TableReport) error {
	rows, err := v.db.QueryContext(ctx, "SELECT CAST(time AS CHAR) FROM `"+r.Name+"` WHERE time >= ? ORDER BY time", v.since)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		r.Rows++
		t, err := time.ParseInLocation(timeLayout, text, v.zone)
		if err != nil {
			continue // a date that is none, such as 0000-00-00
		}
		if !r.Last.IsZero() && t.Sub(r.Last) >= minGap {
			r.Gaps = append(r.Gaps, Gap{r.Last, t})
		}
		if r.First.IsZero() {
			r.First = t
		}
		r.Last = t
	}
	slices.SortStableFunc(r.Gaps, func(a, b Gap) int { return cmp.Compare(b.length(), a.length()) })
	r.Gaps = r.Gaps[:min(len(r.Gaps), maxGaps)]
	return rows.Err()
}

func (g Gap) length() time.Duration { return g.Before.Sub(g.After) }

// lacks returns what [Create] would add.
func (t *table) lacks() []string {
	lacks := []string{}
	for _, c := range columns() {
		has := slices.ContainsFunc(t.columns, func(own column) bool { return own.name == c.name })
		if !c.needed && !has {
			lacks = append(lacks, c.name)
		}
	}
	if !t.unique {
		lacks = append(lacks, "unique "+recordID)
	}
	return lacks
}
