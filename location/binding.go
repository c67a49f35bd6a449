package location

import (
	"cmp"
	"net/netip"
	"time"
)

// Flow is the path a REGISTER came in on; requests to the phone go out on it.
// The zero Flow is not known.
type Flow struct {
	Transport string         // "udp", "tcp", "tls", "ws" or "wss"
	Remote    netip.AddrPort // the phone as we see it, so the outside of its NAT
	Local     netip.AddrPort // our listener
}

// Q is a contact's preference in thousandths: 1000 is q=1.0 (RFC 3261
// section 20.10). The zero Q is q=0, which is a preference, if the lowest one;
// a contact without preference has [QUnspecified], which sorts behind all.
type Q int16

// QUnspecified is the Q of a contact without a q parameter.
const QUnspecified Q = -1

// Binding is one contact of an AOR. All of its fields come from the caller; a
// [Store] sets none of them.
type Binding struct {
	Contact   string    // URI as the phone sent it, never rewritten
	Flow      Flow      // where the REGISTER came from
	Path      string    // RFC 3327 Path vector as one header value, topmost first; empty if none
	Q         Q         // preference; QUnspecified if the phone gave none
	CallID    string    // of the last REGISTER
	CSeq      uint32    // of the last REGISTER
	Expires   time.Time // absolute; the binding is dead from then on
	Updated   time.Time // when the last REGISTER was accepted
	Instance  string    // +sip.instance value, RFC 5626; empty if none
	RegID     int       // reg-id, RFC 5626; 0 if none
	Methods   Methods   // what the phone takes; 0 if it did not say
	UserAgent string
	// Token is the name that the upstream registrar knows this binding by, if
	// it was given a Contact other than the phone's. Empty if not.
	Token string
	// Registrar is the upstream that granted the binding, a dispatcher
	// destination; empty if unknown.
	Registrar string
}

// Same reports whether b and o are the same binding of one AOR, so that one
// replaces the other: by instance and reg-id if both have an instance (RFC
// 5626 section 6), else by Contact URI (RFC 3261 section 19.1.4), else, with
// no instance on either side, by flow and user agent: a phone that registers
// again from the same socket under another Contact.
func (b Binding) Same(o Binding) bool {
	return sameKey(&b, &o) || sameSocket(&b, &o)
}

// sameKey is Same by what a binding has in itself.
func sameKey(a, b *Binding) bool {
	if a.Instance != "" && b.Instance != "" {
		return a.Instance == b.Instance && a.RegID == b.RegID
	}
	return EqualURI(a.Contact, b.Contact)
}

// sameSocket is the last resort of Same.
func sameSocket(a, b *Binding) bool {
	return a.Instance == "" && b.Instance == "" &&
		a.UserAgent != "" && a.UserAgent == b.UserAgent &&
		a.Flow.Remote.IsValid() && a.Flow.Remote == b.Flow.Remote && a.Flow.Transport == b.Flow.Transport
}

// Compare orders bindings as [Store.Lookup] returns them: it is negative if b
// goes before o, because of a higher Q or, with the same, because it was
// updated later. It is 0 if neither goes first.
func (b Binding) Compare(o Binding) int { return compare(&b, &o) }

func compare(a, b *Binding) int {
	return cmp.Or(cmp.Compare(b.Q, a.Q), b.Updated.Compare(a.Updated))
}

func (b *Binding) liveAt(now time.Time) bool { return now.Before(b.Expires) }
