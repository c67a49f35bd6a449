package sipmsg

import (
	"strconv"
	"strings"
)

// edit puts text in place of a part of the original.
type edit struct {
	at     Span
	insert bool // at is a place, not a part
	eol    bool // a line end follows the text
	text   string
}

// before orders edits by place. What is inserted comes before what is replaced
// there, and what is replaced before its parts.
func (e *edit) before(o *edit) bool {
	switch {
	case e.at.Start != o.at.Start:
		return e.at.Start < o.at.Start
	case e.insert || o.insert:
		return e.insert && !o.insert
	}
	return e.at.End > o.at.End
}

// Patch lists the changes that a proxy makes to one message and writes the
// changed copy; everything else stays byte for byte (R1), but that a message
// without a Content-Length gets one, so that it can go over a stream (RFC 3261
// section 16.6 step 9). The original is never touched, so any number of
// patches can be applied to one message: that is how a request is forked (R8).
//
// All changes refer to the original. Of two changes of the same part the later
// one counts, and a change within a part that is replaced as a whole is lost.
// Insertions at one place keep the order of the calls. Control characters in
// what is put in become blanks.
//
// The zero Patch must be initialized with Init.
type Patch struct {
	m     *Message
	edits []edit // of the header
	body  string
	space [12]edit
}

// NewPatch returns an empty patch of m, which [Parse] has accepted. For a
// request it includes what [Message.Stamp] noted.
func NewPatch(m *Message) *Patch {
	p := new(Patch)
	p.Init(m)
	return p
}

// Init makes p an empty patch of m, as [NewPatch] does for a new one.
func (p *Patch) Init(m *Message) {
	p.m, p.body = m, m.Body()
	p.edits = append(p.space[:0], m.stamp[:m.stamps]...)
	if m.first[ContentLength] == 0 {
		p.insert(m.afterHeaders(), "Content-Length: "+strconv.Itoa(len(m.Body())))
	}
}

// insert puts a header field, clean, at a place between two.
func (p *Patch) insert(at uint16, field string) {
	if field != "" {
		p.edits = append(p.edits, edit{at: Span{at, at}, insert: true, eol: true, text: field})
	}
}

// replace puts clean text in place of s.
func (p *Patch) replace(s Span, text string) {
	e := edit{at: s, text: text}
	e.eol = text != "" && s.Len() > 0 && p.m.Raw[s.End-1] == '\n'
	for i := range p.edits {
		if old := &p.edits[i]; old.at == s && !old.insert {
			*old = e
			return
		}
	}
	p.edits = append(p.edits, e)
}

// Replace puts text in place of s, a part of the header. If s includes the end
// of a line, that stays, unless text is empty.
func (p *Patch) Replace(s Span, text string) { p.replace(s, clean(text)) }

// SetRequestURI replaces the Request-URI. The header fields that a sip URI may
// have elsewhere are removed (RFC 3261 section 16.6 step 2), what else cannot be
// in one is escaped; an empty one changes nothing.
func (p *Patch) SetRequestURI(uri string) {
	if uri != p.m.RequestURI && uri != "" {
		p.replace(p.m.uri, cleanURI(uri))
	}
}

// Prepend inserts a header field before the first of its kind, or, if there
// is none, after the Vias. The line, such as "Route: <sip:a>", must not end in
// CRLF; an empty one is ignored.
func (p *Patch) Prepend(k Kind, line string) {
	at := p.m.afterVias()
	if i := p.m.first[k]; i != 0 {
		at = p.m.headers[i-1].Line.Start
	}
	p.insert(at, cleanField(line))
}

// Remove deletes header field i.
func (p *Patch) Remove(i int) { p.replace(p.m.headers[i].Line, "") }

// SetValue replaces the value of header field i.
func (p *Patch) SetValue(i int, value string) { p.replace(p.m.headers[i].value, clean(value)) }

// SetMaxForwards sets Max-Forwards, adding it if there is none.
func (p *Patch) SetMaxForwards(n int) { p.setNumber(MaxForwards, n) }

// SetMaxBreadth sets Max-Breadth (RFC 5393 section 5), adding it if there is none.
func (p *Patch) SetMaxBreadth(n int) { p.setNumber(MaxBreadth, n) }

