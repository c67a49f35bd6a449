package config

import (
	"fmt"
	"net/netip"
	"strings"
)

// Transport is a SIP transport as a URI's transport parameter names it, in
// lower case.
type Transport string

const (
	UDP Transport = "udp"
	TCP Transport = "tcp"
	TLS Transport = "tls"
	WS  Transport = "ws"
	WSS Transport = "wss"
)

// parseTransport reads a transport in any case.
func parseTransport(s string) (Transport, error) {
	switch t := Transport(strings.ToLower(s)); t {
	case UDP, TCP, TLS, WS, WSS:
		return t, nil
	}
	return "", fmt.Errorf("unknown transport %q", s)
}

// DefaultPort returns the port where there is none in a URI or an address.
func (t Transport) DefaultPort() uint16 {
	switch t {
	case TLS:
		return 5061
	case WS:
		return 80
	case WSS:
		return 443
	default:
		return 5060
	}
}

// stream reports whether the ports of t are those of TCP.
func (t Transport) stream() bool { return t != UDP }

// Listener is an address that the proxy takes messages at.
type Listener struct {
	Transport Transport
	Addr      netip.AddrPort // the address may be unspecified: all there are; port 0: any that is free
}

// String returns "transport:address:port", with brackets around an IPv6
// address. It is what UnmarshalText takes.
func (l Listener) String() string { return string(l.Transport) + ":" + l.Addr.String() }

// MarshalText implements [encoding.TextMarshaler].
func (l Listener) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. Without a port it is
// the transport's default port.
func (l *Listener) UnmarshalText(text []byte) error {
	name, rest, ok := strings.Cut(string(text), ":")
	if !ok {
		return fmt.Errorf("%q is not transport:address", text)
	}
	t, err := parseTransport(name)
	if err != nil {
		return err
	}
	host, port, err := cutPort(rest)
	if err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || strings.ContainsAny(addr.Zone(), "[]") {
		return fmt.Errorf("%q is not an IP address", host)
	}
	p := t.DefaultPort()
	if port == "0" {
		p = 0
	} else if port != "" {
		if p, err = parsePort(port); err != nil {
			return err
		}
	}
	*l = Listener{t, netip.AddrPortFrom(addr.Unmap(), p)}
	return nil
}

// wildcard reports whether l takes every address of the machine, so that its
// own says nothing about where others reach it.
func (l Listener) wildcard() bool { return l.Addr.Addr().WithZone("").IsUnspecified() }

// Reachable returns where a listener on addr is reached from this machine: one on
// all addresses at loopback.
func Reachable(addr netip.AddrPort) netip.AddrPort {
	switch a := addr.Addr(); {
	case !a.IsUnspecified():
		return addr
	case a.Is4():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), addr.Port())
	default:
		return netip.AddrPortFrom(netip.IPv6Loopback(), addr.Port())
	}
}
