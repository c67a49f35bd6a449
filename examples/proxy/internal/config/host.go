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

// Domain is a SIP domain in the one form that [location.CanonicalDomain]
// gives it: lower case, without port and trailing dot.
type Domain string

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Domain) UnmarshalText(text []byte) error {
	s, err := canonicalHost(string(text))
	if err != nil {
		return err
	}
	*d = Domain(s)
	return nil
}

// Advertise is the name by which others know the proxy. The zero Advertise
// stands for the address of each listener.
type Advertise struct {
	Host string // canonical; an IPv6 address has no brackets
	Port uint16 // 0: that of each listener
}

// String returns "host" or "host:port", with brackets around an IPv6 address.
func (a Advertise) String() string {
	switch {
	case a.Port != 0:
		return net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port)))
	case strings.Contains(a.Host, ":"):
		return "[" + a.Host + "]"
	default:
		return a.Host
	}
}

// MarshalText implements [encoding.TextMarshaler].
func (a Advertise) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. The empty text is the
// zero Advertise.
func (a *Advertise) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = Advertise{}
		return nil
	}
	host, port, err := cutPort(string(text))
	if err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	var adv Advertise
	if port != "" {
		if adv.Port, err = parsePort(port); err != nil {
			return err
		}
	}
	if adv.Host, err = canonicalHost(host); err != nil {
		return err
	}
	if err := checkReachable(adv.Host); err != nil {
		return err
	}
	*a = adv
	return nil
}

// Collector is where something is sent to. The zero Collector is nowhere.
type Collector struct {
	Host string // canonical; an IPv6 address has no brackets
	Port uint16
}

// String returns "host:port", with brackets around an IPv6 address, or "" for the
// zero Collector.
func (c Collector) String() string { return Advertise(c).String() }

// MarshalText implements [encoding.TextMarshaler].
func (c Collector) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. The empty text is the zero
// Collector.
func (c *Collector) UnmarshalText(text []byte) error {
	var a Advertise
	if err := a.UnmarshalText(text); err != nil {
		return err
	}
	if a.Host != "" && a.Port == 0 {
		return fmt.Errorf("%q has no port", text)
	}
	*c = Collector(a)
	return nil
}

// canonicalHost is [location.CanonicalDomain] with the reason as its error.
func canonicalHost(s string) (string, error) {
	host, err := location.CanonicalDomain(s)
	if err != nil {
		return "", fmt.Errorf("%q is not a host: %w", s, reason(err))
	}
	return host, nil
}

// reason strips package and text from an error of package location.
func reason(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// checkReachable refuses the addresses that no packet can be sent to.
func checkReachable(host string) error {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return nil // a name
	}
	a = a.Unmap()
	if a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return fmt.Errorf("%s is no address of a host", host)
	}
	return nil
}

// isPlaceholder reports whether a host can only have come out of an example:
// the address blocks of RFC 5737 and RFC 3849, the names of RFC 2606 and RFC
// 6761, but not .test, which test networks do use, and a few words.
func isPlaceholder(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		for _, block := range []string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"} {
			if netip.MustParsePrefix(block).Contains(a.Unmap()) {
				return true
			}
		}
		return false
	}
	for _, name := range []string{"example", "invalid", "example.com", "example.net", "example.org"} {
		if host == name || strings.HasSuffix(host, "."+name) {
			return true
		}
	}
	for _, word := range []string{"your-", "your_", "changeme", "change-me", "change_me", "placeholder"} {
		if strings.HasPrefix(host, word) {
			return true
		}
	}
	return false
}
