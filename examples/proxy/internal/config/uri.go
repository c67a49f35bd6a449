package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sipward/sipward/location"
)

// URI is the SIP URI of a PBX. Those that mean the same are equal, but for Explicit.
type URI struct {
	Host      string // canonical; an IPv6 address has no brackets
	Port      uint16 // of an address the transport's default if the text has none, of a name 0
	Transport Transport
	Explicit  bool // UDP, because the text says so
}

// Place returns where u leads, without how the text says it: those of URIs that
// lead to the same place are equal.
func (u URI) Place() URI {
	u.Explicit = false
	return u
}

// Addr returns the host if it is an IP address and not a name.
func (u URI) Addr() (a netip.Addr, ok bool) {
	a, err := netip.ParseAddr(u.Host)
	return a.Unmap(), err == nil
}

// String returns "sip:host:port", or "sip:host" without a port, followed by the
// transport if it is not UDP or is explicit.
func (u URI) String() string {
	s := "sip:" + u.Host
	if u.Port != 0 {
		s = "sip:" + net.JoinHostPort(u.Host, strconv.Itoa(int(u.Port)))
	}
	if u.Transport != UDP || u.Explicit {
		s += ";transport=" + string(u.Transport)
	}
	return s
}

// MarshalText implements [encoding.TextMarshaler].
func (u URI) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. It takes a SIP URI with
// a host and maybe a port and a transport, and nothing that would then have no
// effect.
func (u *URI) UnmarshalText(text []byte) error {
	p, err := location.ParseURI(string(text))
	switch {
	case errors.Is(err, location.ErrScheme) || err == nil && !strings.EqualFold(p.Scheme, "sip"):
		return fmt.Errorf("%q is not a URI with the scheme sip", text)
	case err != nil:
		return fmt.Errorf("%q is not a URI: %w", text, reason(err))
	case p.User != "":
		return errors.New("a destination has no user")
	case p.Headers != "":
		return errors.New("a destination has no headers")
	}
	out := URI{Port: p.Port}
	if out.Host, err = canonicalHost(p.Host); err != nil {
		return err
	}
	if err := checkReachable(out.Host); err != nil {
		return err
	}
	if out.Transport, err = transportOf(p.Params); err != nil {
		return err
	}
	out.Explicit = out.Transport == UDP && p.Params != ""
	if _, isAddr := out.Addr(); isAddr && out.Port == 0 { // what a name has, DNS says
		out.Port = out.Transport.DefaultPort()
	}
	*u = out
	return nil
}

// transportOf reads the parameters of a URI, of which it takes only transport.
func transportOf(params string) (Transport, error) {
	if params == "" {
		return UDP, nil
	}
	name, value, _ := strings.Cut(params, "=")
	if !strings.EqualFold(name, "transport") || strings.Contains(value, ";") {
		return "", fmt.Errorf("parameters %q, want none but transport", params)
	}
	t, err := parseTransport(value)
	if t == WS || t == WSS {
		return "", fmt.Errorf("transport %q is not for a PBX", value)
	}
	return t, err
}
