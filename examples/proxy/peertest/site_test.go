package peertest

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// site is where a test takes place: a proxy, PBXes and phones, each a host
// with an address of its own.
type site struct {
	t *testing.T
	n byte
}

var sites atomic.Uint32

// newSite returns a site that no other test has.
func newSite(t *testing.T) *site {
	return &site{t: t, n: byte(sites.Add(1) % 254)}
}

func (s *site) host(n int) netip.Addr { return netip.AddrFrom4([4]byte{127, octet, s.n, byte(n)}) }

// proxy is the address of the proxy, pbx and phone those of PBXes and phones,
// counted from 0, and stranger that of nobody who is known.
func (s *site) proxy() netip.AddrPort      { return netip.AddrPortFrom(s.host(1), 5060) }
func (s *site) pbx(i int) netip.AddrPort   { return netip.AddrPortFrom(s.host(10+i), 5060) }
func (s *site) phone(i int) netip.AddrPort { return netip.AddrPortFrom(s.host(20+i), 5060) }
func (s *site) stranger() netip.AddrPort   { return netip.AddrPortFrom(s.host(99), 5060) }
func (s *site) admin() netip.AddrPort      { return netip.AddrPortFrom(s.host(1), 8060) }

// settings is what tests configure. The zero value is one tenant with one PBX.
type settings struct {
	tenants []tenant // nil: tenants(1); empty: none in the file
	listen  []string // more listeners
	lines   []string // more of the file
}

// tenant is a set in the configuration. Its domains and PBXes follow from its
// place in the list if they are not given: tenant-a.test at pbx(0) and so on.
type tenant struct {
	domains []string
	pbxes   []string // destinations, in YAML
	lines   []string // more of the set
}

// tenants returns n tenants with nothing special.
func tenants(n int) []tenant { return make([]tenant, n) }

// domain is the domain of the i-th tenant.
func domain(i int) string { return fmt.Sprintf("tenant-%c.test", 'a'+i) }

// config writes the configuration file and returns its name.
func (s *site) config(c settings) string {
	s.t.Helper()
	if c.tenants == nil {
		c.tenants = tenants(1)
	}
	var b strings.Builder
	listen := append([]string{fmt.Sprint("udp:", s.proxy()), fmt.Sprint("tcp:", s.proxy())}, c.listen...)
	fmt.Fprintf(&b, "listen: [\"%s\"]\nadmin: %q\n", strings.Join(listen, `", "`), s.admin())
	fmt.Fprintln(&b, "secret: a secret for these tests")
	for _, l := range c.lines {
		fmt.Fprintln(&b, l)
	}
	for _, l := range []string{"log: {level: debug, format: text}", "dispatcher: {probe: never}"} {
		key, _, _ := strings.Cut(l, " ")
		if !strings.Contains(b.String(), "\n"+key) {
			fmt.Fprintln(&b, l)
		}
	}
	if len(c.tenants) > 0 {
		fmt.Fprintln(&b, "tenants:")
	}
	for i, tn := range c.tenants {
		if tn.pbxes == nil {
			tn.pbxes = []string{fmt.Sprintf("{uri: \"sip:%v\"}", s.pbx(i))}
		}
		if tn.domains == nil {
			tn.domains = []string{domain(i)}
		}
		fmt.Fprintf(&b, "  - setid: %d\n    domains: [%s]\n    destinations:\n", 10*(i+1), strings.Join(tn.domains, ", "))
		for _, p := range tn.pbxes {
			fmt.Fprintf(&b, "      - %s\n", p)
		}
		for _, l := range tn.lines {
			fmt.Fprintf(&b, "    %s\n", l)
		}
	}
	file := filepath.Join(s.t.TempDir(), "proxy.yaml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file
}
