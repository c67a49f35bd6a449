package natfix

import "net/netip"

// IsPrivate reports whether a cannot be reached from the Internet: RFC 1918,
// carrier-grade NAT (RFC 6598 and 192.0.0.0/29 of RFC 6333), link local,
// unique local (RFC 4193), loopback, and the unspecified address. IPv4 mapped
// into IPv6 counts as IPv4. NAT64 addresses (64:ff9b::/96) are public. The
// zero Addr is not private.
func IsPrivate(a netip.Addr) bool {
	a = a.Unmap()
	if a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() {
		return true
	}
	if !a.Is4() {
		return false
	}
	b := a.As4()
	carrierGrade := b[0] == 100 && b[1]&0xc0 == 64
	dualStackLite := b[0] == 192 && b[1] == 0 && b[2] == 0 && b[3] < 8
	return carrierGrade || dualStackLite
}
