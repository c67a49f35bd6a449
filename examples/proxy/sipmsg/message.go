// Package sipmsg reads SIP messages for a proxy that forwards them byte for
// byte.
//
// A proxy owns very little of what it forwards: the start line, its Via, its
// routes, Max-Forwards and sometimes a Contact (RFC 3261 sections 16.6 and
// 16.7). So [Parse] does not build an object per header field. It checks the
// whole message strictly, indexes where each field lies in the text, and reads
// the few fields that every message needs. A [Patch] lists what changes, and
// writes the message out with everything else untouched.
//
// What goes into a message, by [Patch], [Message.Respond] or
// [Message.Derive], cannot break out of its field: a control character in it
// becomes a blank.
//
// Where the object form is wanted, by a hook or by the registrar,
// [Message.SIPRequest] hands it out as sipgo's type.
package sipmsg

import (
	"fmt"
	"net/netip"
	"strings"
)

// Error reports a message that must not be processed. Status is the answer
// that a request with this fault deserves (RFC 3261 section 21.4.1 and others);
// a response with it is dropped.
type Error struct {
	Status int
	Fault  string // what is wrong, fit for a reason phrase and a log
}

// Error implements error.
func (e *Error) Error() string { return "sipmsg: " + e.Fault }

// Span is a part of the header of a message: Raw[Start:End]. No header is
// longer than these can tell.
type Span struct{ Start, End uint16 }

// Len returns the length of s in bytes.
func (s Span) Len() int { return int(s.End) - int(s.Start) }

// maxHeader bounds the start line and the header fields together, with the
// empty line after them, so that positions fit into a [Span].
const maxHeader = 1<<16 - 1

// maxHeaders bounds the header fields of one message, comma lists counted once.
const maxHeaders = 255

// Message is a SIP message with an index of its parts. It is read-only after
// [Parse] but for [Message.Stamp], and its strings are views into Raw, so it
// may be kept and shared.
//
// It lives as long as a transaction, so it is small; what holds no pointers is
// at the end, where the garbage collector does not look.
type Message struct {
	Raw string // the message as received, without what preceded or followed it

	Method     string // of a request; empty for a response
	RequestURI string // of a request, as written
	Status     int    // of a response, -1 if that cannot be read; 0 for a request
	Reason     string // of a response

	Via         TopVia // topmost
	CallID      string
	CSeq        uint32 // below 1<<31
	CSeqMethod  string // equal to Method for a request
	FromTag     string // empty if none
	ToTag       string // empty if none
	MaxForwards int    // 0 to 255; -1 if there is none
	MaxBreadth  int    // RFC 5393; -1 if there is none

	Source netip.AddrPort // where a request came from; see Stamp

	headers []Header // in inline, if they fit
	stamp   [2]edit  // see Stamp; the first stamps of them, in order
	inline  [26]Header
	first   [numKinds]uint8 // 1 + index of the first field of a kind, 0 if none
	stamps  uint8
	toOK    bool  // To could be read
	uri     Span  // the Request-URI in Raw
	body    int32 // where the body begins
}

// IsRequest reports whether m is a request.
func (m *Message) IsRequest() bool { return m.Status == 0 }

// InDialog reports whether m is a request in a dialog, or says so: it has a To tag
// (RFC 3261 section 12.2). A REGISTER is in none (section 10.2).
func (m *Message) InDialog() bool { return m.ToTag != "" && m.Method != "REGISTER" }

// Body returns the message body; empty if there is none.
func (m *Message) Body() string { return m.Raw[m.body:] }

// Answerable reports whether m is a request that holds what a response needs,
// even if [Parse] found fault with it: a method other than ACK and a Via. The
// response goes to where the request came from.
func (m *Message) Answerable() bool {
	return m.Status == 0 && m.Method != "" && m.Method != "ACK" && m.first[Via] != 0
}

// text returns the text of s.
func (m *Message) text(s Span) string { return m.Raw[s.Start:s.End] }

// Parse reads one message: a datagram, or what [Frame] cut out of a stream.
//
// On a fault the error is an [*Error] and the message holds what could be
// read; it must not be patched. A request can still be answered if
// [Message.Answerable] says so. The faults are those of sections 7, 8 and 20
// of RFC 3261 that would let two readers of one message disagree: bare CR, LF
// and control characters, two different values of a field that may occur once,
// a Content-Length beyond the end, a method in CSeq that is not the request's,
// quotes and brackets that are not closed, a tag or branch that is given twice.
// A header over 64 KiB is one too.
func Parse(raw string) (*Message, error) {
	for strings.HasPrefix(raw, "\r\n") { // section 7.5
		raw = raw[2:]
	}
	m := &Message{Raw: raw, MaxForwards: -1, MaxBreadth: -1, body: int32(len(raw))}
	m.headers = m.inline[:0]
	p := parser{Message: m, head: raw[:min(len(raw), maxHeader)]}
	if pos := p.startLine(); pos > 0 {
		p.index(pos)
		p.fields()
	}
	if p.fault != nil {
		return m, p.fault
	}
	return m, nil
}

// parser fills in a Message. It goes on after a fault, so that the answer to
// a faulty request says as much as it can. The first fault is reported.
type parser struct {
	*Message
	head  string // Raw, as far as a header may reach
	fault *Error
}

// refuse notes a fault.
func (p *parser) refuse(status int, format string, a ...any) {
	if p.fault == nil {
		p.fault = &Error{Status: status, Fault: fmt.Sprintf(format, a...)}
	}
}

// refuseEnd notes that the header does not end.
func (p *parser) refuseEnd() {
	if len(p.Raw) > len(p.head) {
		p.refuse(513, "header too large")
		return
	}
	p.refuse(400, "no end of the header")
}
