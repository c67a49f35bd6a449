package natfix

import (
	"iter"
	"strings"

	"github.com/emiago/sipgo/sip"

	"github.com/sipward/sipward/location"
)

// NeedsAlias reports whether the Contact URI of a message from flow would lead
// later requests elsewhere: its host, port or transport is not that of flow. A
// private address that is also the source is fine: that is how the phone was
// heard. What is no SIP URI needs none.
func NeedsAlias(uri string, flow location.Flow) bool {
	u, err := location.ParseURI(uri)
	if err != nil {
		return false
	}
	transport := uriTransport(u)
	const elsewhere = ContactMismatch | ContactPortMismatch
	return transport != flow.Transport || contactSigns(u, transport, flow.Remote)&elsewhere != 0
}

// FixContact appends an alias to each Contact URI of msg that needs one
// ([NeedsAlias]), so that later requests of the dialog come back on flow. Only
// messages that form a dialog or change its target are touched (RFC 3261
// section 12, RFC 6665): never REGISTER and its answers, whose Contact is
// data, and never redirects. User, parameters, header parameters, display
// names and the order of several Contacts stay as they are.
//
// It is meant for messages of phones: do not call it for those of a PBX.
func (a *Aliaser) FixContact(msg sip.Message, flow location.Flow) (changed bool) {
	m, ok := msg.(interface {
		Headers() []sip.Header
		Contact() *sip.ContactHeader
	})
	if !ok || !formsDialog(msg) {
		return false
	}
	// What sipgo parses on demand it keeps beside the text: edit both.
	lazy := m.Contact()
	headers := m.Headers()
	for i, h := range headers {
		if !isContact(h.Name()) {
			continue
		}
		if typed, ok := h.(*sip.ContactHeader); ok {
			changed = a.fixTyped(typed, flow) || changed
			lazy = nil
			continue
		}
		if value, ok := a.fixValue(h.Value(), flow); ok {
			headers[i] = sip.NewHeader(h.Name(), value)
			changed = true
		}
	}
	if lazy != nil {
		a.fixTyped(lazy, flow)
	}
	return changed
}

// formsDialog reports whether the Contact of msg becomes a remote target.
func formsDialog(msg sip.Message) bool {
	var method sip.RequestMethod
	switch m := msg.(type) {
	case *sip.Request:
		method = m.Method
	case *sip.Response:
		if m.StatusCode <= 100 || m.StatusCode > 299 {
			return false
		}
		if cseq := m.CSeq(); cseq != nil {
			method = cseq.MethodName
		}
	}
	switch method {
	case sip.INVITE, sip.UPDATE, sip.SUBSCRIBE, sip.NOTIFY, sip.REFER:
		return true
	}
	return false
}

// fixTyped edits a header that sipgo has parsed.
func (a *Aliaser) fixTyped(h *sip.ContactHeader, flow location.Flow) bool {
	if h.Address.Wildcard {
		return false
	}
	if !NeedsAlias(h.Address.String(), flow) {
		return false
	}
	var buf [maxAlias]byte
	value, ok := a.appendValue(buf[:0], flow)
	if ok {
		h.Address.UriParams = append(h.Address.UriParams, sip.HeaderKV{K: aliasName, V: string(value)})
	}
	return ok
}

// fixValue edits the text of a Contact header field, which may be a list.
func (a *Aliaser) fixValue(value string, flow location.Flow) (fixed string, changed bool) {
	var out []byte
	done := 0
	for span := range contactURIs(value) {
		uri := value[span.start:span.end]
		if !NeedsAlias(uri, flow) {
			continue
		}
		before := len(out)
		out = append(out, value[done:span.start]...)
		if span.bare { // a parameter needs the brackets to belong to the URI
			out = append(out, '<')
		}
		var ok bool
		if out, ok = a.Append(out, uri, flow); !ok {
			out = out[:before]
			continue
		}
		if span.bare {
			out = append(out, '>')
		}
		done = span.end
		changed = true
	}
	if !changed {
		return value, false
	}
	return string(append(out, value[done:]...)), true
}

func isContact(name string) bool {
	return strings.EqualFold(name, "Contact") || strings.EqualFold(name, "m")
}

// uriSpan is the place of a URI in a header field value.
type uriSpan struct {
	start, end int
	bare       bool // without angle brackets
}

// contactURIs finds the URIs in a list of addresses (RFC 3261 section 20.10,
// RFC 3327 section 4). It skips what is malformed, and "*".
func contactURIs(value string) iter.Seq[uriSpan] {
	return func(yield func(uriSpan) bool) {
		for i := 0; i < len(value); {
			var span uriSpan
			span, i = nextURI(value, i)
			if span.end > span.start && value[span.start:span.end] != "*" && !yield(span) {
				return
			}
		}
	}
}

// nextURI finds the URI of the element that starts at i, and where the
// element after it starts.
func nextURI(value string, i int) (span uriSpan, next int) {
	span = uriSpan{start: i, end: i, bare: true}
	params := false
	for ; i < len(value) && value[i] != ','; i++ {
		switch c := value[i]; {
		case c == '"':
			i = quoteEnd(value, i)
		case c == '<' && span.bare && !params:
			end := strings.IndexByte(value[i:], '>')
			if end < 0 {
				return uriSpan{}, len(value)
			}
			span = uriSpan{start: i + 1, end: i + end}
			i = span.end
		case c == ';':
			params = true
		case span.bare && !params:
			span.end = i + 1
		}
	}
	if span.bare {
		text := value[span.start:span.end]
		span.start += len(text) - len(strings.TrimLeft(text, " \t"))
		span.end = span.start + len(strings.TrimSpace(text))
	}
	return span, i + 1
}

// quoteEnd returns the index of the quote that closes the one at i, or the
// last index if none does.
func quoteEnd(value string, i int) int {
	for i++; i < len(value); i++ {
		switch value[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(value) - 1
}
