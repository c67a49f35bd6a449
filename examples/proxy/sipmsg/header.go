package sipmsg

import (
	"iter"
	"strings"
)

// Header is one header field of a message.
type Header struct {
	Kind   Kind
	folded bool
	Line   Span // the whole field with its line end, folded lines included
	value  Span // between the blanks
}

// Has reports whether m has a field of kind k. It is false for [Other].
func (m *Message) Has(k Kind) bool { return m.first[k] != 0 }

// Room returns how many header fields could be added to m, and how many bytes of
// them, so that [Parse] would still accept it.
func (m *Message) Room() (fields, bytes int) {
	return maxHeaders - len(m.headers), maxHeader - int(m.body)
}

// Get returns the value of the first field of kind k, "" if there is none.
func (m *Message) Get(k Kind) string {
	if m.first[k] == 0 {
		return ""
	}
	return m.Value(int(m.first[k]) - 1)
}

// Name returns the name of header field i as written.
func (m *Message) Name(i int) string {
	line := m.text(m.headers[i].Line)
	end := 0
	for tokenChar[line[end]] {
		end++
	}
	return line[:end]
}

// Value returns the value of header field i, unfolded.
func (m *Message) Value(i int) string {
	h := &m.headers[i]
	if h.folded {
		return unfold(m.text(h.value))
	}
	return m.text(h.value)
}

// unfold replaces each line fold by one blank (RFC 3261 section 7.3.1).
func unfold(v string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(v, "\r\n") {
		if line = trim(line); line == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(line)
	}
	return b.String()
}

// All yields the fields of kind k in order, each with its index. There are
// none of kind [Other].
func (m *Message) All(k Kind) iter.Seq2[int, Header] {
	return func(yield func(int, Header) bool) {
		if m.first[k] == 0 {
			return
		}
		for i := int(m.first[k]) - 1; i < len(m.headers); i++ {
			if m.headers[i].Kind == k && !yield(i, m.headers[i]) {
				return
			}
		}
	}
}

// Values returns the values of all fields of kind k.
func (m *Message) Values(k Kind) []string {
	var vs []string
	for i := range m.All(k) {
		vs = append(vs, m.Value(i))
	}
	return vs
}

// Lookup returns the value of the first field with this name, for fields that
// have no Kind. The name is compared without case, and a compact name is the
// same as its long form.
func (m *Message) Lookup(name string) (string, bool) {
	name = longName(name)
	if k := kindOf(name); k != Other {
		return m.Get(k), m.Has(k)
	}
	for i := range m.headers {
		if m.headers[i].Kind == Other && equalFold(longName(m.Name(i)), name) {
			return m.Value(i), true
		}
	}
	return "", false
}

// HasToken reports whether a comma list of tokens of kind k, such as Supported
// or Require, has token, in any case.
func (m *Message) HasToken(k Kind, token string) bool {
	for i := range m.All(k) {
		for v := range strings.SplitSeq(m.Value(i), ",") {
			if equalFold(trim(v), token) {
				return true
			}
		}
	}
	return false
}
