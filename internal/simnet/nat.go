package simnet

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// The ports that a NAT hands out.
const (
	firstOutsidePort = 40000
	lastOutsidePort  = 65535
)

// NATType is how a NAT maps and filters (RFC 3489 section 5; in the words of
// RFC 4787, the first three map independently of the endpoint).
type NATType uint8

// The types, by who may send to the outside address of a mapping.
const (
	FullCone       NATType = iota // everybody
	Restricted                    // addresses that the inside has sent to
	PortRestricted                // addresses and ports that the inside has sent to
	Symmetric                     // the one address and port that the mapping was made for; each has its own
)

// String returns the type as RFC 3489 has it.
func (t NATType) String() string {
	return [...]string{FullCone: "full cone", Restricted: "restricted cone",
		PortRestricted: "port restricted cone", Symmetric: "symmetric"}[t]
}

// NATConfig configures a [NAT].
type NATConfig struct {
	Type NATType
	// Outside are the NAT's own addresses, at least one. With several, each
	// inside address keeps to one of them.
	Outside []netip.Addr
	// Inside is the network behind the NAT: packets to it do not leave. The
	// zero Prefix stands for the addresses of the hosts behind the NAT.
	Inside netip.Prefix
	// Timeout is how long a UDP mapping lives without use; 0 is for ever. TCP
	// mappings do not expire.
	Timeout time.Duration
	// InboundRefresh makes packets from outside a use as well. Without it only
	// those from inside are (RFC 4787 section 4.3).
	InboundRefresh bool
}

// NAT is a router with hosts behind it that translates their addresses. It is
// made by [Network.NewNAT]. It does not hairpin: hosts behind it do not reach
// each other by outside addresses.
type NAT struct {
	net *Network
	cfg NATConfig

	// Guarded by net.mu.
	hosts   map[netip.Addr]*Host
	paired  map[netip.Addr]netip.Addr // inside to outside address
	port    uint16                    // the last one handed out
	out     map[outKey]*mapping
	in      map[inKey]*mapping
	outside []netip.Addr
}

// outKey is how a mapping is found from inside.
type outKey struct {
	stream bool
	inside netip.AddrPort
	remote netip.AddrPort // Symmetric only
}

// inKey is how a mapping is found from outside.
type inKey struct {
	stream  bool
	outside netip.AddrPort
}

// mapping is one outside port in use.
type mapping struct {
	key     outKey
	outside netip.AddrPort
	used    time.Time
	sentTo  map[netip.AddrPort]bool // and, with port 0, the addresses alone
}

