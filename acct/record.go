package acct

import (
	"net/netip"
	"time"
)

// Record is one call, answered or not. Its texts are as received, but for those
// that are too long: each has 512 bytes at most. Times are in UTC.
type Record struct {
	// ID is the record's own: no other one, of any program at any time, has it.
	// It is 32 hexadecimal digits, and those of later calls are greater, by the
	// millisecond.
	ID string `json:"id"`

	// CallID, FromTag and ToTag are those of the dialog (RFC 3261 section 12).
	// ToTag is empty if nobody answered. Of more than 512 bytes only the first
	// are here, with a hash of all of them.
	CallID  string `json:"call_id"`
	FromTag string `json:"from_tag"`
	ToTag   string `json:"to_tag,omitempty"`

	FromURI string `json:"from_uri"` // of the initial INVITE, as is ToURI
	ToURI   string `json:"to_uri"`

	SetID     int       `json:"setid"`
	Domain    string    `json:"domain"` // of the tenant
	Direction Direction `json:"direction"`

	Source      netip.AddrPort `json:"source,omitzero"`      // of the initial INVITE
	Destination netip.AddrPort `json:"destination,omitzero"` // of the leg that counted

	CallerAgent string `json:"caller_agent,omitempty"` // User-Agent of the INVITE
	CalleeAgent string `json:"callee_agent,omitempty"` // User-Agent or Server of the answer

	Attempts int    `json:"attempts"` // legs that were begun, those that led to a challenge not counted
	Code     int    `json:"code"`     // of the final response
	Reason   string `json:"reason"`   // its phrase
	Cause    Cause  `json:"cause"`
	End      End    `json:"end,omitzero"`
	NoACK    bool   `json:"no_ack,omitempty"` // answered, but the ACK for the 2xx was never seen

	Created  time.Time `json:"created"`           // first INVITE
	Rang     time.Time `json:"rang,omitzero"`     // first provisional response but 100; zero if none
	Answered time.Time `json:"answered,omitzero"` // 2xx; zero if none
	// Ended is when the call was over: the BYE, the final response, or the last
	// sign of life of a lost one. It is zero for a call that is still open.
	Ended time.Time `json:"ended,omitzero"`
}

// Duration returns how long the call was up; 0 if it was not answered.
func (r *Record) Duration() time.Duration {
	if r.Answered.IsZero() || r.Ended.IsZero() {
		return 0
	}
	return max(0, r.Ended.Sub(r.Answered))
}

// Milliseconds returns the duration in whole milliseconds.
func (r *Record) Milliseconds() int64 { return r.Duration().Milliseconds() }

// Seconds returns the duration as it is billed: its milliseconds rounded up to
// seconds.
func (r *Record) Seconds() int64 { return (r.Milliseconds() + 999) / 1000 }

// Setup returns how long it took until the call was answered, or was over if it
// never was.
func (r *Record) Setup() time.Duration {
	until := r.Answered
	if until.IsZero() {
		until = r.Ended
	}
	if until.IsZero() {
		return 0
	}
	return max(0, until.Sub(r.Created))
}

// PBX returns the address of the call's end that is a PBX.
func (r *Record) PBX() netip.AddrPort {
	if r.Direction == ToPhone {
		return r.Source
	}
	return r.Destination
}

// Missed reports whether this is a call that a phone's user has missed: one to
// a phone that was not answered.
func (r *Record) Missed() bool { return r.Direction == ToPhone && r.Answered.IsZero() }

// Direction says on which side of the proxy the caller is.
type Direction uint8

// The directions.
const (
	FromPhone Direction = iota // a phone calls by its PBX
	ToPhone                    // a PBX calls a phone
)

// String returns the direction as a word.
func (d Direction) String() string {
	if d == ToPhone {
		return "to_phone"
	}
	return "from_phone"
}

// MarshalText implements [encoding.TextMarshaler].
func (d Direction) MarshalText() ([]byte, error) { return []byte(d.String()), nil }
