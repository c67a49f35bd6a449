package mysqltenant

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sipward/sipward/tenant"
)

// Default ports (RFC 3261 section 19.1.2).
const (
	portSIP = 5060
	portTLS = 5061
)

// endpoint is where a destination is: an address or, if addr is not valid, a
// name.
type endpoint struct {
	addr netip.Addr
	name Name
	port uint16 // the default if the URI has none
}

// parseDestination finds host and port in a SIP or SIPS URI.
func parseDestination(uri string) (endpoint, error) {
	scheme, rest, _ := strings.Cut(uri, ":")
	secure := strings.EqualFold(scheme, "sips")
	unfit := func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`<>"`, r) }
	if !secure && !strings.EqualFold(scheme, "sip") || strings.ContainsFunc(rest, unfit) {
		return endpoint{}, fmt.Errorf("destination %q is not a SIP URI", uri)
	}
	rest = rest[strings.LastIndexByte(rest, '@')+1:] // nothing behind the user may have one
	rest, _, _ = strings.Cut(rest, "?")
	hostPort, params, _ := strings.Cut(rest, ";")
	host, err := canonical(hostPort)
	if err != nil {
		return endpoint{}, fmt.Errorf("destination %q has no valid host and port", uri)
	}
	transport := transportOf(params)
	e := endpoint{name: Name{host, serviceOf(secure, transport)}, port: portSIP}
	if secure || transport == "tls" || transport == "wss" {
		e.port = portTLS
	}
	if port, err := strconv.ParseUint(portOf(hostPort), 10, 16); err == nil {
		e.port, e.name.Service = uint16(port), ""
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.IsUnspecified() {
			return endpoint{}, fmt.Errorf("destination %q has no address of a host", uri)
		}
		e.addr, e.name = addr, Name{}
	}
	return e, nil
}

// portOf returns the text behind the colon that sets off the port. It is not a
// number if there is none.
func portOf(hostPort string) string {
	sep := ":"
	if strings.HasPrefix(hostPort, "[") {
		sep = "]:"
	}
	_, port, _ := strings.Cut(hostPort, sep)
	return port
}

// transportOf returns the transport that parameters name, in lower case; "" if none.
func transportOf(params string) string {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(name, "transport") {
			return strings.ToLower(value)
		}
	}
	return ""
}

// serviceOf returns the service whose SRV records a host has for a transport (RFC
// 3263 section 4.1), or "" if none is known.
func serviceOf(secure bool, transport string) string {
	switch {
	case transport == "tls", secure && (transport == "" || transport == "tcp"):
		return "_sips._tcp"
	case secure:
		return ""
	case transport == "", transport == "udp":
		return "_sip._udp"
	case transport == "tcp":
		return "_sip._tcp"
	}
	return ""
}

// canonical returns the canonical form of a domain. A table is what decides
// that, so that it never refuses what passed here.
func canonical(domain string) (string, error) {
	t, err := tenant.NewTable([]tenant.Tenant{{Domains: []string{domain}}})
	if err != nil {
		return "", err
	}
	only, _ := t.Set(0)
	return only.Domains[0], nil
}

// ParseSource returns the source that an address or a network in source_ip
// stands for. The error wraps [ErrBadSource] if a load would leave it out.
func ParseSource(s string) (tenant.Source, error) {
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		addr, err := netip.ParseAddr(s)
		if err != nil || addr.Zone() != "" {
			return tenant.Source{}, fmt.Errorf("%w: %q is no address or network", ErrBadSource, s)
		}
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	source := tenant.Source{Prefix: prefix}
	if _, err := tenant.NewTable([]tenant.Tenant{{Sources: []tenant.Source{source}}}); err != nil {
		return tenant.Source{}, fmt.Errorf("%w: %q holds every address, or cuts an IPv4-mapped one", ErrBadSource, s)
	}
	return source, nil
}
