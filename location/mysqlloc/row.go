package mysqlloc

import (
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sipward/sipward/location"
)

// ErrValue reports a binding that the table will never hold: a text is too long
// for its column, say. The error's text names the column and its limit. Another
// try is of no use.
var ErrValue = errors.New("value does not fit its column")

// record is what a row means.
type record struct {
	id           uint64
	user, domain string // as the row has them
	aor          location.AOR
	binding      location.Binding
	foreign      kv // what others have in kv_store
}

// permanent is the end of what the column expires can count. OpenSIPS writes 0
// for contacts that never expire.
const permanent = math.MaxUint32

const timeLayout = "2006-01-02 15:04:05"

func (s *Store) decode(r *row) (record, error) {
	values, err := parseKV(r.KV)
	if err != nil {
		return record{}, fmt.Errorf("kv_store: %w", err)
	}
	aor, err := decodeAOR(r, values)
	if err != nil {
		return record{}, err
	}
	flow, err := decodeFlow(r.Received.String, r.Socket.String, values)
	if err != nil {
		return record{}, err
	}
	if r.Contact.String == "" {
		return record{}, errors.New("contact: empty")
	}
	b := location.Binding{
		Contact:   s.exact(values, "contact", r.Contact.String),
		Flow:      flow,
		Path:      s.exact(values, "path", r.Path.String),
		Q:         decodeQ(r.Q),
		CallID:    s.exact(values, "callid", r.CallID.String),
		CSeq:      uint32(r.CSeq.Int64), // which is signed in the table
		Expires:   time.Unix(decodeExpires(r.Expires), 0).UTC(),
		Updated:   s.decodeTime(r.LastModified.String),
		Instance:  s.exact(values, "sip_instance", r.Instance.String),
		RegID:     values.number("reg_id"),
		Methods:   decodeMethods(r.Methods),
		UserAgent: s.exact(values, "user_agent", r.UserAgent.String),
		Token:     values.text("token"),
		Registrar: values.text("registrar"),
	}
	return record{r.ContactID, r.Username.String, r.Domain.String, aor, b, values.foreign()}, nil
}

func decodeAOR(r *row, values kv) (location.AOR, error) {
	if r.Domain.String == "" {
		return location.AOR{}, errors.New("domain: none, so that no tenant has this row")
	}
	user := r.Username.String
	if exact := values.text("user"); exact != "" && columnUser(exact) == user {
		user = exact
	}
	return location.MakeAOR(user, r.Domain.String)
}

func decodeQ(q sql.NullFloat64) location.Q {
	if !q.Valid || q.Float64 < 0 {
		return location.QUnspecified
	}
	return location.Q(math.Round(min(q.Float64, 1)*100) * 10)
}

func decodeExpires(n sql.NullInt64) int64 {
	if n.Int64 == 0 {
		return permanent
	}
	return n.Int64
}

// decodeMethods knows two more spellings of all methods: 32 bits that are all
// set, with and without a sign.
func decodeMethods(n sql.NullInt64) location.Methods {
	if n.Int64 < 0 || n.Int64 >= math.MaxUint32 {
		return 0
	}
	return location.Methods(n.Int64)
}

// decodeTime gives the zero time for a date that is none, such as 0000-00-00:
// only the order of bindings depends on it.
func (s *Store) decodeTime(text string) time.Time {
	t, err := time.ParseInLocation(timeLayout, text, s.cfg.TimeZone)
	if err != nil {
		return time.Time{}
	}
	return t
}

// columnUser returns a user as the column username has it: the blanks at the
// end, which a CHAR column would drop, are escaped.
func columnUser(user string) string {
	kept := strings.TrimRight(user, " ")
	return kept + strings.Repeat("%20", len(user)-len(kept))
}

// columnDomain returns a domain as OpenSIPS has it, which leaves the brackets
// around IPv6 addresses.
func columnDomain(domain string) string {
	if strings.IndexByte(domain, ':') >= 0 {
		return "[" + domain + "]"
	}
	return domain
}

// encoder makes a row of a binding. It collects what does not fit.
type encoder struct {
	columns map[string]column
	kv      kv
	faults  []error
}

