package natfix

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/sipward/sipward/location"
)

// ErrNoHop reports a binding that tells no place to send a request to.
var ErrNoHop = errors.New("natfix: nowhere to send to")

// Hop is where and how a request to a binding goes.
type Hop struct {
	RequestURI string // the Contact, byte for byte as the phone registered it
	Route      string // value of the Route header field to add; empty if none

	Transport string         // "udp", "tcp", "tls", "ws" or "wss"
	Remote    netip.AddrPort // where to send; not valid if Resolve is to be resolved
	Local     netip.AddrPort // listener to send from; not valid if any will do
	Resolve   string         // URI to resolve by RFC 3263; empty if Remote is valid

	// Connected tells that Remote is the far end of a connection that the phone
	// opened: send on that one or fail, since nobody listens there.
	Connected bool
}

// Next returns where a request to b goes: along its Path, else on its flow,
// else to its Contact. An error wraps ErrNoHop.
func Next(b location.Binding) (Hop, error) {
	hop := Hop{RequestURI: b.Contact, Route: b.Path}
	switch {
	case b.Path != "":
		for span := range contactURIs(b.Path) {
			return hop.to(b.Path[span.start:span.end], b.Flow)
		}
		return Hop{}, fmt.Errorf("%w: path %q", ErrNoHop, b.Path)
	case b.Flow.Remote.IsValid():
		hop.Transport, hop.Remote, hop.Local = b.Flow.Transport, b.Flow.Remote, b.Flow.Local
		hop.Connected = b.Flow.Transport != "udp" && b.Flow.Transport != ""
		return hop, nil
	}
	return hop.to(b.Contact, b.Flow)
}

// to completes h with the place that uri names. The listener of flow will do
// if it is of the same transport.
func (h Hop) to(uri string, flow location.Flow) (Hop, error) {
	u, err := location.ParseURI(uri)
	if err != nil {
		return Hop{}, fmt.Errorf("%w: %w", ErrNoHop, err)
	}
	h.Transport = uriTransport(u)
	if h.Transport == flow.Transport {
		h.Local = flow.Local
	}
	a, err := netip.ParseAddr(u.Host)
	if err != nil {
		h.Resolve = uri
		return h, nil
	}
	port := u.Port
	if port == 0 {
		port = defaultPort(h.Transport)
	}
	h.Remote = netip.AddrPortFrom(a.Unmap(), port)
	return h, nil
}
