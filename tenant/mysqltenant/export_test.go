package mysqltenant

import "net/netip"

// For tests of what no caller sees.
var AttrValues = attrValues

// ParseDestination returns an address or a name, and a port.
func ParseDestination(uri string) (addr netip.Addr, name string, port uint16, err error) {
	e, err := parseDestination(uri)
	return e.addr, e.name.Host, e.port, err
}
