package route

import (
	"net/netip"
	"strings"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/location"
)

// Request is what routing looks at. [From] fills in what the message says; the
// fields below InDialog are for a caller that knows its own Routes.
type Request struct {
	Method string
	Target location.URI // the Request-URI; zero if it is no SIP or SIPS URI
	From   location.URI // zero if it is none, like the next two
	To     location.URI
	// Asserted is the first SIP URI of P-Asserted-Identity. It counts only in
	// requests of a PBX.
	Asserted location.URI
	InDialog bool // To has a tag, and the method is not REGISTER

	// Trusted tells that one of the Routes that the caller has taken off was
	// made by this proxy for this dialog. Requests in a dialog go nowhere
	// without.
	Trusted bool

	// Peer is the PBX of the dialog, as that Route has it; the zero AddrPort if it
	// does not tell. It counts even if no tenant has it any more.
	Peer netip.AddrPort

	// Path is the Route that this proxy has given a PBX as the Path of a phone, the
	// zero URI if none is. It names the phone by the user of its AOR and the
	// [TokenParam], and counts only in requests of a PBX.
	Path location.URI

	// NextRoute is the topmost Route that is left, the zero URI if none is.
	NextRoute location.URI

	// Alias is the flow in the Request-URI if the proxy once put it there, or
	// else the zero Flow.
	Alias location.Flow
}

// From returns the Request of m, which must be a request. The strings in it
// are views into m, and a URI that cannot be read is left zero.
func From(m *sipmsg.Message) Request {
	target, _ := location.ParseURI(m.RequestURI)
	return Request{
		Method:   m.Method,
		Target:   target,
		From:     address(m.Get(sipmsg.From)),
		To:       address(m.Get(sipmsg.To)),
		Asserted: asserted(m),
		InDialog: m.InDialog(),
	}
}

// address returns the URI of a From or To, zero if it is no SIP URI.
func address(value string) location.URI {
	na, err := sipmsg.ParseNameAddr(value)
	if err != nil {
		return location.URI{}
	}
	u, _ := location.ParseURI(na.URI)
	return u
}

// asserted returns the SIP URI among the identities, of which RFC 3325 section
// 9.1 allows two: the other one is a tel URI.
func asserted(m *sipmsg.Message) location.URI {
	for i := range m.All(sipmsg.PAssertedIdentity) {
		for rest := m.Value(i); rest != ""; {
			var value string
			value, rest = sipmsg.CutElement(rest)
			if u := address(value); u.Host != "" {
				return u
			}
		}
	}
	return location.URI{}
}

// portOf returns the port of u, or the default of its scheme and transport
// (RFC 3261 section 19.1.2, RFC 7118 section 5.5).
func portOf(u *location.URI) uint16 {
	if u.Port != 0 {
		return u.Port
	}
	secure := strings.EqualFold(u.Scheme, "sips")
	transport, _ := u.Param("transport")
	switch {
	case strings.EqualFold(transport, "wss"), secure && strings.EqualFold(transport, "ws"):
		return 443
	case strings.EqualFold(transport, "ws"):
		return 80
	case secure, strings.EqualFold(transport, "tls"):
		return 5061
	}
	return 5060
}

// sameHost compares two hosts as written in URIs.
func sameHost(a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	x, err := location.CanonicalDomain(a)
	if err != nil {
		return false
	}
	y, err := location.CanonicalDomain(b)
	return err == nil && x == y
}

// hostAddr returns the address that a host is, or the zero Addr for a name.
func hostAddr(host string) netip.Addr {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap()
	}
	return netip.Addr{}
}