// encode appends the values of writtenColumns to args.
func (s *Store) encode(args []any, aor location.AOR, b *location.Binding, foreign kv) ([]any, error) {
	e := encoder{s.columns, slices.Clone(foreign), nil}
	received, socket := e.flow(b.Flow)
	args = append(args,
		e.text("contact", b.Contact),
		e.nullable("received", received),
		e.nullable("path", b.Path),
		e.expires(b.Expires),
		e.q(b.Q),
		e.text("callid", b.CallID),
		b.CSeq,
		b.Updated.In(s.cfg.TimeZone).Format(timeLayout),
		e.text("user_agent", b.UserAgent),
		e.nullable("socket", socket),
		sql.NullInt64{Int64: int64(b.Methods), Valid: b.Methods != 0},
		e.nullable("sip_instance", b.Instance),
	)
	if user := aor.User(); columnUser(user) != user {
		e.kv.setText("user", user)
	}
	e.kv.setText("token", b.Token)
	e.kv.setText("registrar", b.Registrar)
	e.kv.setNumber("reg_id", b.RegID)
	args = append(args, e.nullable("kv_store", e.kv.String()))
	if b.Contact == "" {
		e.fault("%w: contact is empty", ErrValue)
	}
	e.fits("username", columnUser(aor.User()))
	e.fits("domain", columnDomain(aor.Domain()))
	return args, errors.Join(e.faults...)
}

// text returns what a column gets of a text. If that is not all of it then the
// text is kept in kv_store too, and counts for as long as the column has not
// been changed by others.
func (e *encoder) text(name, text string) string {
	held := e.columns[name].hold(text)
	e.fits(name, held)
	if held != text {
		e.kv.setText(name, text)
	}
	return held
}

// exact is the inverse of text: a text whole, of which a column holds this.
func (s *Store) exact(values kv, name, held string) string {
	text := values.text(name)
	if text != "" && strings.TrimRight(s.columns[name].hold(text), " ") == strings.TrimRight(held, " ") {
		return text
	}
	return held
}

// hold returns what c gets of a text. Of a user agent that is what fits: nobody is
// reached by it, and some are long.
func (c column) hold(text string) string {
	held := strings.ToValidUTF8(text, "?")
	if c.name == "user_agent" {
		held = c.cut(held)
	}
	if c.pads {
		held = strings.TrimRight(held, " ")
	}
	return held
}

func (c column) cut(text string) string {
	size := int64(0)
	for i, r := range text {
		if size++; c.long {
			size = int64(i + utf8.RuneLen(r))
		}
		if size > c.limit {
			return text[:i]
		}
	}
	return text
}

func (e *encoder) nullable(name, text string) sql.NullString {
	held := e.text(name, text)
	return sql.NullString{String: held, Valid: held != ""}
}

func (e *encoder) fits(name, text string) {
	c := e.columns[name]
	size, unit := int64(utf8.RuneCountInString(text)), "characters"
	if c.long {
		size, unit = int64(len(text)), "bytes"
	}
	if size > c.limit {
		e.fault("%w: %s has %d %s, at most %d fit", ErrValue, name, size, unit, c.limit)
	}
}

func (e *encoder) fault(format string, args ...any) {
	e.faults = append(e.faults, fmt.Errorf(format, args...))
}

func (e *encoder) expires(t time.Time) int64 {
	n := t.Unix()
	if n < 1 {
		e.fault("%w: expires is %v, which is before 1970", ErrValue, t)
	}
	if n >= permanent {
		return 0
	}
	return n
}

func (e *encoder) q(q location.Q) float64 {
	if q == location.QUnspecified {
		return -1
	}
	if q < 0 || q > 1000 {
		e.fault("%w: q is %d thousandths", ErrValue, q)
	}
	return float64((q+5)/10) / 100
}

// flow returns the columns received and socket. What they do not tell is kept
// in kv_store, under the same condition as a text is.
func (e *encoder) flow(f location.Flow) (received, socket string) {
	received, socket = columnFlow(f)
	if back, err := decodeFlow(received, socket, nil); err != nil || back != f {
		e.kv.setText("flow", flowText(f))
	}
	return received, socket
}
