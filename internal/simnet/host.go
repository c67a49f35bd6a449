package simnet

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// Ephemeral ports, as IANA has them (RFC 6335 section 6).
const (
	firstEphemeral = 49152
	lastEphemeral  = 65535
)

// defaultSegment is the payload of a TCP segment on Ethernet.
const defaultSegment = 1460

// Host is a machine with one or more addresses. It is made by
// [Network.NewHost] or [NAT.NewHost].
type Host struct {
	net   *Network
	nat   *NAT // it sits behind; nil if outside
	addrs []netip.Addr

	// Guarded by net.mu.
	down, hole bool
	segment    int    // bytes in one of its segments at most
	ephemeral  uint16 // the last port taken
	packets    map[netip.AddrPort]*PacketConn
	listeners  map[netip.AddrPort]*Listener
	conns      map[connID]*Conn
}

// NewHost adds a host outside of all NATs. It panics if there is no address,
// or if one is invalid or taken.
func (n *Network) NewHost(addrs ...netip.Addr) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.newHost(nil, addrs)
	for _, a := range h.addrs {
		n.mustBeFree(a)
		n.hosts[a] = h
	}
	return h
}

// newHost makes a host that cannot be reached yet. The network is locked.
func (n *Network) newHost(nat *NAT, addrs []netip.Addr) *Host {
	if len(addrs) == 0 {
		panic("simnet: host without address")
	}
	h := &Host{
		net:       n,
		nat:       nat,
		segment:   defaultSegment,
		ephemeral: firstEphemeral - 1,
		packets:   make(map[netip.AddrPort]*PacketConn),
		listeners: make(map[netip.AddrPort]*Listener),
		conns:     make(map[connID]*Conn),
	}
	for _, a := range addrs {
		h.addrs = append(h.addrs, mustBeAddr(a))
	}
	n.all = append(n.all, h)
	return h
}

// mustBeAddr returns a in the form in which the network compares addresses.
func mustBeAddr(a netip.Addr) netip.Addr {
	if a = a.Unmap().WithZone(""); !a.IsValid() || a.IsUnspecified() {
		panic(fmt.Sprintf("simnet: %v cannot be an address of a host or NAT", a))
	}
	return a
}

// mustBeFree panics if a is taken outside of the NATs.
func (n *Network) mustBeFree(a netip.Addr) {
	if n.hosts[a] != nil || n.nats[a] != nil {
		panic(fmt.Sprintf("simnet: address %v is taken", a))
	}
}

// Addr returns the first address of h.
func (h *Host) Addr() netip.Addr { return h.addrs[0] }

// String returns the first address of h as text.
func (h *Host) String() string { return h.addrs[0].String() }

// SetSegmentSize sets how many bytes one segment of h's streams carries at
// most, and so what one Read of a peer returns at most: 1 delivers a stream
// byte by byte. 0 means 1460.
func (h *Host) SetSegmentSize(bytes int) {
	if bytes <= 0 {
		bytes = defaultSegment
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.segment = bytes
}

// Down takes the host off the network as if its power failed: packets to and
// from it vanish, its streams are dead and their peers do not hear of it, what
// it sends fails with ENETDOWN. Its listeners and packet sockets stay for Up.
func (h *Host) Down() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.down = true
	for _, c := range h.conns {
		c.fail(syscall.ENETDOWN)
	}
}

// Up ends Down. A peer that then sends on an old stream has it reset.
func (h *Host) Up() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.down = false
}

// BlackHole turns on or off that packets to and from h vanish, as with a
// firewall. Nobody is told: dials hang, streams stall and go on afterwards.
func (h *Host) BlackHole(on bool) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.hole = on
}

// unreachable returns why packets from and to h vanish; empty if they do not.
func (h *Host) unreachable() Reason {
	switch {
	case h.down:
		return HostDown
	case h.hole:
		return Hole
	}
	return ""
}

// bind returns the address that a socket for local gets. The zero AddrPort
// stands for the first address, port 0 for a free one; taken says which are
// not. The network is locked.
func (h *Host) bind(local netip.AddrPort, taken func(netip.AddrPort) bool) (netip.AddrPort, error) {
	if h.net.closed {
		return local, net.ErrClosed
	}
	addr := h.Addr()
	if local.Addr().IsValid() {
		addr = local.Addr().Unmap().WithZone("")
	}
	if !addr.IsUnspecified() && !slices.Contains(h.addrs, addr) {
		return local, syscall.EADDRNOTAVAIL
	}
	if local.Port() != 0 {
		local = netip.AddrPortFrom(addr, local.Port())
		if taken(local) {
			return local, syscall.EADDRINUSE
		}
		return local, nil
	}
	for range lastEphemeral - firstEphemeral + 1 {
		if h.ephemeral++; h.ephemeral < firstEphemeral {
			h.ephemeral = firstEphemeral
		}
		if local = netip.AddrPortFrom(addr, h.ephemeral); !taken(local) {
			return local, nil
		}
	}
	return local, syscall.EADDRNOTAVAIL
}

// socketAt returns the socket that gets what comes to dst: the one bound to that
// address or else to all of its family or else to all; nil if there is none.
func socketAt[S PacketConn | Listener](sockets map[netip.AddrPort]*S, dst netip.AddrPort) *S {
	for _, a := range []netip.Addr{dst.Addr(), unspecified(dst.Addr()), netip.IPv6Unspecified()} {
		if s := sockets[netip.AddrPortFrom(a, dst.Port())]; s != nil {
			return s
		}
	}
	return nil
}

// source returns the address that packets to dst have from a socket bound to
// local, which may be unspecified.
func (h *Host) source(local netip.AddrPort, dst netip.Addr) (netip.AddrPort, error) {
	all := local.Addr() == netip.IPv6Unspecified() || local.Addr() == unspecified(dst)
	for _, a := range h.addrs {
		if a.Is4() == dst.Is4() && (all || a == local.Addr()) {
			return netip.AddrPortFrom(a, local.Port()), nil
		}
	}
	return netip.AddrPort{}, syscall.ENETUNREACH
}

// unspecified returns the address that stands for all of a's family.
func unspecified(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// closeSockets closes all of h's sockets. The network is locked.
func (h *Host) closeSockets() {
	for _, c := range h.packets {
		c.close()
	}
	for _, l := range h.listeners {
		l.close()
	}
	for _, c := range h.conns {
		c.fail(net.ErrClosed)
	}
}

// opError wraps err like package net does.
func opError(op, network string, local, remote net.Addr, err error) error {
	return &net.OpError{Op: op, Net: network, Source: local, Addr: remote, Err: err}
}

// unmap returns a in the form in which the network compares addresses.
func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}
