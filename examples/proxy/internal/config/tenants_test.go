package config_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/tenant"
)

const twoTenants = `
tenants:
  - setid: 10
    domains: [tenant-a.test, a.test]
    destinations:
      - {uri: "sip:10.0.1.10", weight: 2, priority: 3, sources: [10.0.1.11, 10.0.8.0/24]}
      - {uri: "sip:pbx.tenant-a.test:5070;transport=tcp", state: 1}
  - setid: 20
    domains: [tenant-b.test]
    destinations:
      - {uri: "sip:[fd00::20]", weight: 0, sources: ["fd00::20"]}
      - {uri: "sip:pbx.tenant-a.test"}
`

func source(prefix string, port uint16) tenant.Source {
	return tenant.Source{Prefix: netip.MustParsePrefix(prefix), Port: port}
}

// P-32: a PBX given by name is known by all its addresses.
func TestLoadTenants_P32_HostNames(t *testing.T) {
	var calls atomic.Int32
	lookup := func(_ context.Context, host string) ([]netip.Addr, error) {
		calls.Add(1)
		if host != "pbx.tenant-a.test" {
			t.Errorf("lookup of %s", host)
		}
		return []netip.Addr{netip.MustParseAddr("::ffff:10.0.2.1"), netip.MustParseAddr("fd00::2"), netip.MustParseAddr("10.0.2.1")}, nil
	}
	c := parse(t, twoTenants)
	got, warnings := c.LoadTenants(t.Context(), lookup)
	if warnings != nil {
		t.Errorf("warnings: %v", warnings)
	}
	want := []tenant.Tenant{
		{
			SetID:   10,
			Domains: []string{"tenant-a.test", "a.test"},
			Sources: []tenant.Source{
				source("10.0.1.10/32", 5060), source("10.0.1.11/32", 0), source("10.0.8.0/24", 0),
				source("10.0.2.1/32", 5070), source("fd00::2/128", 5070), // though its state is 1
			},
		},
		{
			SetID:   20,
			Domains: []string{"tenant-b.test"},
			Sources: []tenant.Source{
				source("fd00::20/128", 5060), source("fd00::20/128", 0),
				source("10.0.2.1/32", 5060), source("fd00::2/128", 5060),
			},
		},
	}
	if diff := cmp.Diff(want, got, equal); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("%d lookups of one name", n)
	}
	if _, err := tenant.NewTable(got); err != nil {
		t.Error(err)
	}
}

// P-32: a DNS failure costs the sources of that name and nothing else.
func TestLoadTenants_P32_LookupFails(t *testing.T) {
	noHost := &net.DNSError{Err: "no such host", Name: "pbx.tenant-a.test", IsNotFound: true}
	tests := []struct {
		name   string
		lookup config.LookupHost
		want   []string
	}{
		{"error", func(context.Context, string) ([]netip.Addr, error) { return nil, noHost }, []string{
			"config: tenants[0].destinations[1].uri: pbx.tenant-a.test is no source: lookup pbx.tenant-a.test: no such host",
			"config: tenants[1].destinations[1].uri: pbx.tenant-a.test is no source: lookup pbx.tenant-a.test: no such host",
		}},
		{"no address", func(context.Context, string) ([]netip.Addr, error) { return nil, nil }, []string{
			"config: tenants[0].destinations[1].uri: pbx.tenant-a.test is no source: the name has no address",
			"config: tenants[1].destinations[1].uri: pbx.tenant-a.test is no source: the name has no address",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := parse(t, twoTenants)
			got, warnings := c.LoadTenants(t.Context(), tt.lookup)
			var texts []string
			for _, w := range warnings {
				texts = append(texts, w.Error())
			}
			if diff := cmp.Diff(tt.want, texts); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			want := []tenant.Source{source("10.0.1.10/32", 5060), source("10.0.1.11/32", 0), source("10.0.8.0/24", 0)}
			if diff := cmp.Diff(want, got[0].Sources, equal); diff != "" {
				t.Errorf("sources (-want +got):\n%s", diff)
			}
		})
	}
	c := parse(t, twoTenants)
	if _, warnings := c.LoadTenants(t.Context(), tests[0].lookup); !errors.Is(warnings[0], noHost) {
		t.Errorf("%v does not wrap the cause", warnings[0])
	}
}

func TestLoadDestinations(t *testing.T) {
	c := parse(t, twoTenants)
	got := c.LoadDestinations()
	want := []dispatcher.Destination{
		{SetID: 10, URI: "sip:10.0.1.10:5060", Weight: 2, Priority: 3},
		{SetID: 10, URI: "sip:pbx.tenant-a.test:5070;transport=tcp", Weight: 1, State: dispatcher.Inactive},
		{SetID: 20, URI: "sip:[fd00::20]:5060", Weight: 0},
		{SetID: 20, URI: "sip:pbx.tenant-a.test:5060", Weight: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := dispatcher.New(dispatcher.Config{}).Update(got); err != nil {
		t.Error(err)
	}
}
