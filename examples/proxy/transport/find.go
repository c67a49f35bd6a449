package transport

import (
	"fmt"
	"net/netip"
)

// Find returns the existing flow to a remote address. It opens nothing.
//
// Over UDP that is any remote, from the listener bound to local or, if local
// is the zero AddrPort, from the first listener of the address family. Over a
// stream network it is the open connection with exactly that remote, and with
// local if it is valid, once its handshakes are over: a phone whose connection
// is gone is not reached over any other (R42).
func (l *Layer) Find(network string, local, remote netip.AddrPort) (Flow, bool) {
	local, remote = unmap(local), unmap(remote)
	if !remote.IsValid() {
		return Flow{}, false
	}
	if network == "udp" {
		p := l.port(local, remote)
		if p == nil {
			return Flow{}, false
		}
		return Flow{p, remote}, true
	}
	s := l.table.find(target{network, remote}, local)
	if s == nil {
		return Flow{}, false
	}
	return s.flow(), true
}

// Dial is [Layer.Find], and opens the connection if "tcp" or "tls" has none.
// The connection gets the source address of local, if that is a host's, and a
// port of its own. If it cannot be opened within [Limits].Dial, TLS included,
// the handler is told by Closed, with [ErrDial]. The flow can be sent on meanwhile: the messages
// wait. Calls for one target share one connection, which may be one that the
// peer opened, but not with TLS: the peer has not proved who it is.
//
// The error is [ErrSelf] for an address that a listener of this layer has,
// [ErrNoListener] over UDP if Find finds none, [ErrNetwork], also for a
// WebSocket that is not there, as only a client can open it, or [ErrClosed]
// after Run.
func (l *Layer) Dial(network string, local, remote netip.AddrPort) (Flow, error) {
	local, remote = unmap(local), unmap(remote)
	if !remote.IsValid() || remote.Port() == 0 {
		return Flow{}, fmt.Errorf("transport: dial %s %v: no address", network, remote)
	}
	switch {
	case network != "udp" && !isStream(network):
		return Flow{}, fmt.Errorf("%w %q", ErrNetwork, network)
	case l.Own(network, remote):
		return Flow{}, fmt.Errorf("%w %s %v", ErrSelf, network, remote)
	case network == "udp":
		p := l.port(local, remote)
		if p == nil {
			return Flow{}, fmt.Errorf("%w: udp %v", ErrNoListener, local)
		}
		return Flow{p, remote}, nil
	case isWebSocket(network):
		f, ok := l.Find(network, local, remote)
		if !ok {
			return Flow{}, fmt.Errorf("%w %q: only a client opens it", ErrNetwork, network)
		}
		return f, nil
	}
	s, added := l.table.findOrAdd(target{network, remote}, local, func() *stream {
		return newDialed(l, network, local, remote)
	})
	if added {
		l.count.dialed.Add(1)
		if !l.launcher.launch(s.run) {
			s.shut(ErrClosed, false) // for who shares it already
			l.table.remove(s)
			return Flow{}, ErrClosed
		}
	}
	return s.flow(), nil
}

// port returns the UDP listener to reach remote from local.
func (l *Layer) port(local, remote netip.AddrPort) *port {
	for _, p := range *l.ports.Load() {
		if (p.addr.AddrPort == local || !local.IsValid()) && sameFamily(p.addr.AddrPort, remote) {
			return p
		}
	}
	return nil
}

// Own reports whether what is sent to an address arrives at a listener of this
// layer. One that is bound to all addresses has those that the host had when it
// was opened. The unspecified address itself is that of any listener with the
// port.
func (l *Layer) Own(network string, addr netip.AddrPort) bool {
	addr = unmap(addr)
	if network == "udp" {
		for _, p := range *l.ports.Load() {
			if p.addr.reaches(addr) {
				return true
			}
		}
	}
	for _, d := range *l.doors.Load() {
		if d.network == network && d.addr.reaches(addr) {
			return true
		}
	}
	return false
}
