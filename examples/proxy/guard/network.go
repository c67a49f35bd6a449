package guard

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"math/bits"
	"net/netip"
)

// Source is where a message came from: the peer of its socket, never what a
// header says. It has the fields of the router's Source, so that one converts
// to the other.
type Source struct {
	Addr      netip.AddrPort
	Transport string // "udp", "tcp", "tls", "ws" or "wss"
}

// forgeable reports whether others can send in the name of s.
func (s Source) forgeable() bool { return s.Transport == "udp" }

// The networks that have limits and earn bans. The customer of an IPv6 provider
// has a /64 at least, and often a /48.
const (
	address4, address6 = 32, 64
	network4, network6 = 24, 48
)

// network is a prefix of IPv4, or one of IPv6 of at most 64 bits. It is
// canonical, and hashes fast.
type network struct {
	top  uint64 // of the address; IPv4 has its bits in the upper half
	size uint64 // in bits; more for IPv6
}

// ipv6 marks the size of IPv6 networks.
const ipv6 = 1 << 8

// networkOf returns the network of an address, of size4 bits for IPv4 and size6
// for IPv6.
func networkOf(a netip.Addr, size4, size6 int) network {
	a = a.Unmap()
	if a.Is4() {
		b := a.As4()
		return network{uint64(binary.BigEndian.Uint32(b[:])) << 32 & mask(size4), uint64(size4)}
	}
	b := a.As16()
	return network{binary.BigEndian.Uint64(b[:]) & mask(size6), uint64(size6) | ipv6}
}

// hashed is a network with its hash.
type hashed struct {
	network
	sum uint64
}

// hasher makes hashes that nobody outside can foresee.
type hasher struct{ seed maphash.Seed }

func (h hasher) hash(n network) hashed { return hashed{n, maphash.Comparable(h.seed, n)} }

// text returns a hash of n together with s.
func (h hasher) text(n network, s string) uint64 {
	var m maphash.Hash
	m.SetSeed(h.seed)
	maphash.WriteComparable(&m, n)
	m.WriteString(s)
	return m.Sum64()
}

// address returns the network that stands for one peer.
func (h hasher) address(a netip.Addr) hashed { return h.hash(networkOf(a, address4, address6)) }

// around returns the network of a provider's customers that a peer is in.
func (h hasher) around(a netip.Addr) hashed { return h.hash(networkOf(a, network4, network6)) }

func mask(size int) uint64 { return ^uint64(0) << (64 - size) }

func (n network) v6() bool  { return n.size&ipv6 != 0 }
func (n network) bits() int { return int(n.size &^ ipv6) }

// prefix returns n for those outside.
func (n network) prefix() netip.Prefix {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], n.top)
	if n.v6() {
		return netip.PrefixFrom(netip.AddrFrom16(b), n.bits())
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte(b[:4])), n.bits())
}

// canonical returns p without host bits, IPv4-mapped IPv6 as IPv4, and reports
// whether that can be done.
func canonical(p netip.Prefix) (netip.Prefix, bool) {
	const mapped = 96 // bits of ::ffff:0:0/96 before the IPv4 address
	if p.IsValid() && p.Addr().Is4In6() {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
	}
	return p.Masked(), p.IsValid()
}

// bannable returns the network that a ban of p is for. Who has one address of an
// IPv6 /64 has all of them, so none of these is banned alone.
func bannable(p netip.Prefix) (network, error) {
	p, ok := canonical(p)
	switch {
	case !ok:
		return network{}, errors.New("not a valid prefix")
	case p.Bits() == 0:
		return network{}, errors.New("prefix holds every address")
	}
	size := min(p.Bits(), 64)
	return networkOf(p.Addr(), size, size), nil
}

// sizes is a set of network sizes of one address family.
type sizes uint64

func (s sizes) with(size int) sizes { return s | 1<<(size-1) }

// next returns one of the sizes, and the others; 0 if there is none.
func (s sizes) next() (int, sizes) {
	if s == 0 {
		return 0, 0
	}
	return bits.TrailingZeros64(uint64(s)) + 1, s & (s - 1)
}
