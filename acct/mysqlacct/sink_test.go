package mysqlacct_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sipward/sipward/acct"
	"github.com/sipward/sipward/acct/mysqlacct"
	"github.com/sipward/sipward/internal/mysqltest"
)

// kinds are records of all kinds, in the order of their IDs.
func kinds() []acct.Record {
	lost := call(2)
	lost.Cause, lost.End, lost.NoACK, lost.Ended = acct.Lost, acct.Timeout, true, lost.Answered
	refused := missed(4) // by a PBX, so that no phone has missed it
	refused.Direction = acct.FromPhone
	return []acct.Record{call(1), lost, missed(3), refused}
}

const openSIPSColumns = "method from_tag to_tag callid sip_code sip_reason time setuptime created"

// R7.1, P-40, P-41: one row a call in acc, and in missed_calls one that a phone
// has missed. Setuptime is the difference of the two columns, duration is
// rounded up.
func TestSink_Write(t *testing.T) {
	for name, db := range databases(t) {
		t.Run(name, func(t *testing.T) {
			write(t, open(t, db), kinds()...)
			wantRows(t, db, "acc", openSIPSColumns+" duration ms_duration from_uri to_uri",
				"INVITE x7 as5d call-1@10.1.2.3 200 OK 2026-11-22 17:04:08 3 2026-11-22 17:04:05 6 5070 sip:201@a.example sip:9@a.example",
				"INVITE x7 as5d call-2@10.1.2.3 200 OK 2026-11-22 17:04:08 3 2026-11-22 17:04:05 0 0 sip:201@a.example sip:9@a.example",
				"INVITE x7  call-3@10.1.2.3 486 Busy Here 2026-11-22 17:04:13 8 2026-11-22 17:04:05 0 0 sip:201@a.example sip:9@a.example",
				"INVITE x7  call-4@10.1.2.3 486 Busy Here 2026-11-22 17:04:13 8 2026-11-22 17:04:05 0 0 sip:201@a.example sip:9@a.example")
			wantRows(t, db, "missed_calls", openSIPSColumns,
				"INVITE x7  call-3@10.1.2.3 486 Busy Here 2026-11-22 17:04:13 8 2026-11-22 17:04:05")
		})
	}
}

func TestSink_WriteOptionalColumns(t *testing.T) {
	db := create(t, mysqltest.DB(t))
	write(t, open(t, db), kinds()...)
	const columns = "domain setid src_ip dst_ip backend direction user_agent callee_agent cause end_reason no_ack record_id"
	wantRows(t, db, "acc", columns,
		"a.example 10 203.0.113.5 10.0.1.10 10.0.1.10:5060 from_phone Snom Asterisk answered caller 0 019ab0000000abcdef12340000000001",
		"a.example 10 203.0.113.5 10.0.1.10 10.0.1.10:5060 from_phone Snom Asterisk lost timeout 1 019ab0000000abcdef12340000000002",
		"a.example 10 10.0.1.10 203.0.113.5 10.0.1.10:5060 to_phone Snom  busy unanswered 0 019ab0000000abcdef12340000000003",
		"a.example 10 10.0.1.10 203.0.113.5 203.0.113.5:40123 from_phone Snom  busy unanswered 0 019ab0000000abcdef12340000000004")
	wantRows(t, db, "missed_calls", columns+" from_uri to_uri",
		"a.example 10 10.0.1.10 203.0.113.5 10.0.1.10:5060 to_phone Snom  busy unanswered 0 019ab0000000abcdef12340000000003 sip:201@a.example sip:9@a.example")
}

func TestSink_Config(t *testing.T) {
	db := create(t, mysqltest.DB(t))
	exec(t, db, "RENAME TABLE acc TO cdr, missed_calls TO missed")
	exec(t, db, "UPDATE version SET table_name = IF(table_name = 'acc', 'cdr', 'missed') WHERE table_name <> 'dialog'")
	s, err := mysqlacct.New(t.Context(), db, mysqlacct.Config{Table: "cdr", MissedTable: "missed", TimeZone: time.FixedZone("", 3600)})
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, kinds()...)
	wantRows(t, db, "cdr", "callid time created", // without those that were not answered
		"call-1@10.1.2.3 2026-11-22 18:04:08 2026-11-22 18:04:05", "call-2@10.1.2.3 2026-11-22 18:04:08 2026-11-22 18:04:05")
	wantRows(t, db, "missed", "callid time", "call-3@10.1.2.3 2026-11-22 18:04:13")
}