func (p *Patch) setNumber(k Kind, n int) {
	if p.m.first[k] == 0 {
		p.Prepend(k, k.String()+": "+strconv.Itoa(n))
		return
	}
	for i := range p.m.All(k) { // all the same; see Parse
		p.SetValue(i, strconv.Itoa(n))
	}
}

// RemoveTopVia takes the topmost Via off, as for a response on its way back
// (RFC 3261 section 16.7 step 3), be it a field of its own or the first of a
// list.
func (p *Patch) RemoveTopVia() {
	i := p.m.first[Via]
	if i == 0 {
		return
	}
	h := &p.m.headers[i-1]
	if p.m.Via.last {
		p.replace(h.Line, "")
		return
	}
	list := p.m.Raw[p.m.Via.element.End:h.value.End]
	rest := trimLeft(trimLeft(list)[1:]) // after the comma
	p.replace(Span{h.value.Start, h.value.End - uint16(len(rest))}, "")
}

// SetBody replaces the body, byte for byte, and Content-Length with it.
func (p *Patch) SetBody(body string) {
	const name = "Content-Length: "
	n := strconv.Itoa(len(body))
	for i := range p.m.All(ContentLength) {
		p.SetValue(i, n)
	}
	for i := range p.edits {
		if e := &p.edits[i]; e.insert && strings.HasPrefix(e.text, name) { // by Init
			e.text = name + n
		}
	}
	p.body = body
}

// ReplaceElements rewrites the elements of all fields of kind k that are comma
// lists of addresses, such as Contact or Route. Edit gets each element and
// returns what stands in its place, or "" to drop it; an element that is
// returned unchanged stays byte for byte, as does a field without changes.
func (p *Patch) ReplaceElements(k Kind, edit func(element string) string) {
	for i := range p.m.All(k) {
		var space [4]string
		kept, changed := space[:0], false
		for rest := p.m.Value(i); rest != ""; {
			var old string
			old, rest = CutElement(rest)
			text := edit(old)
			changed = changed || text != old
			if text != "" {
				kept = append(kept, text)
			}
		}
		switch {
		case !changed:
		case len(kept) == 0:
			p.Remove(i)
		default:
			p.SetValue(i, strings.Join(kept, ", "))
		}
	}
}

// Values returns the values of all fields of kind k as the changed message
// will have them, of those that the original has.
func (p *Patch) Values(k Kind) []string {
	var vs []string
	for i, h := range p.m.All(k) {
		if p.edited(h.Line) == nil {
			if e := p.edited(h.value); e != nil {
				vs = append(vs, e.text)
			} else {
				vs = append(vs, p.m.Value(i))
			}
		}
	}
	return vs
}

// edited returns what replaces s, if anything does.
func (p *Patch) edited(s Span) *edit {
	for i := range p.edits {
		if e := &p.edits[i]; e.at == s && !e.insert {
			return e
		}
	}
	return nil
}

// Bytes writes the changed message.
func (p *Patch) Bytes() []byte {
	p.sort()
	raw := p.m.Raw[:p.m.body]
	n := len(raw) + len(p.body)
	for i := range p.edits {
		n += len(p.edits[i].text) + len(crlf)
	}
	b := make([]byte, 0, n)
	pos := uint16(0)
	for i := range p.edits {
		e := &p.edits[i]
		if e.at.Start < pos { // within what is replaced
			continue
		}
		b = append(append(b, raw[pos:e.at.Start]...), e.text...)
		if e.eol {
			b = append(b, crlf...)
		}
		pos = e.at.End
	}
	return append(append(b, raw[pos:]...), p.body...)
}

// sort orders the edits. There are a handful, nearly sorted.
func (p *Patch) sort() {
	for i := 1; i < len(p.edits); i++ {
		e, j := p.edits[i], i
		for ; j > 0 && e.before(&p.edits[j-1]); j-- {
			p.edits[j] = p.edits[j-1]
		}
		if j < i {
			p.edits[j] = e
		}
	}
}

// afterVias returns where the field after the first run of Vias begins.
func (m *Message) afterVias() uint16 {
	i := int(m.first[Via])
	if i == 0 {
		return m.afterHeaders()
	}
	for i < len(m.headers) && m.headers[i].Kind == Via {
		i++
	}
	return m.headers[i-1].Line.End
}

// afterHeaders returns where the empty line is.
func (m *Message) afterHeaders() uint16 {
	if len(m.headers) == 0 {
		return 0
	}
	return m.headers[len(m.headers)-1].Line.End
}
