// Package natfix reaches phones behind NAT.
//
// It tells who is behind one ([Detect]), sends answers back through it
// ([FixVia]), marks Contacts so that later requests of a dialog find their way
// through it ([Aliaser]), says where a request to a registered phone goes
// ([Next]), repairs where media go ([FixSDP]), and keeps NATs open
// ([Keepalive]).
//
// Nothing here judges an answer by its Via, which is the server's own: what is
// done about answers of phones depends on where they came from, their Contact
// and their SDP. Whether the sender is a phone, the caller must know.
//
// The core works on strings and netip values, so that any SIP engine can use
// it. What takes a [github.com/emiago/sipgo/sip.Message] works with every
// header table that message was parsed with. Nothing here does I/O, and all of
// it is safe for concurrent use on different messages.
package natfix

import (
	"net/netip"

	"github.com/emiago/sipgo/sip"

	"github.com/sipward/sipward/internal/sipaddr"
	"github.com/sipward/sipward/location"
)

// ErrNoSource reports a message whose source is no IP address and port.
var ErrNoSource = sipaddr.ErrNoSource

// Source returns where msg came from; IPv4 is never mapped into IPv6. It needs
// a message that a transport received: of any other, sipgo only knows the top
// Via, which may lie.
func Source(msg sip.Message) (netip.AddrPort, error) {
	return sipaddr.Source(msg)
}

// FlowOf returns the flow of req: its transport, its source, and the listener
// it came in on. Tx may be a decorator with an Unwrap method. The listener is
// not valid if tx does not tell it; a source that is no IP address is an error
// that wraps ErrNoSource.
func FlowOf(req *sip.Request, tx sip.ServerTransaction) (location.Flow, error) {
	transport, remote, local, err := sipaddr.Flow(req, tx)
	return location.Flow{Transport: transport, Remote: remote, Local: local}, err
}
