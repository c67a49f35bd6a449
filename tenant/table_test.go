package tenant_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sipward/sipward/tenant"
)

var comparePrefix = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func TestNewTable_Canonical(t *testing.T) {
	in := []tenant.Tenant{
		{
			SetID:   20,
			Domains: []string{"B.Example.:5060", "b.example", "[2001:DB8::0:1]:5061"},
			Sources: []tenant.Source{src("::ffff:10.0.2.77/120"), src("10.0.2.0/24"), srcPort("2001:db8::5/64", 5060)},
		},
		{SetID: 10},
	}
	table := mustTable(t, in...)
	in[0].Domains[0], in[0].Sources[0] = "changed.example", tenant.Source{}

	want := []*tenant.Tenant{
		{SetID: 10},
		{
			SetID:   20,
			Domains: []string{"b.example", "2001:db8::1"},
			Sources: []tenant.Source{src("10.0.2.0/24"), srcPort("2001:db8::/64", 5060)},
		},
	}
	got := slices.Collect(table.Tenants())
	if diff := cmp.Diff(want, got, comparePrefix, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("tenants (-want +got):\n%s", diff)
	}
	if table.Len() != 2 {
		t.Errorf("Len() = %d, want 2", table.Len())
	}
}

func TestNewTable_Faults(t *testing.T) {
	tests := []struct {
		name string
		in   []tenant.Tenant
		want []string
	}{
		{
			name: "domain in two sets",
			in: []tenant.Tenant{
				{SetID: 10, Domains: []string{"a.example"}},
				{SetID: 20, Domains: []string{"A.example."}},
			},
			want: []string{`tenant: set 20: domain "a.example" belongs to set 10 already`},
		},
		{
			name: "set twice",
			in:   []tenant.Tenant{{SetID: 10}, {SetID: 10}},
			want: []string{"tenant: set 10: set id is used twice"},
		},
		{
			name: "all at once",
			in: []tenant.Tenant{
				{SetID: -1, Domains: []string{"", "a b"}},
				{SetID: 10, Sources: []tenant.Source{{}, src("0.0.0.0/0"), src("::ffff:0:0/95")}},
			},
			want: []string{
				`tenant: set -1: domain "": no domain name`,
				`tenant: set -1: domain "a b": not a domain name or address`,
				"tenant: set -1: set id is negative",
				"tenant: set 10: source invalid Prefix: not a valid prefix",
				"tenant: set 10: source 0.0.0.0/0: prefix holds every address",
				"tenant: set 10: source ::ffff:0.0.0.0/95: prefix cuts an IPv4-mapped address",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table, err := tenant.NewTable(tt.in)
			if table != nil || err == nil {
				t.Fatalf("NewTable = %v, %v, want an error", table, err)
			}
			if diff := cmp.Diff(tt.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

// P-76: port, trailing dot and capitals do not change the tenant.
func TestTable_Domain(t *testing.T) {
	table := mustTable(t,
		tenant.Tenant{SetID: 10, Domains: []string{"tenant-a.test", "192.0.2.10"}},
		tenant.Tenant{SetID: 20, Domains: []string{"tenant-b.test", "2001:db8::20"}},
	)
	tests := []struct {
		name string
		want int // 0: not found
	}{
		{"tenant-a.test", 10},
		{"tenant-a.test:5060", 10},
		{"TENANT-A.Test", 10},
		{"tenant-a.test.", 10},
		{"Tenant-A.TEST.:5061", 10},
		{"192.0.2.10", 10},
		{"192.0.2.10:5080", 10},
		{"tenant-b.test", 20},
		{"2001:db8::20", 20},
		{"[2001:db8::20]", 20},
		{"[2001:DB8:0::20]:5060", 20},
		{"", 0},
		{"tenant-a.test.test", 0},
		{"tenant-a", 0},
		{"sub.tenant-a.test", 0},
		{"tenant-a.test..", 0},
		{"tenant-a.test:", 0},
		{"tenant-a.test:x", 0},
		{"tenant-a.test:65536", 0},
		{"192.0.2.1", 0},
		{"192.0.2.100", 0},
		{"192.0.2.010", 0},
		{"[2001:db8::20", 0},
		{"[tenant-a.test]", 0},
		{"2001:db8::20%eth0", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := 0
			if tn, ok := table.Domain(tt.name); ok {
				got = tn.SetID
			}
			if got != tt.want {
				t.Errorf("Domain(%q) = set %d, want %d", tt.name, got, tt.want)
			}
		})
	}
}

func TestTable_Candidates(t *testing.T) {
	table := mustTable(t,
		tenant.Tenant{SetID: 10, Sources: []tenant.Source{src("10.0.1.10/32"), srcPort("198.51.100.7/32", 5060)}},
		tenant.Tenant{SetID: 20, Sources: []tenant.Source{src("10.0.1.100/32"), srcPort("198.51.100.7/32", 5080)}},
		tenant.Tenant{SetID: 30, Sources: []tenant.Source{src("10.0.1.0/24"), src("2001:db8:3::/48")}},
		tenant.Tenant{SetID: 40, Sources: []tenant.Source{src("10.0.1.0/24"), src("2001:db8:3::4/128")}},
		tenant.Tenant{SetID: 50, Sources: []tenant.Source{
			srcPort("203.0.113.5/32", 5060), srcPort("203.0.113.5/32", 5062), src("203.0.113.5/32"),
		}},
	)
	tests := []struct {
		name, src string
		want      []int
	}{
		{"P-63 exact", "10.0.1.10:5060", []int{10}},
		{"P-63 longer text", "10.0.1.100:5060", []int{20}},
		{"P-63 shorter text", "10.0.1.1:5060", []int{30, 40}},
		{"P-63 any port", "10.0.1.10:5080", []int{10}},
		{"IPv4-mapped", "[::ffff:10.0.1.10]:5060", []int{10}},
		{"network of two sets", "10.0.1.11:5060", []int{30, 40}},
		{"outside", "10.0.2.11:5060", nil},
		{"port of the first", "198.51.100.7:5060", []int{10}},
		{"port of the second", "198.51.100.7:5080", []int{20}},
		{"ephemeral port", "198.51.100.7:49152", []int{10, 20}},
		{"IPv6 network", "[2001:db8:3::5]:5060", []int{30}},
		{"IPv6 exact", "[2001:db8:3::4]:5060", []int{40}},
		{"IPv6 zone", "[2001:db8:3::4%eth0]:5060", []int{40}},
		{"several ports of one set", "203.0.113.5:9", []int{50}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := setIDs(table.Candidates(netip.MustParseAddrPort(tt.src)))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Candidates(%s) (-want +got):\n%s", tt.src, diff)
			}
		})
	}
	if got := table.Candidates(netip.AddrPort{}); got != nil {
		t.Errorf("Candidates of the zero AddrPort = %v, want none", setIDs(got))
	}
}

func TestTable_Zero(t *testing.T) {
	var table tenant.Table
	if got := table.Candidates(netip.MustParseAddrPort("10.0.1.10:5060")); got != nil {
		t.Errorf("Candidates = %v, want none", setIDs(got))
	}
	if tn, ok := table.Domain("a.example"); ok {
		t.Errorf("Domain = %v, want none", tn)
	}
	if tn, ok := table.Set(0); ok {
		t.Errorf("Set = %v, want none", tn)
	}
}

func TestTable_Shared(t *testing.T) {
	table := mustTable(t,
		tenant.Tenant{SetID: 10, Domains: []string{"a.example", "b.example"},
			Sources: []tenant.Source{src("10.0.1.10/32"), srcPort("10.0.0.0/8", 5060), src("2001:db8::1/128")}},
		tenant.Tenant{SetID: 20, Domains: []string{"c.example"},
			Sources: []tenant.Source{src("10.0.1.10/32"), srcPort("10.0.0.0/8", 5080)}},
		tenant.Tenant{SetID: 30,
			Sources: []tenant.Source{srcPort("10.0.0.0/8", 5080), src("10.0.1.11/32")}},
	)
	var got []string
	for s, ts := range table.SharedSources() {
		got = append(got, fmt.Sprintf("%v %d %v", s.Prefix, s.Port, setIDs(ts)))
	}
	want := []string{
		"10.0.0.0/8 0 [10 20 30]",
		"10.0.0.0/8 5080 [20 30]",
		"10.0.1.10/32 0 [10 20]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("SharedSources (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{10}, setIDs(slices.Collect(table.SharedSets()))); diff != "" {
		t.Errorf("SharedSets (-want +got):\n%s", diff)
	}
}

// Random worlds crowded into a few addresses, prefix lengths and ports; an
// oracle that looks at every source of every tenant must agree.
func TestTable_CandidatesProperty(t *testing.T) {
	const worlds, queries = 400, 100
	rnd := rand.New(rand.NewPCG(1, 2))
	for world := range worlds {
		ts := randomWorld(rnd)
		table := mustTable(t, ts...)
		for range queries {
			q := netip.AddrPortFrom(randomAddr(rnd), randomPort(rnd))
			got, want := setIDs(table.Candidates(q)), bruteCandidates(ts, q)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("world %d, Candidates(%v) of %+v (-want +got):\n%s", world, q, ts, diff)
			}
		}
	}
}

func randomWorld(rnd *rand.Rand) []tenant.Tenant {
	ts := make([]tenant.Tenant, 1+rnd.IntN(6))
	for i := range ts {
		ts[i].SetID = 10 * i
		for range rnd.IntN(5) {
			addr := randomAddr(rnd)
			bits := addr.BitLen() - rnd.IntN(6)
			ts[i].Sources = append(ts[i].Sources, tenant.Source{
				Prefix: netip.PrefixFrom(addr, bits),
				Port:   randomPort(rnd),
			})
		}
	}
	rnd.Shuffle(len(ts), func(i, j int) { ts[i], ts[j] = ts[j], ts[i] })
	return ts
}

func randomAddr(rnd *rand.Rand) netip.Addr {
	low := byte(rnd.IntN(24))
	v4 := netip.AddrFrom4([4]byte{10, 0, 1, low})
	switch rnd.IntN(3) {
	case 0:
		return v4
	case 1:
		return netip.AddrFrom16(v4.As16()) // IPv4-mapped
	default:
		return netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 15: low})
	}
}

func randomPort(rnd *rand.Rand) uint16 { return []uint16{0, 5060, 5080}[rnd.IntN(3)] }

// bruteCandidates is the rule of Candidates, word by word.
func bruteCandidates(ts []tenant.Tenant, q netip.AddrPort) []int {
	longest := -1
	forEach := func(do func(id, bits int, port uint16)) {
		for _, tn := range ts {
			for _, s := range tn.Sources {
				addr, bits := s.Prefix.Addr(), s.Prefix.Bits()
				if addr.Is4In6() {
					addr, bits = addr.Unmap(), bits-96
				}
				if netip.PrefixFrom(addr, bits).Contains(q.Addr().Unmap()) {
					do(tn.SetID, bits, s.Port)
				}
			}
		}
	}
	forEach(func(_, bits int, _ uint16) { longest = max(longest, bits) })
	var all, exact []int
	forEach(func(id, bits int, port uint16) {
		if bits != longest {
			return
		}
		all = append(all, id)
		if port != 0 && port == q.Port() {
			exact = append(exact, id)
		}
	})
	if exact == nil {
		exact = all
	}
	slices.Sort(exact)
	return slices.Compact(exact)
}
