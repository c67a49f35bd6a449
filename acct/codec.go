package acct

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"
)

// What the entries of a journal say. The first byte of each is its kind.
const (
	kindOpen     = 1 + iota // the state of a call that is open
	kindDrop                // a call that is open no more and has no record: its ID
	kindDone                // a record, the end of its call
	kindPosition            // how far a sink has come
)

var errEntry = errors.New("malformed entry")

// encoder appends values to an entry. Numbers are varints, texts have their
// length before them, times are microseconds with 0 for none.
type encoder []byte

func (e *encoder) byte(b byte)   { *e = append(*e, b) }
func (e *encoder) uint(n uint64) { *e = binary.AppendUvarint(*e, n) }
func (e *encoder) int(n int64)   { *e = binary.AppendVarint(*e, n) }
func (e *encoder) text(s string) { e.uint(uint64(len(s))); *e = append(*e, s...) }
func (e *encoder) time(t time.Time) {
	if t.IsZero() {
		e.int(0)
		return
	}
	e.int(t.UnixMicro())
}

func (e *encoder) addr(a netip.AddrPort) {
	var buf [64]byte // an address, its zone if that is a short one, and the port
	raw, _ := a.AppendBinary(buf[:0])
	e.uint(uint64(len(raw)))
	*e = append(*e, raw...)
}

func (e *encoder) record(r *Record) {
	for _, s := range r.texts() {
		e.text(*s)
	}
	for _, t := range r.times() {
		e.time(*t)
	}
	e.int(int64(r.SetID))
	e.int(int64(r.Attempts))
	e.int(int64(r.Code))
	e.byte(byte(r.Direction))
	e.byte(byte(r.Cause))
	e.byte(byte(r.End))
	e.bool(r.NoACK)
	e.addr(r.Source)
	e.addr(r.Destination)
}

func (e *encoder) bool(b bool) {
	if b {
		e.byte(1)
	} else {
		e.byte(0)
	}
}

// texts returns the texts of a record in their order in an entry.
func (r *Record) texts() [10]*string {
	return [...]*string{
		&r.ID, &r.CallID, &r.FromTag, &r.ToTag, &r.FromURI, &r.ToURI, &r.Domain, &r.CallerAgent, &r.CalleeAgent, &r.Reason,
	}
}

// times returns the times of a record in their order in an entry.
func (r *Record) times() [4]*time.Time {
	return [...]*time.Time{&r.Created, &r.Rang, &r.Answered, &r.Ended}
}

// decoder takes values off an entry. After a fault all values are zero. Its
// texts are parts of the entry.
type decoder struct {
	rest string
	bad  bool
}

func (d *decoder) fail() {
	d.rest, d.bad = "", true
}

func (d *decoder) bytes(n uint64) string {
	if n > uint64(len(d.rest)) {
		d.fail()
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) byte() byte {
	if s := d.bytes(1); s != "" {
		return s[0]
	}
	return 0
}

func (d *decoder) bool() bool {
	b := d.byte()
	if b > 1 {
		d.fail()
	}
	return b == 1
}

func (d *decoder) uint() uint64 {
	var buf [binary.MaxVarintLen64]byte
	n, size := binary.Uvarint(buf[:copy(buf[:], d.rest)])
	if size <= 0 || size > 1 && buf[size-1] == 0 { // one that is longer than it need be is not ours
		d.fail()
		return 0
	}
	d.bytes(uint64(size))
	return n
}

// int undoes what AppendVarint does to have a sign.
func (d *decoder) int() int64 {
	n := d.uint()
	return int64(n>>1) ^ -int64(n&1)
}

func (d *decoder) text() string { return d.bytes(d.uint()) }

func (d *decoder) time() time.Time {
	if n := d.int(); n != 0 {
		return time.UnixMicro(n).UTC()
	}
	return time.Time{}
}

func (d *decoder) addr() (a netip.AddrPort) {
	raw := d.text()
	if raw == "" {
		return a
	}
	if a.UnmarshalBinary([]byte(raw)) != nil {
		d.fail()
	}
	return a
}

func (d *decoder) record() (r Record) {
	for _, s := range r.texts() {
		*s = d.text()
	}
	for _, t := range r.times() {
		*t = d.time()
	}
	r.SetID = int(d.int())
	r.Attempts = int(d.int())
	r.Code = int(d.int())
	r.Direction = Direction(d.byte())
	r.Cause = Cause(d.byte())
	r.End = End(d.byte())
	r.NoACK = d.bool()
	r.Source = d.addr()
	r.Destination = d.addr()
	return r
}

// err returns the fault of an entry that has been decoded, if there was one.
func (d *decoder) err() error {
	if d.bad || d.rest != "" {
		return errEntry
	}
	return nil
}

// call appends the state of an open call.
func (e *encoder) call(c *Call) {
	e.byte(kindOpen)
	e.time(c.last)
	e.int(int64(c.session))
	e.record(&c.rec)
}

// call returns a Call with the state that an entry, without its kind, has.
func (d *decoder) call() *Call {
	return &Call{last: d.time(), session: time.Duration(d.int()), rec: d.record()}
}

// position is how far a sink has come.
type position struct {
	pos uint64 // in the journal: all records before it are done with
	seq uint64 // number of the last one
}

func (e *encoder) position(sink string, p position) {
	e.byte(kindPosition)
	e.text(sink)
	e.uint(p.pos)
	e.uint(p.seq)
}

func (d *decoder) position() (sink string, p position) {
	return d.text(), position{d.uint(), d.uint()}
}
