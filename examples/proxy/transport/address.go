package transport

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// unmap turns IPv4-mapped addresses into IPv4.
func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// addrPort reads an address of package net.
func addrPort(addr net.Addr) (netip.AddrPort, error) {
	if a, ok := addr.(interface{ AddrPort() netip.AddrPort }); ok {
		return unmap(a.AddrPort()), nil
	}
	a, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return a, fmt.Errorf("transport: address %s: %w", addr, err)
	}
	return unmap(a), nil
}

// family returns the suffix of a network's name that keeps sockets to the
// family of a, so that 0.0.0.0 and :: are never one socket.
func family(a netip.AddrPort) string {
	if a.Addr().Is4() {
		return "4"
	}
	return "6"
}

// sameFamily reports whether packets from a can go to b.
func sameFamily(a, b netip.AddrPort) bool { return a.Addr().Is4() == b.Addr().Is4() }

// bound is the address of a listener.
type bound struct {
	netip.AddrPort
	host []netip.Addr // of the host, if the listener is bound to all
}

func newBound(a netip.AddrPort) bound {
	b := bound{AddrPort: a}
	if a.Addr().IsUnspecified() {
		addrs, _ := net.InterfaceAddrs() // without them, loopback remains
		for _, addr := range addrs {
			if p, err := netip.ParsePrefix(addr.String()); err == nil {
				b.host = append(b.host, p.Addr().Unmap())
			}
		}
	}
	return b
}

// reaches reports whether what is sent to the address arrives at b.
func (b *bound) reaches(a netip.AddrPort) bool {
	if a.Port() != b.Port() || !sameFamily(a, b.AddrPort) {
		return false
	}
	return a.Addr() == b.Addr() || a.Addr().IsUnspecified() ||
		b.Addr().IsUnspecified() && (a.Addr().IsLoopback() || slices.Contains(b.host, a.Addr()))
}