// NewNAT adds a NAT. It panics if an outside address is missing or taken.
func (n *Network) NewNAT(cfg NATConfig) *NAT {
	if len(cfg.Outside) == 0 {
		panic("simnet: NAT without outside address")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	b := &NAT{
		net:   n,
		cfg:   cfg,
		hosts: make(map[netip.Addr]*Host),
		port:  firstOutsidePort - 1,
	}
	b.reset(cfg.Outside)
	return b
}

// NewHost adds a host behind the NAT. Hosts behind other NATs may have the
// same addresses. It panics if an address is missing, taken or not inside.
func (b *NAT) NewHost(addrs ...netip.Addr) *Host {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	h := b.net.newHost(b, addrs)
	for _, a := range h.addrs {
		if b.hosts[a] != nil || b.cfg.Inside.IsValid() && !b.cfg.Inside.Contains(a) {
			panic(fmt.Sprintf("simnet: address %v is taken or not in %v", a, b.cfg.Inside))
		}
		b.hosts[a] = h
	}
	return h
}

// Rebind drops all mappings, as a reboot of the router does: the next packet
// from inside gets a new outside port, and nothing comes in before it. With
// addresses, they become the outside addresses of the NAT.
func (b *NAT) Rebind(outside ...netip.Addr) {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	if len(outside) == 0 {
		outside = b.outside
	}
	b.reset(outside)
}

// reset gives b its outside addresses and no mappings. The network is locked.
func (b *NAT) reset(outside []netip.Addr) {
	for _, a := range b.outside {
		delete(b.net.nats, a)
	}
	b.outside = nil
	for _, a := range outside {
		a = mustBeAddr(a)
		b.net.mustBeFree(a)
		b.net.nats[a] = b
		b.outside = append(b.outside, a)
	}
	b.paired = make(map[netip.Addr]netip.Addr)
	b.out = make(map[outKey]*mapping)
	b.in = make(map[inKey]*mapping)
}

// Mapping is an outside address in use, as [NAT.Mappings] lists it.
type Mapping struct {
	Network string // "udp" or "tcp"
	Inside  netip.AddrPort
	Outside netip.AddrPort
	Remote  netip.AddrPort // the only peer, of a Symmetric NAT; else zero
}

// Mappings returns the live mappings, sorted by outside address.
func (b *NAT) Mappings() []Mapping {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	var list []Mapping
	for _, m := range slices.SortedFunc(maps.Values(b.in), func(x, y *mapping) int {
		return cmp.Or(x.outside.Compare(y.outside), x.key.inside.Compare(y.key.inside))
	}) {
		if b.expired(m) {
			continue
		}
		network := "udp"
		if m.key.stream {
			network = "tcp"
		}
		list = append(list, Mapping{network, m.key.inside, m.outside, m.key.remote})
	}
	return list
}

// isInside reports whether packets to a stay behind the NAT.
func (b *NAT) isInside(a netip.Addr) bool {
	return b.hosts[a] != nil || b.cfg.Inside.IsValid() && b.cfg.Inside.Contains(a)
}

// expired reports whether m is over, and then drops it.
func (b *NAT) expired(m *mapping) bool {
	if m.key.stream || b.cfg.Timeout <= 0 || time.Since(m.used) < b.cfg.Timeout {
		return false
	}
	delete(b.out, m.key)
	delete(b.in, inKey{m.key.stream, m.outside})
	return true
}

// outbound translates the source of a packet from inside to remote. It reports
// false if the NAT has no outside address of its family, or no port left.
func (b *NAT) outbound(stream bool, inside, remote netip.AddrPort) (netip.AddrPort, bool) {
	key := outKey{stream: stream, inside: inside}
	if b.cfg.Type == Symmetric {
		key.remote = remote
	}
	m := b.out[key]
	if m == nil || b.expired(m) {
		addr, ok := b.pair(inside.Addr())
		if !ok || !b.nextPort() {
			return netip.AddrPort{}, false
		}
		m = &mapping{
			key:     key,
			outside: netip.AddrPortFrom(addr, b.port),
			sentTo:  make(map[netip.AddrPort]bool),
		}
		b.out[key] = m
		b.in[inKey{stream, m.outside}] = m
	}
	m.used = time.Now()
	m.sentTo[remote] = true
	m.sentTo[netip.AddrPortFrom(remote.Addr(), 0)] = true
	return m.outside, true
}

// pair returns the outside address that an inside address keeps to (RFC 4787
// section 4.1).
func (b *NAT) pair(inside netip.Addr) (netip.Addr, bool) {
	if a, ok := b.paired[inside]; ok {
		return a, true
	}
	same := slices.DeleteFunc(slices.Clone(b.outside), func(a netip.Addr) bool {
		return a.Is4() != inside.Is4()
	})
	if len(same) == 0 {
		return netip.Addr{}, false
	}
	a := same[len(b.paired)%len(same)]
	b.paired[inside] = a
	return a, true
}

// nextPort moves b.port to a free port and reports false if there is none. It
// goes round, so that a port comes back late.
func (b *NAT) nextPort() bool {
	for range lastOutsidePort - firstOutsidePort + 1 {
		if b.port++; b.port < firstOutsidePort {
			b.port = firstOutsidePort
		}
		if !b.portTaken() {
			return true
		}
	}
	return false
}

func (b *NAT) portTaken() bool {
	for _, a := range b.outside {
		for _, stream := range []bool{false, true} {
			if m := b.in[inKey{stream, netip.AddrPortFrom(a, b.port)}]; m != nil && !b.expired(m) {
				return true
			}
		}
	}
	return false
}

// inbound translates the destination of a packet from outside. It reports
// false if the NAT does not let it in.
func (b *NAT) inbound(w *wire) (netip.AddrPort, bool) {
	m := b.in[inKey{w.Kind != Datagram, w.Dst}]
	if m == nil || b.expired(m) || w.From.nat == b || !b.lets(m, w.Src) {
		return netip.AddrPort{}, false
	}
	if b.cfg.InboundRefresh {
		m.used = time.Now()
	}
	return m.key.inside, true
}

// lets reports whether packets from src may use m.
func (b *NAT) lets(m *mapping, src netip.AddrPort) bool {
	switch b.cfg.Type {
	case FullCone:
		return true
	case Restricted:
		return m.sentTo[netip.AddrPortFrom(src.Addr(), 0)]
	default: // of a Symmetric mapping, src is the one it was made for
		return m.sentTo[src]
	}
}

// peek returns the host that outside maps to; nil if none.
func (b *NAT) peek(stream bool, outside netip.AddrPort) *Host {
	m := b.in[inKey{stream, outside}]
	if m == nil || b.expired(m) {
		return nil
	}
	return b.hosts[m.key.inside.Addr()]
}
