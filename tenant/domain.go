package tenant

import (
	"errors"
	"net/netip"
	"strings"
)

// Limits of RFC 1035 section 2.3.4, for names in text form.
const (
	maxNameLen  = 253
	maxLabelLen = 63
)

var (
	errEmptyDomain = errors.New("no domain name")
	errLongDomain  = errors.New("domain name is too long")
	errBadDomain   = errors.New("not a domain name or address")
	errBadPort     = errors.New("not a port number")
)

// canonicalDomain returns the one spelling of the host part of a SIP URI under
// which it is compared: lower case, without port and trailing dot, IPv6
// without brackets and in the form of RFC 5952. It returns its argument, and
// does not allocate, if that is canonical already.
func canonicalDomain(s string) (string, error) {
	if s == "" {
		return "", errEmptyDomain
	}
	host, ipv6, err := cutPort(s)
	switch {
	case err != nil:
		return "", err
	case ipv6:
		return canonicalIPv6(host)
	}
	host = strings.TrimSuffix(host, ".")
	if err := checkName(host); err != nil {
		return "", err
	}
	return strings.ToLower(host), nil // ToLower returns what is lower case as it is
}

// cutPort takes the port and the brackets off s (RFC 3261 section 25.1,
// hostport) and tells whether what remains must be an IPv6 address. A bare one
// has no port, since nothing would set the port apart from the address.
func cutPort(s string) (host string, ipv6 bool, err error) {
	var port string
	var hasPort bool
	if rest, ok := strings.CutPrefix(s, "["); ok {
		var tail string
		if host, tail, ok = strings.Cut(rest, "]"); !ok {
			return "", false, errBadDomain
		}
		if port, hasPort = strings.CutPrefix(tail, ":"); !hasPort && tail != "" {
			return "", false, errBadDomain
		}
		ipv6 = true
	} else {
		host, port, hasPort = strings.Cut(s, ":")
		if strings.Contains(port, ":") {
			return s, true, nil
		}
	}
	if hasPort && !isPort(port) {
		return "", false, errBadPort
	}
	return host, ipv6, nil
}

// isPort reports whether s is a decimal number from 1 to 65535.
func isPort(s string) bool {
	n := 0
	for i := range len(s) {
		if !isDigit(s[i]) || n > 65535 {
			return false
		}
		n = n*10 + int(s[i]-'0')
	}
	return 0 < n && n <= 65535
}

// canonicalIPv6 refuses zones: they mean something on one machine only.
func canonicalIPv6(s string) (string, error) {
	addr, err := netip.ParseAddr(s)
	if err != nil || !addr.Is6() || addr.Zone() != "" {
		return "", errBadDomain
	}
	var buf [len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255")]byte
	if b := addr.AppendTo(buf[:0]); string(b) != s {
		return string(b), nil
	}
	return s, nil
}

// checkName accepts IPv4 addresses and host names, with underscores and with
// hyphens anywhere since real networks have both. A name that ends in a number
// can only be an IPv4 address (RFC 3261 section 25.1, toplabel), so 010.0.1.10
// is neither.
func checkName(s string) error {
	if len(s) > maxNameLen {
		return errLongDomain
	}
	if lastIsNumber(s) {
		if addr, err := netip.ParseAddr(s); err != nil || !addr.Is4() {
			return errBadDomain
		}
		return nil
	}
	start := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] != '.' {
			if !isNameByte(s[i]) {
				return errBadDomain
			}
			continue
		}
		if i == start || i-start > maxLabelLen {
			return errBadDomain
		}
		start = i + 1
	}
	return nil
}

// isAddr reports whether the canonical domain s is an IP address.
func isAddr(s string) bool {
	return strings.Contains(s, ":") || lastIsNumber(s)
}

// lastIsNumber reports whether the last label of s has digits and nothing else.
func lastIsNumber(s string) bool {
	i := len(s)
	for i > 0 && isDigit(s[i-1]) {
		i--
	}
	return i < len(s) && (i == 0 || s[i-1] == '.')
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || isDigit(c) || c == '-' || c == '_'
}
