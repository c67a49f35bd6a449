package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Store is where bindings are kept.
type Store string

const (
	StoreAuto   Store = "auto" // StoreCached with a database, StoreMemory without
	StoreMemory Store = "memory"
	StoreMySQL  Store = "mysql"
	StoreCached Store = "cached" // the database behind a write-through cache
)

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *Store) UnmarshalText(text []byte) error {
	return oneOf(s, text, StoreAuto, StoreMemory, StoreMySQL, StoreCached)
}

// Bindings returns where bindings are kept: Store, or what [StoreAuto] stands
// for.
func (c *Config) Bindings() Store {
	switch {
	case c.Store != StoreAuto:
		return c.Store
	case c.Database != "":
		return StoreCached
	default:
		return StoreMemory
	}
}

// Contact is the Contact that a PBX is given in a relayed REGISTER.
type Contact string

const (
	ContactOwn      Contact = "own"      // one of the proxy; the phone sees its own in the answer
	ContactPreserve Contact = "preserve" // the phone's
)

// UnmarshalText implements [encoding.TextUnmarshaler].
func (c *Contact) UnmarshalText(text []byte) error {
	return oneOf(c, text, ContactOwn, ContactPreserve)
}

// Fork is the order in which the phones of one AOR are called.
type Fork string

const (
	ForkParallel Fork = "parallel" // all at once
	ForkSerial   Fork = "serial"   // one after the other, by q
	ForkNewest   Fork = "newest"   // only the one that registered last
)

// UnmarshalText implements [encoding.TextUnmarshaler].
func (f *Fork) UnmarshalText(text []byte) error {
	return oneOf(f, text, ForkParallel, ForkSerial, ForkNewest)
}

// Probe is when destinations are probed with OPTIONS.
type Probe string

const (
	ProbeAlways Probe = "always"
	ProbeTable  Probe = "table" // as the column probe_mode of the database says
	ProbeNever  Probe = "never"
)

// UnmarshalText implements [encoding.TextUnmarshaler].
func (p *Probe) UnmarshalText(text []byte) error {
	return oneOf(p, text, ProbeAlways, ProbeTable, ProbeNever)
}

// Reply is the status of an answer, such as 404, or by its first digit all that
// begin so.
type Reply int

// Has reports whether a status is meant.
func (r Reply) Has(status int) bool { return int(r) == status || int(r) == status/100 }

// String returns the status, or the class as in 4xx.
func (r Reply) String() string {
	if r < 10 {
		return strconv.Itoa(int(r)) + "xx"
	}
	return strconv.Itoa(int(r))
}

// MarshalText implements [encoding.TextMarshaler].
func (r Reply) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. It takes final answers.
func (r *Reply) UnmarshalText(text []byte) error {
	digits, class := strings.CutSuffix(string(text), "xx")
	n, err := strconv.Atoi(digits)
	least, most := 200, 699
	if class {
		least, most = 2, 6
	}
	if err != nil || n < least || n > most {
		return fmt.Errorf("%q is neither a status from 200 to 699 nor a class such as 2xx", text)
	}
	*r = Reply(n)
	return nil
}

// AllDown is what becomes of requests for a set of which no PBX is alive.
type AllDown string

const (
	AllDownTry    AllDown = "try"    // they are sent all the same: it may be the probes that fail
	AllDownRefuse AllDown = "refuse" // 503
)

// UnmarshalText implements [encoding.TextUnmarshaler].
func (a *AllDown) UnmarshalText(text []byte) error {
	return oneOf(a, text, AllDownTry, AllDownRefuse)
}

// SDP is when the addresses in the SDP of phones are repaired.
type SDP string

const (
	SDPOff   SDP = "off"
	SDPAuto  SDP = "auto"  // private addresses of phones behind NAT
	SDPForce SDP = "force" // always
)

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *SDP) UnmarshalText(text []byte) error {
	return oneOf(s, text, SDPOff, SDPAuto, SDPForce)
}

// Ping is what keeps the NAT bindings of phones open.
type Ping string

