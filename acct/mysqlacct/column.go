package mysqlacct

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sipward/sipward/acct"
)

// column is a column of acc or missed_calls, and what it has of a record: a
// text, a number or nil.
type column struct {
	name    string
	needed  bool   // the table must have it
	accOnly bool   // missed_calls does not have it
	added   string // the type with which Create adds it, if it is not needed
	value   func(s *Sink, r *acct.Record) any
}

// recordID is the column by which a record is known again.
const recordID = "record_id"

// columns returns all that this package can fill.
func columns() []column {
	need := func(name string, value func(*Sink, *acct.Record) any) column {
		return column{name: name, needed: true, value: value}
	}
	acc := func(name string, value func(*Sink, *acct.Record) any) column {
		return column{name: name, needed: true, accOnly: true, value: value}
	}
	more := func(name, typ string, value func(*Sink, *acct.Record) any) column {
		return column{name: name, added: typ, value: value}
	}
	return []column{
		need("method", func(*Sink, *acct.Record) any { return "INVITE" }),
		need("from_tag", func(_ *Sink, r *acct.Record) any { return r.FromTag }),
		need("to_tag", func(_ *Sink, r *acct.Record) any { return r.ToTag }),
		need("callid", func(_ *Sink, r *acct.Record) any { return r.CallID }),
		need("sip_code", func(_ *Sink, r *acct.Record) any { return strconv.Itoa(r.Code) }),
		need("sip_reason", func(_ *Sink, r *acct.Record) any { return r.Reason }),
		need("time", func(s *Sink, r *acct.Record) any { return s.datetime(timeOf(r)) }),
		need("setuptime", func(_ *Sink, r *acct.Record) any { return max(0, timeOf(r).Unix()-r.Created.Unix()) }),
		need("created", func(s *Sink, r *acct.Record) any { return s.datetime(r.Created) }),
		acc("duration", func(_ *Sink, r *acct.Record) any { return min(r.Seconds(), math.MaxUint32) }),
		acc("ms_duration", func(_ *Sink, r *acct.Record) any { return min(r.Milliseconds(), math.MaxUint32) }),

		more("from_uri", "VARCHAR(255) DEFAULT NULL", func(_ *Sink, r *acct.Record) any { return r.FromURI }),
		more("to_uri", "VARCHAR(255) DEFAULT NULL", func(_ *Sink, r *acct.Record) any { return r.ToURI }),
		more("domain", "VARCHAR(255) DEFAULT NULL", func(_ *Sink, r *acct.Record) any { return r.Domain }),
		more("setid", "INT DEFAULT NULL", func(_ *Sink, r *acct.Record) any { return r.SetID }),
		more("src_ip", "VARCHAR(64) DEFAULT NULL", func(_ *Sink, r *acct.Record) any { return valid(r.Source.Addr()) }),
		more("dst_ip", "VARCHAR(64) DEFAULT NULL", func(_ *Sink, r *acct.Record) any { return valid(r.Destination.Addr()) }),
		more("backend", "VARCHAR(64) DEFAULT NULL", func(_ *Sink, r *acct.Record) any { return valid(r.PBX()) }),
		more("direction", "VARCHAR(16) DEFAULT NULL", func(_ *Sink, r *acct.Record) any { return r.Direction.String() }),
		more("user_agent", "VARCHAR(255) DEFAULT NULL", func(_ *Sink, r *acct.Record) any { return r.CallerAgent }),
		more("callee_agent", "VARCHAR(255) DEFAULT NULL", func(_ *Sink, r *acct.Record) any { return r.CalleeAgent }),
		more("cause", "VARCHAR(16) DEFAULT NULL", func(_ *Sink, r *acct.Record) any { return r.Cause.String() }),
		more("end_reason", "VARCHAR(16) DEFAULT NULL", func(_ *Sink, r *acct.Record) any { return r.End.String() }),
		more("no_ack", "TINYINT DEFAULT NULL", func(_ *Sink, r *acct.Record) any { return r.NoACK }),
		more(recordID, "CHAR(32) CHARACTER SET ascii DEFAULT NULL", func(_ *Sink, r *acct.Record) any { return r.ID }),
	}
}

// timeOf returns when the call was answered, as OpenSIPS has it in the column
// time, or over.
func timeOf(r *acct.Record) time.Time {
	if r.Answered.IsZero() {
		return r.Ended
	}
	return r.Answered
}

// valid returns the text of an address, nil if it is none.
func valid[T interface {
	IsValid() bool
	String() string
}](a T) any {
	if !a.IsValid() {
		return nil
	}
	return a.String()
}

const timeLayout = "2006-01-02 15:04:05"

func (s *Sink) datetime(t time.Time) string { return t.In(s.cfg.TimeZone).Format(timeLayout) }

// text is what a column can hold of a text.
type text struct {
	limit   int  // of characters, or of bytes if long is set
	long    bool // of the TEXT types
	charset string
}

// fit returns of s what the column can hold: nothing that a server in strict
// mode would refuse.
func (c text) fit(s string) string {
	s = strings.Map(c.hold, strings.ToValidUTF8(s, "?"))
	if c.long {
		return cutBytes(s, c.limit)
	}
	n := 0
	for i := range s {
		if n == c.limit {
			return s[:i]
		}
		n++
	}
	return s
}

// hold returns r, or what stands for it where the character set lacks it.
func (c text) hold(r rune) rune {
	var held bool
	switch c.charset {
	case "utf8mb4", "": // or bytes
		held = true
	case "utf8mb3", "utf8":
		held = r <= 0xFFFF
	case "latin1": // which is cp1252
		held = r < 0x80 || r >= 0xA0 && r <= 0xFF
	default:
		held = r < 0x80
	}
	if !held {
		return '?'
	}
	return r
}

// cutBytes returns at most n bytes of s, and no half character.
func cutBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
