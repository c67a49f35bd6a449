// Package sipaddr reads the addresses of sipgo's messages and transactions as
// netip values, in which IPv4 is never mapped into IPv6.
package sipaddr

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// ErrNoSource reports a message without a usable source address.
var ErrNoSource = errors.New("sipaddr: no source address")

// Source returns where msg came from: the address its transport noted, or that
// of its top Via if it came from no transport.
func Source(msg sip.Message) (netip.AddrPort, error) {
	s := msg.Source()
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: %q", ErrNoSource, s)
	}
	return unmap(ap), nil
}

// Flow returns the transport of req in lower case, where req came from, and
// the listener it came in on. The listener is not valid if tx does not tell.
func Flow(req *sip.Request, tx sip.ServerTransaction) (transport string, remote, local netip.AddrPort, err error) {
	remote, err = Source(req)
	return strings.ToLower(req.Transport()), remote, Local(tx), err
}

// Local returns the address that tx answers from, looking through decorators
// that have an Unwrap method. It is not valid if tx does not tell.
func Local(tx sip.ServerTransaction) netip.AddrPort {
	for tx != nil {
		if c, ok := tx.(interface{ Connection() sip.Connection }); ok {
			if conn := c.Connection(); conn != nil {
				return FromNet(conn.LocalAddr())
			}
			break
		}
		u, ok := tx.(interface{ Unwrap() sip.ServerTransaction })
		if !ok {
			break
		}
		tx = u.Unwrap()
	}
	return netip.AddrPort{}
}

// FromNet converts a UDP or TCP address; any other gives the zero value.
func FromNet(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.UDPAddr:
		return unmap(a.AddrPort())
	case *net.TCPAddr:
		return unmap(a.AddrPort())
	}
	return netip.AddrPort{}
}

func unmap(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
