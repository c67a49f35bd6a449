package location

import (
	"errors"
	"net/netip"
	"strings"
)

// CanonicalDomain returns the one spelling of a host that names are compared
// in: lower case, without port and without the dot at the end; an IPv6 address
// without brackets and as [netip.Addr] prints it. "PBX.example.:5060" gives
// "pbx.example" and "[2001:DB8::0:1]" gives "2001:db8::1".
//
// A host whose last label is a number must be an IPv4 address. The underscore
// is taken for a letter, as DNS and PBX names have it; other characters beyond
// letters, digits and hyphens are errors, so an internationalized name must
// come in its ASCII form. There is no allocation if host is canonical already.
func CanonicalDomain(host string) (string, error) {
	h, err := canonicalHostPort(host)
	if err != nil {
		return "", wrapErr("domain", host, err)
	}
	return h, nil
}

func canonicalHostPort(s string) (string, error) {
	// Two colons and no bracket can only be a bare IPv6 address, which is what
	// this function itself returns.
	if i := strings.IndexByte(s, ':'); i >= 0 && s[0] != '[' && strings.IndexByte(s[i+1:], ':') >= 0 {
		return canonicalHost(s)
	}
	host, _, err := splitHostPort(s)
	if err != nil {
		return "", err
	}
	return canonicalHost(host)
}

// canonicalHost is CanonicalDomain for a host without port and brackets.
func canonicalHost(host string) (string, error) {
	if strings.IndexByte(host, ':') >= 0 {
		a, err := parseIPv6(host)
		if err != nil {
			return "", err
		}
		var buf [48]byte
		b := a.AppendTo(buf[:0])
		if string(b) == host {
			return host, nil
		}
		return string(b), nil
	}
	if err := checkHost(host); err != nil {
		return "", err
	}
	return strings.ToLower(strings.TrimSuffix(host, ".")), nil
}

// splitHostPort takes "host", "host:port", "[v6]" and "[v6]:port" apart. The
// host comes back as written, checked, and without brackets. The port is 0 if
// there is none.
func splitHostPort(s string) (host string, port uint16, err error) {
	var rest string
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", 0, errors.New("bracket without end")
		}
		host, rest = s[1:end], s[end+1:]
		_, err = parseIPv6(host)
	} else {
		host = s
		if i := strings.IndexByte(s, ':'); i >= 0 {
			host, rest = s[:i], s[i:]
		}
		err = checkHost(host)
	}
	if err != nil {
		return "", 0, err
	}
	if rest == "" {
		return host, 0, nil
	}
	if rest[0] != ':' {
		return "", 0, errors.New("text after the host")
	}
	port, err = parsePort(rest[1:])
	return host, port, err
}

func parsePort(s string) (uint16, error) {
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, errors.New("port is not a number")
		}
		if n = n*10 + int(s[i]-'0'); n > 65535 {
			return 0, errors.New("port out of range")
		}
	}
	if n == 0 {
		return 0, errors.New("port empty or 0")
	}
	return uint16(n), nil
}

func parseIPv6(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is6() || a.Zone() != "" {
		return netip.Addr{}, errors.New("not an IPv6 address")
	}
	return a, nil
}

// checkHost checks a name or IPv4 address (RFC 3261 section 25.1, hostname).
func checkHost(host string) error {
	name := strings.TrimSuffix(host, ".")
	if name == "" {
		return errors.New("no host")
	}
	if len(name) > 253 {
		return errors.New("host longer than 253 characters")
	}
	label, numeric := 0, true // of the label at hand: length; digits only
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '.':
			if label == 0 {
				return errors.New("empty label in host")
			}
			label, numeric = 0, true
			continue
		case c >= '0' && c <= '9':
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '_':
			numeric = false
		default:
			return errors.New("character not allowed in host")
		}
		if label++; label > 63 {
			return errors.New("host label longer than 63 characters")
		}
	}
	if label == 0 {
		return errors.New("empty label in host")
	}
	if numeric {
		if _, err := netip.ParseAddr(name); err != nil {
			return errors.New("not an IPv4 address")
		}
	}
	return nil
}
