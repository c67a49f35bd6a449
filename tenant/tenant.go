// Package tenant tells which customer a SIP request belongs to.
//
// Customers keep their extension numbers, so 401 exists in many of them, and
// nothing in "INVITE sip:401@<proxy address>" says which one is meant except
// the address the request came from. A [Table] maps in both directions: from a
// domain to the dispatcher set that serves it ([Table.Domain]), and from a
// source address to every set whose PBX sends from there
// ([Table.Candidates]). [Table.Resolve] puts the two together.
//
// Nothing here guesses. Addresses are compared as parsed values and never as
// text, so 10.0.1.10 is not 10.0.1.100. Several customers may share a PBX, an
// address or a set; a request that does not say which of them it means is
// refused with an [*AmbiguousError] and never given to the first.
// [Table.SharedSources] and [Table.SharedSets] tell where that can happen when
// the table is loaded, not when the call comes.
//
// A Table does not change. [Live] keeps a current one and loads it again from
// time to time.
package tenant

import "net/netip"

// Source is where the PBX of a tenant sends from.
type Source struct {
	// Prefix holds one address or a network. A [Table] clears the bits behind
	// its length and turns IPv4-mapped IPv6 into IPv4.
	Prefix netip.Prefix

	// Port tells apart several PBXes behind one address. 0 is any port.
	Port uint16
}

// Tenant is a dispatcher set with the domains it serves and the sources of its
// PBXes. A Tenant that came out of a [Table] is shared with every other user of
// that table: it must not be changed.
type Tenant struct {
	// SetID is the number of the dispatcher set, 0 or more.
	SetID int

	// Domains are host names or addresses. Those in a Table are canonical:
	// lower case, without port, trailing dot and brackets. A set may serve
	// several domains. A set without any is known by its sources only: its
	// requests never resolve, because there is no domain to look in.
	Domains []string

	// Sources may be empty: nothing that comes from the set's PBXes is then
	// recognized. A source may belong to several sets.
	Sources []Source
}
