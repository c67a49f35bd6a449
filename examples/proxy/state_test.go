package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

// stateOf returns the state for a configuration without a database.
func stateOf(t testing.TB, cfg *config.Config, dns mysqltenant.Resolver) *state {
	t.Helper()
	st, _ := stateAndProblems(t, cfg, dns)
	return st
}

func stateAndProblems(t testing.TB, cfg *config.Config, dns mysqltenant.Resolver) (*state, []problem) {
	t.Helper()
	names := mysqltenant.NewNames(mysqltenant.NamesConfig{Resolver: dns})
	answers := names.Resolve(t.Context(), slices.Collect(maps.Keys(cfg.Names())), nil)
	f, problems, err := newFleet(cfg, nil, answers, fleet{}, newNames(cfg, nil).hasAddr)
	if err != nil {
		t.Fatal(err)
	}
	if err := dispatcher.New(dispatcher.Config{}).Update(f.members); err != nil {
		t.Fatal(err)
	}
	st, more, err := f.newState()
	if err != nil {
		t.Fatal(err)
	}
	return st, append(problems, more...)
}

// zone is a resolver whose answers a test changes; hosts without any fail. An
// answer is addresses or SRV records, "10/60/5070/pbx.test" with priority, weight,
// port and target, after a TTL if it has one. Names without SRV records have none.
type zone map[string][]string

func (z zone) LookupHost(_ context.Context, host string) (addrs []netip.Addr, ttl time.Duration, err error) {
	list, ttl := z.find(host)
	if len(list) == 0 {
		return nil, 0, errNoHost
	}
	for _, a := range list {
		addrs = append(addrs, addr(a))
	}
	return addrs, ttl, nil
}

func (z zone) LookupSRV(_ context.Context, name string) (records []*net.SRV, ttl time.Duration, err error) {
	list, ttl := z.find(name)
	for _, text := range list {
		var r net.SRV
		if _, err := fmt.Sscanf(strings.ReplaceAll(text, "/", " "), "%d %d %d %s", &r.Priority, &r.Weight, &r.Port, &r.Target); err != nil {
			return nil, 0, err // as "fail" does
		}
		records = append(records, &r)
	}
	return records, ttl, nil
}

func (z zone) find(name string) ([]string, time.Duration) {
	list := z[name]
	if len(list) > 0 {
		if ttl, err := time.ParseDuration(list[0]); err == nil {
			return list[1:], ttl
		}
	}
	return list, 0
}

// hosts is a resolver that knows no SRV records.
type hosts func(ctx context.Context, host string) ([]netip.Addr, error)

func (f hosts) LookupHost(ctx context.Context, host string) ([]netip.Addr, time.Duration, error) {
	addrs, err := f(ctx, host)
	return addrs, 0, err
}

func (hosts) LookupSRV(context.Context, string) ([]*net.SRV, time.Duration, error) {
	return nil, 0, nil
}

var errNoHost = errors.New("no such host")

// kinds returns the kinds of problems, in their order.
func kinds(problems []problem) (all []string) {
	for _, p := range problems {
		all = append(all, p.Kind)
	}
	return all
}

func TestEndpointOf(t *testing.T) {
	for uri, want := range map[string]endpoint{
		"sip:10.0.0.1":                    {"udp", addr("10.0.0.1"), "10.0.0.1", 5060, false},
		"sip:10.0.0.1:5070;transport=TCP": {"tcp", addr("10.0.0.1"), "10.0.0.1", 5070, true},
		"sip:[FD00::1]":                   {"udp", addr("fd00::1"), "fd00::1", 5060, false},
		"sip:[::ffff:10.0.0.1]":           {"udp", addr("10.0.0.1"), "::ffff:10.0.0.1", 5060, false},
		"sip:10.0.0.1;transport=udp":      {"udp", addr("10.0.0.1"), "10.0.0.1", 5060, true},
		"sip:PBX.test.:5080":              {"udp", netip.Addr{}, "pbx.test", 5080, false},
		"sips:10.0.0.1":                   {"tls", addr("10.0.0.1"), "10.0.0.1", 5061, false},
		"sip:10.0.0.1;transport=tls":      {"tls", addr("10.0.0.1"), "10.0.0.1", 5061, true},
	} {
		if got, err := endpointOf(uri); err != nil || got != want {
			t.Errorf("%s leads to %v, %v; want %v", uri, got, err, want)
		}
	}
	for uri, want := range map[string]error{
		"sip:10.0.0.1;transport=ws":  errors.ErrUnsupported, // nobody opens a WebSocket to a PBX
		"sips:10.0.0.1;transport=ws": errors.ErrUnsupported,
		"tel:1":                      location.ErrScheme,
		"sip:0.0.0.0":                nil,
	} {
		if got, err := endpointOf(uri); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s leads to %v, %v; want %v", uri, got, err, want)
		}
	}
}

