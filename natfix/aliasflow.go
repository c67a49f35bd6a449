package natfix

import (
	"encoding/binary"
	"net/netip"

	"github.com/sipward/sipward/location"
)

// The head byte of an alias: two bits of version, three of transport, one of
// the remote's family, two of the local one's.
const (
	version     = 1 << 6
	versionMask = 3 << 6
	remote6     = 1 << 2
	localNone   = 0
	local4      = 1
	local6      = 2
)

// transports returns the transports by their number in an alias.
func transports() [5]string { return [...]string{"udp", "tcp", "tls", "ws", "wss"} }

func appendFlow(dst []byte, flow location.Flow) ([]byte, bool) {
	head := -1
	for i, t := range transports() {
		if t == flow.Transport {
			head = version | i<<3
		}
	}
	remote, local := flow.Remote.Addr().Unmap(), flow.Local.Addr().Unmap()
	if head < 0 || !remote.IsValid() || remote.Zone() != "" || local.Zone() != "" {
		return dst, false
	}
	if remote.Is6() {
		head |= remote6
	}
	switch {
	case local.Is4():
		head |= local4
	case local.Is6():
		head |= local6
	}
	dst = append(dst, byte(head))
	dst = appendAddrPort(dst, remote, flow.Remote.Port())
	if local.IsValid() {
		dst = appendAddrPort(dst, local, flow.Local.Port())
	}
	return dst, true
}

func appendAddrPort(dst []byte, a netip.Addr, port uint16) []byte {
	if a.Is4() {
		b := a.As4()
		dst = append(dst, b[:]...)
	} else {
		b := a.As16()
		dst = append(dst, b[:]...)
	}
	return binary.BigEndian.AppendUint16(dst, port)
}

// parseFlow is the reverse of appendFlow; it takes no more and no less.
func parseFlow(b []byte) (location.Flow, bool) {
	if len(b) == 0 || b[0]&versionMask != version {
		return location.Flow{}, false
	}
	head := b[0]
	names := transports()
	transport := int(head >> 3 & 7)
	local := head & 3
	if transport >= len(names) || local > local6 {
		return location.Flow{}, false
	}
	flow := location.Flow{Transport: names[transport]}
	flow.Remote, b = cutAddrPort(b[1:], head&remote6 != 0)
	if local != localNone {
		flow.Local, b = cutAddrPort(b, local == local6)
	}
	return flow, b != nil && len(b) == 0
}

// cutAddrPort returns a nil rest if b is too short.
func cutAddrPort(b []byte, six bool) (ap netip.AddrPort, rest []byte) {
	n := 4
	if six {
		n = 16
	}
	if len(b) < n+2 {
		return ap, nil
	}
	a, _ := netip.AddrFromSlice(b[:n])
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(b[n:])), b[n+2:]
}