const (
	PingOff     Ping = "off"
	PingOptions Ping = "options"
	PingCRLF    Ping = "crlf"
)

// UnmarshalText implements [encoding.TextUnmarshaler].
func (p *Ping) UnmarshalText(text []byte) error {
	return oneOf(p, text, PingOff, PingOptions, PingCRLF)
}

// AcctTo is where call records go.
type AcctTo string

const (
	AcctAuto  AcctTo = "auto" // AcctMySQL with a database, AcctOff without
	AcctMySQL AcctTo = "mysql"
	AcctJSON  AcctTo = "json"
	AcctOff   AcctTo = "off"
)

// UnmarshalText implements [encoding.TextUnmarshaler].
func (a *AcctTo) UnmarshalText(text []byte) error {
	return oneOf(a, text, AcctAuto, AcctMySQL, AcctJSON, AcctOff)
}

// Calls returns where call records go: Acct.To, or what [AcctAuto] stands for.
func (c *Config) Calls() AcctTo {
	switch {
	case c.Acct.To != AcctAuto:
		return c.Acct.To
	case c.Database != "":
		return AcctMySQL
	default:
		return AcctOff
	}
}

// UnknownSource is what becomes of an INVITE that no PBX has sent and that names
// a user at the proxy's own address and no domain.
type UnknownSource string

const (
	SourceRefuse UnknownSource = "refuse"
	SourceUnique UnknownSource = "unique" // it rings if one tenant of all has that user
)

// UnmarshalText implements [encoding.TextUnmarshaler].
func (u *UnknownSource) UnmarshalText(text []byte) error {
	return oneOf(u, text, SourceRefuse, SourceUnique)
}

// LogFormat is how log records are written.
type LogFormat string

const (
	LogAuto LogFormat = "auto" // LogText on a terminal, LogJSON otherwise
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// UnmarshalText implements [encoding.TextUnmarshaler].
func (f *LogFormat) UnmarshalText(text []byte) error {
	return oneOf(f, text, LogAuto, LogText, LogJSON)
}

// oneOf sets dst to the word that text is, if it is one of words.
func oneOf[T ~string](dst *T, text []byte, words ...T) error {
	list := make([]string, len(words))
	for i, w := range words {
		if string(w) == string(text) {
			*dst = w
			return nil
		}
		list[i] = string(w)
	}
	return fmt.Errorf("%q is not one of %s", text, strings.Join(list, ", "))
}

// Status is the status code that a request is refused with. The zero Status is
// [Silent].
type Status int

// Silent is no answer at all.
const Silent Status = 0

// String returns the code, or "silent".
func (s Status) String() string {
	if s == Silent {
		return "silent"
	}
	return strconv.Itoa(int(s))
}

// MarshalText implements [encoding.TextMarshaler].
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. It takes codes from 400
// to 699: nothing that could be mistaken for a phone that answers.
func (s *Status) UnmarshalText(text []byte) error {
	if string(text) == "silent" {
		*s = Silent
		return nil
	}
	code, err := strconv.Atoi(string(text))
	if err != nil || code < 400 || code > 699 {
		return fmt.Errorf("%q is neither a status from 400 to 699 nor silent", text)
	}
	*s = Status(code)
	return nil
}

// Refusal is how a request from a stranger is refused: with 403, with 404, or
// not at all. The zero Refusal is [Drop].
type Refusal int

// Drop is no answer at all.
const Drop Refusal = 0

// String returns the status code, or "drop".
func (r Refusal) String() string {
	if r == Drop {
		return "drop"
	}
	return strconv.Itoa(int(r))
}

// MarshalText implements [encoding.TextMarshaler].
func (r Refusal) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (r *Refusal) UnmarshalText(text []byte) error {
	switch string(text) {
	case "drop":
		*r = Drop
	case "403":
		*r = 403
	case "404":
		*r = 404
	default:
		return fmt.Errorf("%q is not one of drop, 403, 404", text)
	}
	return nil
}
