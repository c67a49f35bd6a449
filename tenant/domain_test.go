package tenant_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/sipward/sipward/tenant"
)

func TestDomain_Limits(t *testing.T) {
	label := strings.Repeat("a", 63)
	longest := label + "." + label + "." + label + "." + strings.Repeat("b", 61) // 253
	tests := []struct {
		name, domain string
		ok           bool
	}{
		{"longest label", label + ".example", true},
		{"label too long", label + "a.example", false},
		{"longest name", longest, true},
		{"name too long", longest + "b", false},
		{"one label", "localhost", true},
		{"underscore", "_sip.a_b.example", true},
		{"digits first", "3com.example", true},
		{"hyphen first", "-a.example", true},
		{"hyphen last", "a-.example", true},
		{"empty label", "a..example", false},
		{"dot", ".", false},
		{"port only", ":5060", false},
		{"port 0", "a.example:0", false},
		{"highest port", "a.example:65535", true},
		{"number last", "a.1", false},
		{"IPv4 in octal", "010.0.1.10", false},
		{"IPv4 too short", "10.1", false},
		{"brackets around IPv4", "[10.0.1.10]", false},
		{"text behind brackets", "[2001:db8::1]x", false},
		{"not ASCII", "bücher.example", false},
		{"NUL", "a\x00.example", false},
		{"user part", "401@a.example", false},
		{"SQL", "a.example' OR '1'='1", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tenant.NewTable([]tenant.Tenant{{SetID: 1, Domains: []string{tt.domain}}})
			if ok := err == nil; ok != tt.ok {
				t.Errorf("%q: error %v, want valid %t", tt.domain, err, tt.ok)
			}
		})
	}
}

// What is a domain is found under every spelling of it, and its canonical form
// is canonical.
func FuzzDomain(f *testing.F) {
	for _, s := range []string{
		"a.example", "A.Example.:5060", "10.0.1.10:5080", "010.0.1.10", "[2001:DB8::1]:5061",
		"::ffff:10.0.1.10", "fe80::1%eth0", "a.example:", "[::1", "a..b", "-", "1", "::",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		table, err := tenant.NewTable([]tenant.Tenant{{SetID: 1, Domains: []string{s}}})
		if err != nil {
			empty := mustTable(t)
			if tn, ok := empty.Domain(s); ok {
				t.Fatalf("Domain(%q) = %v in an empty table", s, tn)
			}
			return
		}
		tn, _ := table.Set(1)
		canonical := tn.Domains[0]
		spellings := []string{s, canonical, strings.ToUpper(canonical)}
		if addr, err := netip.ParseAddr(canonical); err == nil {
			spellings = append(spellings, netip.AddrPortFrom(addr, 5060).String())
			if addr.String() != canonical {
				t.Errorf("%q became %q, netip says %q", s, canonical, addr)
			}
		} else {
			spellings = append(spellings, canonical+".", canonical+":5060")
		}
		for _, spelling := range spellings {
			if _, ok := table.Domain(spelling); !ok {
				t.Errorf("%q became %q, not found as %q", s, canonical, spelling)
			}
		}
		again := mustTable(t, tenant.Tenant{SetID: 1, Domains: []string{canonical}})
		if tn, _ := again.Set(1); tn.Domains[0] != canonical {
			t.Errorf("%q became %q and then %q", s, canonical, tn.Domains[0])
		}
	})
}