// P-70: no text fails an insert, whatever the table is like and however strict
// the server.
func TestSink_HostileTexts(t *testing.T) {
	texts := []string{
		strings.Repeat("x", 255), strings.Repeat("é", 512), strings.Repeat("\U0001F600", 300), "nul\x00nul", "bad\xff\xfeutf8",
		`'"\%;-- ` + "`", "?", "trailing   ", "", "\r\n\t\u20ac\u0080",
	}
	for name, db := range databases(t) {
		t.Run(name, func(t *testing.T) {
			s := open(t, db)
			var records []acct.Record
			for i, text := range texts {
				r := missed(i)
				r.CallID, r.FromTag, r.ToTag, r.FromURI, r.ToURI, r.Reason = text, text, text, text, text, text
				r.Domain, r.CallerAgent, r.CalleeAgent = text, text, text
				r.Answered = time.Time{}
				r.SetID, r.Ended = math.MaxInt32, begin.Add(100*365*24*time.Hour)
				records = append(records, r)
				r.ID, r.Answered = "019ab0000000abcdef12350000000"+fmt.Sprintf("%03d", i), begin
				records = append(records, r)
			}
			write(t, s, records...)
			if n, m := count(t, db, "acc"), count(t, db, "missed_calls"); n != 2*len(texts) || m != len(texts) {
				t.Errorf("got %d and %d rows", n, m)
			}
			for _, line := range strings.Split(rows(t, db, "acc", "sip_reason"), "\n") {
				if !utf8.ValidString(line) {
					t.Errorf("got reason %q", line)
				}
			}
			// They are known again too.
			write(t, open(t, db), records...)
			if n, m := count(t, db, "acc"), count(t, db, "missed_calls"); n != 2*len(texts) || m != len(texts) {
				t.Errorf("the second time: got %d and %d rows", n, m)
			}
		})
	}
}

// P-70: what is cut is cut at the column's width, in characters.
func TestSink_Cuts(t *testing.T) {
	db := createOpenSIPS(t, mysqltest.DB(t), "utf8mb4")
	exec(t, db, "ALTER TABLE acc ADD COLUMN user_agent TINYTEXT")
	r := call(1)
	r.CallID, r.Reason, r.CallerAgent = strings.Repeat("é", 255), strings.Repeat("\U0001F600", 200), strings.Repeat("é", 200)
	write(t, open(t, db), r)
	wantRows(t, db, "acc", "callid sip_reason user_agent",
		strings.Repeat("é", 64)+" "+strings.Repeat("\U0001F600", 32)+" "+strings.Repeat("é", 127))
}

// A record that comes again is there once, in whatever company it comes: by its
// record_id, or else by looking.
func TestSink_WritesOnce(t *testing.T) {
	for name, db := range databases(t) {
		t.Run(name, func(t *testing.T) {
			all := kinds()
			s := open(t, db)
			write(t, s, all[0], all[2])
			s = open(t, db) // the program does not know what the last one has achieved
			write(t, s, all...)
			write(t, s, call(5))
			if n, m := count(t, db, "acc"), count(t, db, "missed_calls"); n != 5 || m != 1 {
				t.Errorf("got %d and %d rows", n, m)
			}
			// Two phones have answered: two dialogs.
			other := call(1)
			other.ID, other.ToTag = "019ab0000000abcdef12340000000009", "other"
			write(t, open(t, db), all[0], other)
			if n := count(t, db, "acc"); n != 6 {
				t.Errorf("got %d rows, want 6", n)
			}
		})
	}
}

// A table that is changed while the program runs costs nothing.
func TestSink_TableChanges(t *testing.T) {
	db := create(t, mysqltest.DB(t))
	s := open(t, db)
	write(t, s, call(1))
	exec(t, db, "UPDATE acc SET sip_reason = 'O'")
	exec(t, db, "ALTER TABLE acc DROP COLUMN domain, MODIFY sip_reason CHAR(1) NOT NULL")
	if err := s.Write(t.Context(), []acct.Record{call(2)}); err == nil || errors.Is(err, acct.ErrRejected) {
		t.Errorf("got error %v", err)
	}
	write(t, s, call(2))
	exec(t, db, "ALTER TABLE acc DROP COLUMN created")
	for range 2 {
		if err := s.Write(t.Context(), []acct.Record{call(3)}); err == nil || errors.Is(err, acct.ErrRejected) {
			t.Errorf("got error %v", err)
		} else if t.Log(err); !strings.Contains(err.Error(), "created") {
			t.Errorf("got error %v", err)
		}
	}
	exec(t, db, "ALTER TABLE acc ADD COLUMN created DATETIME")
	write(t, s, call(3))
	wantRows(t, db, "acc", "callid sip_reason", "call-1@10.1.2.3 O", "call-2@10.1.2.3 O", "call-3@10.1.2.3 O")
}

// What a constraint refuses is rejected, once it is sure that the table has not
// just been changed.
func TestSink_Rejected(t *testing.T) {
	db := create(t, mysqltest.DB(t))
	exec(t, db, "ALTER TABLE acc ADD CONSTRAINT nobody_calls_9 CHECK (to_uri <> 'sip:9@a.example')")
	s := open(t, db)
	for range 2 {
		if err := s.Write(t.Context(), []acct.Record{call(1)}); !errors.Is(err, acct.ErrRejected) {
			t.Errorf("got error %v", err)
		}
	}
	r := call(2)
	r.ToURI = "sip:8@a.example"
	write(t, s, r)
	if err := s.Write(t.Context(), []acct.Record{call(1)}); err == nil || errors.Is(err, acct.ErrRejected) {
		t.Errorf("at the first attempt: got error %v", err)
	}
}
