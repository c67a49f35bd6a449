package mirror

import (
	"encoding/binary"
	"errors"
	"iter"
	"net/netip"
	"time"

	"github.com/sipward/sipward/location"
)

// entry is what one change does, as the journal has it.
type entry struct {
	aor    location.AOR
	seq    uint64    // counts the entries of a process; given by the journal
	at     time.Time // to the second
	kind   byte
	remove []key
	put    []location.Binding
}

// The kinds of entries.
const (
	change  = 0
	reset   = 1 // a change that drops what else there is
	written = 2 // the backend has all of the AOR up to seq, by the same process
	kinds   = 3
)

func (e *entry) empty() bool { return e.kind == change && len(e.remove) == 0 && len(e.put) == 0 }

// parts returns e as entries that put one binding at most, the first of which has
// all else.
func (e *entry) parts() iter.Seq[entry] {
	return func(yield func(entry) bool) {
		part := *e
		for i := 0; i == 0 || i < len(e.put); i++ {
			part.put = e.put[i:min(i+1, len(e.put))]
			if !yield(part) {
				return
			}
			part.kind, part.remove = change, nil
		}
	}
}

// append appends e in binary: numbers as varints, texts with their lengths. The
// order is that of parse.
func (e *entry) append(b []byte) []byte {
	b = appendText(b, e.aor.User())
	b = appendText(b, e.aor.Domain())
	b = binary.AppendUvarint(b, e.seq)
	b = binary.AppendVarint(b, e.at.Unix())
	b = append(b, e.kind)
	b = binary.AppendUvarint(b, uint64(len(e.remove)))
	for i := range e.remove {
		k := &e.remove[i]
		b = appendText(b, k.contact)
		b = appendText(b, k.instance)
		b = binary.AppendVarint(b, int64(k.regID))
	}
	b = binary.AppendUvarint(b, uint64(len(e.put)))
	for i := range e.put {
		b = appendBinding(b, &e.put[i])
	}
	return b
}

func appendBinding(b []byte, x *location.Binding) []byte {
	for _, text := range [...]string{
		x.Contact, x.Flow.Transport, x.Path, x.CallID, x.Instance, x.UserAgent, x.Token, x.Registrar,
	} {
		b = appendText(b, text)
	}
	b = appendAddr(b, x.Flow.Remote)
	b = appendAddr(b, x.Flow.Local)
	b = binary.AppendVarint(b, int64(x.Q))
	b = binary.AppendUvarint(b, uint64(x.CSeq))
	b = binary.AppendVarint(b, int64(x.RegID))
	b = binary.AppendUvarint(b, uint64(x.Methods))
	b = binary.AppendVarint(b, x.Expires.UnixMicro())
	return binary.AppendVarint(b, x.Updated.UnixMicro())
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// appendAddr appends an address as a text: one that has a zone is rare, and a
// zero one is the empty text.
func appendAddr(b []byte, a netip.AddrPort) []byte {
	var buf [64]byte
	text, _ := a.AppendText(buf[:0]) // addresses have no error
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text...)
}

var errEntry = errors.New("malformed entry")

// parseEntry is the inverse of append. It keeps nothing of b.
func parseEntry(b []byte) (entry, error) {
	p := parser{text: string(b)}
	user, domain := p.next(), p.next()
	e := entry{seq: p.uvarint(), at: time.Unix(p.varint(), 0), kind: p.kind()}
	for range p.count() {
		e.remove = append(e.remove, key{p.next(), p.next(), int(p.varint()), e.at.Unix(), true})
	}
	for range p.count() {
		e.put = append(e.put, p.binding())
	}
	if p.bad || p.text != "" {
		return entry{}, errEntry
	}
	var err error
	e.aor, err = location.MakeAOR(user, domain)
	return e, err
}

// parser takes values off the front of a text. Once that went wrong, all of them
// are zero.
type parser struct {
	text string
	bad  bool
}

func (p *parser) binding() (x location.Binding) {
	for _, text := range [...]*string{
		&x.Contact, &x.Flow.Transport, &x.Path, &x.CallID, &x.Instance, &x.UserAgent, &x.Token, &x.Registrar,
	} {
		*text = p.next()
	}
	x.Flow.Remote, x.Flow.Local = p.addr(), p.addr()
	x.Q = location.Q(p.varint())
	x.CSeq = uint32(p.uvarint())
	x.RegID = int(p.varint())
	x.Methods = location.Methods(p.uvarint())
	x.Expires = time.UnixMicro(p.varint()).UTC()
	x.Updated = time.UnixMicro(p.varint()).UTC()
	return x
}

// next takes a text.
func (p *parser) next() string {
	n := p.uvarint()
	if n > uint64(len(p.text)) {
		p.fail()
		return ""
	}
	s := p.text[:n]
	p.text = p.text[n:]
	return s
}

func (p *parser) addr() (a netip.AddrPort) {
	if err := a.UnmarshalText([]byte(p.next())); err != nil {
		p.fail()
	}
	return a
}

func (p *parser) kind() byte {
	if p.text == "" || p.text[0] >= kinds {
		p.fail()
		return 0
	}
	k := p.text[0]
	p.text = p.text[1:]
	return k
}

// count takes a number of things that have a byte at least.
func (p *parser) count() int {
	n := p.uvarint()
	if n > uint64(len(p.text)) {
		p.fail()
		return 0
	}
	return int(n)
}

func (p *parser) varint() int64 {
	v, n := binary.Varint(p.head())
	p.skip(n)
	return v
}

func (p *parser) uvarint() uint64 {
	v, n := binary.Uvarint(p.head())
	p.skip(n)
	return v
}

// head returns as much as a number can have.
func (p *parser) head() []byte { return []byte(p.text[:min(len(p.text), binary.MaxVarintLen64)]) }

func (p *parser) skip(n int) {
	if n <= 0 {
		p.fail()
		return
	}
	p.text = p.text[n:]
}

func (p *parser) fail() { p.bad, p.text = true, "" }
