package mysqlacct_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/acct"
	"github.com/sipward/sipward/acct/mysqlacct"
	"github.com/sipward/sipward/internal/mysqltest"
)

func verify(t *testing.T, db *sql.DB, since time.Time) *mysqlacct.Report {
	t.Helper()
	r, err := mysqlacct.Verify(t.Context(), db, mysqlacct.Config{TimeZone: time.UTC}, since)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestVerify_Good(t *testing.T) {
	for name, db := range databases(t) {
		t.Run(name, func(t *testing.T) {
			s := open(t, db)
			var records []acct.Record
			for i := range 50 {
				r := call(i)
				r.Created = begin.Add(time.Duration(i*i) * 100 * time.Second)
				r.Answered = r.Created.Add(time.Duration(i) * 333 * time.Millisecond)
				r.Ended = r.Answered.Add(time.Duration(i) * 777 * time.Millisecond)
				records = append(records, r)
			}
			write(t, s, records...)
			write(t, s, missed(100), missed(101))
			report := verify(t, db, time.Time{})
			if !report.OK() || report.Acc.Rows != 52 || report.Missed.Rows != 2 || len(report.Acc.Gaps) != 10 {
				t.Errorf("got %+v", report)
			}
			// The longest is that before the last call.
			if g := report.Acc.Gaps[0]; g.Before != report.Acc.Last || g.Before.Sub(g.After) != 9701*time.Second {
				t.Errorf("got %+v, first %v", g, report.Acc.First)
			}
			if d := cmp.Diff([]mysqlacct.Result{{"200", 50}, {"486", 2}}, report.Acc.Results); d != "" {
				t.Error(d)
			}
			if n := verify(t, db, begin.Add(230_000*time.Second)).Acc.Rows; n != 2 {
				t.Errorf("of the last hours: %d rows", n)
			}
			if wantLacks := strings.Contains(name, "OpenSIPS,") && name != "OpenSIPS, upgraded" || name == "OpenSIPS"; wantLacks != (len(report.Acc.Lacks) > 0) {
				t.Errorf("lacks %q", report.Acc.Lacks)
			}
		})
	}
}

// Each kind of fault is found in its row, and in no other.
func TestVerify_Faults(t *testing.T) {
	db := createOpenSIPS(t, mysqltest.DB(t), "utf8mb4")
	insert := func(id int, callid, tag, code string, created, answered string, setup, seconds, ms int) {
		exec(t, db, `INSERT INTO acc (id, method, from_tag, to_tag, callid, sip_code, time, setuptime, created, duration, ms_duration)
			VALUES (?, 'INVITE', 'x7', ?, ?, ?, ?, ?, ?, ?, ?)`, id, tag, callid, code, "2026-11-22 "+answered, setup, "2026-11-22 "+created, seconds, ms)
	}
	insert(1, "a", "t", "200", "10:00:00", "10:00:02", 2, 6, 5070)
	insert(2, "a", "T", "200", "10:00:00", "10:00:02", 2, 72, 71640) // another tag
	insert(3, "A", "t", "200", "10:00:00", "10:00:02", 3, 1, 1000)   // another call
	insert(4, "b", "", "503", "10:00:00", "10:00:02", 2, 0, 0)
	insert(5, "b", "", "503", "10:00:00", "10:00:03", 3, 0, 0) // another attempt
	insert(6, "c", "t", "200", "10:00:00", "10:00:02", 2, 6, 5070)
	insert(7, "c", "t", "200", "10:00:00", "10:00:03", 3, 6, 5070) // written twice
	insert(8, "d", "", "503", "10:00:00", "10:00:02", 2, 0, 0)
	insert(9, "d", "", "503", "10:00:00", "10:00:02", 2, 0, 0) // too
	insert(10, "e", "t", "200", "10:00:00", "10:00:02", 2, 5, 5070)
	insert(11, "f", "t", "200", "10:00:00", "09:00:00", 0, 1, 1)
	insert(12, "g", "t", "200", "10:00:00", "10:00:02", 4, 1, 1)
	insert(13, "h", "", "486", "10:00:00", "10:00:02", 2, 1, 1)
	insert(14, "", "t", "200", "10:00:00", "10:00:02", 2, 1, 1)
	exec(t, db, "INSERT INTO acc (id, callid, from_tag, sip_code, time) VALUES (15, 'i', 'x7', '200', '2026-11-22 10:00:00')")
	exec(t, db, "INSERT INTO missed_calls (id, callid, from_tag, sip_code, time, created) VALUES (1, 'a', 'x', '486', '2026-11-22 10:00:00', '2026-11-22 10:00:02')")

	report := verify(t, db, time.Time{})
	for _, tt := range []struct {
		name string
		got  mysqlacct.Faults
		want []uint64
	}{
		{"duplicates", report.Acc.Duplicates, []uint64{9, 8, 7, 6}},
		{"durations", report.Acc.Durations, []uint64{13, 12, 11, 10}},
		{"incomplete", report.Acc.Incomplete, []uint64{15, 14}},
		{"durations of missed calls", report.Missed.Durations, []uint64{1}},
		{"duplicates of missed calls", report.Missed.Duplicates, []uint64{}},
	} {
		if d := cmp.Diff(tt.want, tt.got.IDs); d != "" || tt.got.Rows != int64(len(tt.want)) {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
	if report.OK() {
		t.Error("it is no good report")
	}
	if !verify(t, db, begin).OK() {
		t.Error("rows that are too old were looked at")
	}
}

// The report is a document for other programs, without null in place of lists.
func TestVerify_JSON(t *testing.T) {
	text, err := json.Marshal(verify(t, create(t, mysqltest.DB(t)), time.Time{}))
	if err != nil {
		t.Fatal(err)
	}
	table := `{"name":"%s","lacks":[],"rows":0,"results":[],"incomplete":{"rows":0,"ids":[]},"duplicates":{"rows":0,"ids":[]},` +
		`"durations":{"rows":0,"ids":[]},"gaps":[]}`
	want := `{"acc":` + fmt.Sprintf(table, "acc") + `,"missed_calls":` + fmt.Sprintf(table, "missed_calls") + `}`
	if got := string(text); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
