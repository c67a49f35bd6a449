package seclog

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Registration is a REGISTER that a PBX has refused.
type Registration struct {
	Time         time.Time
	User, Domain string         // of the AOR
	Source       netip.AddrPort // of the request, never of the answer (P-83)
	UserAgent    string         // empty: none
	Status       int
	Reason       string // the answer's phrase
	Expires      string // the request's header field; what is no number is left out
	Attempts     int    // those of the source that the row stands for; 0 is 1
}

// Knock is a message that was turned away. What is empty is not known.
type Knock struct {
	Time       time.Time
	Domain     string
	Source     netip.AddrPort
	UserAgent  string
	Method     string
	RequestURI string
	Reason     string
	Attempts   int // those of the source that the row stands for; 0 is 1
}

// row is what a table gets.
type row struct {
	table  string
	values []any // in the order of columns, and then the number of attempts
}

func (r Registration) row() row {
	var expires any
	if n, err := strconv.ParseInt(strings.TrimSpace(r.Expires), 10, 64); err == nil {
		expires = n
	}
	return row{Registrations, []any{text(r.User), text(r.Domain), r.Source.Addr().String(), r.Source.Port(),
		optional(r.UserAgent), r.Status, optional(r.Reason), datetime(r.Time), expires, max(1, r.Attempts)}}
}

func (k Knock) row() row {
	return row{Knocks, []any{optional(k.Domain), k.Source.Addr().String(), k.Source.Port(),
		optional(k.UserAgent), text(k.Method), optional(k.RequestURI), k.Reason, datetime(k.Time), max(1, k.Attempts)}}
}

// datetime returns t in local time, as an OpenSIPS on the same machine has it.
func datetime(t time.Time) string { return t.Local().Format(time.DateTime) }

// longest is more than any column holds. Strangers send more, and until it is
// written all of that is in memory.
const longest = 255 * 4

// text returns s as text of a reasonable length. The server cuts it to the column.
func text(s string) string {
	return strings.ToValidUTF8(strings.Clone(s[:min(len(s), longest)]), "?")
}

// optional is text for a column that may be NULL.
func optional(s string) any {
	if s == "" {
		return nil
	}
	return text(s)
}