// TestNewState_Names: a PBX is everywhere that its name leads to, one without
// an address is a problem, and the set is used without it. P-32.
func TestNewState_Names(t *testing.T) {
	cfg := parseConfig(t, `tenants: [{setid: 10, domains: [a.test], destinations: [{uri: "sip:nobody.test"}, {uri: "sip:PBX.test:5080"}, {uri: "sip:10.0.1.10"}]}]`)
	st, problems := stateAndProblems(t, cfg, zone{"pbx.test": {"::ffff:10.0.0.1", "fd00::1"}})
	want := map[string]string{
		"sip:10.0.0.1:5080":  "udp 10.0.0.1:5080 ",
		"sip:[fd00::1]:5080": "udp [fd00::1]:5080 ",
		"sip:10.0.1.10:5060": "udp 10.0.1.10:5060 ",
	}
	got := map[string]string{}
	for uri, h := range st.hops {
		got[uri] += h.network + " " + h.remote.String() + " "
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("hops (-want +got):\n%s", diff)
	}
	for _, source := range []string{"10.0.0.1:5080", "[fd00::1]:5080", "10.0.1.10:5060"} {
		if len(st.tenants.Candidates(netip.MustParseAddrPort(source))) != 1 {
			t.Errorf("%s is a stranger", source)
		}
	}
	if len(st.named[hostPort{"nobody.test", 5060}]) != 1 || len(st.named[hostPort{"pbx.test", 5080}]) != 1 || len(st.named) != 2 {
		t.Errorf("named %v", st.named)
	}
	if len(problems) != 1 || problems[0].Kind != problemName || !strings.Contains(problems[0].Text, "nobody.test") {
		t.Errorf("problems %v", problems)
	}
}

// TestNewState_Policy: a set has what the file says of it, else what it says of
// all, also if the set itself is not in the file.
func TestNewState_Policy(t *testing.T) {
	cfg := parseConfig(t, `
database: "u@/db"
register: {contact: preserve}
tenants: [{setid: 10, register: {contact: own}}]`)
	f := fleet{cfg: cfg, tenants: cfg.LoadTenants(nil)}
	f.tenants = append(f.tenants, f.tenants[0])
	f.tenants[1].SetID = 20
	st, _, err := f.newState()
	if err != nil {
		t.Fatal(err)
	}
	if !st.phones.of(10).own || st.phones.of(20).own {
		t.Errorf("%+v", st.phones)
	}
}

// TestPolicyOf: what is off does not become on by what is not said.
func TestPolicyOf(t *testing.T) {
	p := policyOf(parseConfig(t, threeTenants))
	if p.RingUnique || p.Hairpin || p.Sets[10].Hairpin {
		t.Errorf("by default %+v", p)
	}
	p = policyOf(parseConfig(t, `
security: {unknown_source: unique}
lookup: {hairpin: on}
tenants:
  - {setid: 10, domains: [a.test], destinations: [{uri: "sip:10.0.1.10"}]}
  - {setid: 20, domains: [b.test], destinations: [{uri: "sip:10.0.1.20"}], lookup: {hairpin: off}}`))
	if !p.RingUnique || !p.Hairpin || !p.Sets[10].Hairpin || p.Sets[20].Hairpin {
		t.Errorf("%+v", p)
	}
}

// TestNewState_Problems: what can be known before the call comes is said.
func TestNewState_Problems(t *testing.T) {
	tests := []struct {
		name, yaml string
		want       []string
	}{
		{"nothing", threeTenants, nil},
		{"shared", sharedPBX, []string{"10.0.1.10/32 sends for the sets 10 20: what it sends must name its tenant"}},
		{"many", manySets(10), []string{"10.0.1.10/32 sends for the sets 1 2 3 4 5 6 7 8 and 2 more: what it sends must name its tenant"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := stateAndProblems(t, parseConfig(t, tt.yaml), nil)
			var got []string
			for _, p := range problems {
				got = append(got, p.Text)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// manySets returns a configuration of n sets with one PBX.
func manySets(n int) string {
	var b strings.Builder
	b.WriteString("tenants:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - {setid: %d, domains: [d%d.test], destinations: [{uri: \"sip:10.0.1.10:%d\"}]}\n", i+1, i+1, 5060+i)
	}
	return b.String()
}
