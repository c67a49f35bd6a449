package main

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/location"
)

// names knows what the proxy is called: by its listeners' addresses, by the
// addresses of the machine if it listens on all of them, and as advertised.
type names struct {
	own    map[hostPort]struct{}
	sentBy map[listener]string // what others are told, by listener
	first  map[string]string   // the same, by network: for connections that we open
	any    string              // the first of all
	listen []listener
	there  map[listener]netip.AddrPort // where listeners on all addresses are reached
}

type hostPort struct {
	host string // canonical
	port uint16
}

type listener struct {
	network string
	addr    netip.AddrPort
}

// newNames returns the names for what cfg listens on. Local are the machine's
// addresses.
func newNames(cfg *config.Config, local []netip.Addr) *names {
	n := &names{own: map[hostPort]struct{}{}, sentBy: map[listener]string{}, first: map[string]string{}, there: map[listener]netip.AddrPort{}}
	for _, l := range cfg.Listen {
		host, port := cfg.Advertised(l)
		at := listener{string(l.Transport), l.Addr}
		n.listen = append(n.listen, at)
		n.sentBy[at] = net.JoinHostPort(host, strconv.Itoa(int(port)))
		if n.any == "" {
			n.any = n.sentBy[at]
		}
		if n.first[at.network] == "" {
			n.first[at.network] = n.sentBy[at]
		}
		n.add(host, port)
		if !l.Addr.Addr().IsUnspecified() {
			n.add(l.Addr.Addr().String(), l.Addr.Port())
			continue
		}
		n.there[at] = reachedAt(l.Addr, host, port, local)
		for _, a := range local {
			n.add(a.String(), l.Addr.Port())
		}
	}
	return n
}

// reachedAt returns where a listener on all addresses is reached: as advertised if
// that is an address of its family, else at the first of the machine that others may
// use.
func reachedAt(at netip.AddrPort, host string, port uint16, local []netip.Addr) netip.AddrPort {
	if a, err := netip.ParseAddr(host); err == nil && a.Is4() == at.Addr().Is4() {
		return netip.AddrPortFrom(a, port)
	}
	for _, a := range local {
		if a.Is4() == at.Addr().Is4() && a.IsGlobalUnicast() {
			return netip.AddrPortFrom(a, at.Port())
		}
	}
	return config.Reachable(at)
}

func (n *names) add(host string, port uint16) {
	if host, err := location.CanonicalDomain(host); err == nil {
		n.own[hostPort{host, port}] = struct{}{}
	}
}

// isOwn reports whether host and port are the proxy. Port 0 is the default.
func (n *names) isOwn(host string, port uint16) bool {
	if port == 0 {
		port = 5060
	}
	if _, ok := n.own[hostPort{host, port}]; ok {
		return true
	}
	canonical, err := location.CanonicalDomain(host)
	if err != nil || canonical == host {
		return false
	}
	_, ok := n.own[hostPort{canonical, port}]
	return ok
}

// hasAddr reports whether the proxy has an address, with any port.
func (n *names) hasAddr(a netip.Addr) bool {
	host := a.String()
	for own := range n.own {
		if own.host == host {
			return true
		}
	}
	return false
}

// of returns what Via and Record-Route call the proxy on f.
func (n *names) of(f transport.Flow) string {
	if s, ok := n.sentBy[listener{f.Network(), f.Local()}]; ok {
		return s
	}
	if s, ok := n.first[f.Network()]; ok {
		return s
	}
	return n.any // a connection that we opened, and nobody will open one to us
}

// addrOf returns the address of our end of f: of a listener on all addresses, one
// that others know. Which of them a datagram came to, or leaves from, is not known.
func (n *names) addrOf(f transport.Flow) netip.AddrPort {
	local := f.Local()
	if a, ok := n.there[listener{f.Network(), local}]; ok {
		return a
	}
	return local
}

// listenerOf returns the listener that a URI of ours, such as that of a
// Record-Route, stands for; the zero listener if it is not clear which.
func (n *names) listenerOf(u location.URI) listener {
	network := networkOf(u)
	var found listener
	for _, l := range n.listen {
		if l.network != network || !strings.EqualFold(n.sentBy[l], u.HostPort()) {
			continue
		}
		if found != (listener{}) {
			return listener{}
		}
		found = l
	}
	return found
}

// bySocket returns the listener that a dispatcher row names, such as
// "udp:192.0.2.1:5060"; the zero listener if there is none.
func (n *names) bySocket(socket string) listener {
	for _, l := range n.listen {
		if strings.EqualFold(l.network+":"+l.addr.String(), socket) {
			return l
		}
	}
	return listener{}
}

// networkOf returns the network that a URI asks for (RFC 3261 section 19.1.2, RFC
// 7118 section 5).
func networkOf(u location.URI) string {
	t, ok := u.Param("transport")
	t = strings.ToLower(t)
	switch secure := strings.EqualFold(u.Scheme, "sips"); {
	case secure && (!ok || t == "tcp"):
		return "tls"
	case secure && t == "ws":
		return "wss"
	case !ok:
		return "udp"
	}
	return t
}

// localAddrs returns the addresses of the machine.
func localAddrs() []netip.Addr {
	addrs, _ := net.InterfaceAddrs() // none is no reason not to start: there is the advertised one
	var local []netip.Addr
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			local = append(local, p.Addr().Unmap())
		}
	}
	return local
}
