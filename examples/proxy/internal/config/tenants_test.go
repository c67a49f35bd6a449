package config_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/tenant"
	"github.com/sipward/sipward/tenant/mysqltenant"
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

// P-32: a PBX given by name is known by all its addresses; one whose name has
// none costs the sources of that name and nothing else.
func TestLoadTenants_P32_HostNames(t *testing.T) {
	c := parse(t, twoTenants)
	host, service := mysqltenant.Name{Host: "pbx.tenant-a.test"}, mysqltenant.Name{Host: "pbx.tenant-a.test", Service: "_sip._udp"}
	if diff := cmp.Diff(map[mysqltenant.Name][]int{host: {10}, service: {20}}, c.Names()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	at := func(addr string, port uint16) mysqltenant.Target {
		return mysqltenant.Target{Addr: netip.MustParseAddr(addr), Port: port}
	}
	named := map[mysqltenant.Name][]mysqltenant.Target{
		host:    {at("10.0.2.1", 0), at("fd00::2", 0), at("10.0.2.1", 0)},
		service: {at("10.0.2.1", 0), at("10.0.2.1", 5080)},
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
				source("10.0.2.1/32", 5060), source("10.0.2.1/32", 5080), // of an SRV record
			},
		},
	}
	for _, targets := range []map[mysqltenant.Name][]mysqltenant.Target{named, nil} {
		got := c.LoadTenants(targets)
		if diff := cmp.Diff(want, got, equal); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if _, err := tenant.NewTable(got); err != nil {
			t.Error(err)
		}
		want[0].Sources, want[1].Sources = want[0].Sources[:3], want[1].Sources[:2]
	}
}

func TestLoadDestinations(t *testing.T) {
	c := parse(t, twoTenants)
	got := c.LoadDestinations()
	want := []dispatcher.Destination{
		{SetID: 10, URI: "sip:10.0.1.10:5060", Weight: 2, Priority: 3},
		{SetID: 10, URI: "sip:pbx.tenant-a.test:5070;transport=tcp", Weight: 1, State: dispatcher.Inactive},
		{SetID: 20, URI: "sip:[fd00::20]:5060", Weight: 0},
		{SetID: 20, URI: "sip:pbx.tenant-a.test", Weight: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := dispatcher.New(dispatcher.Config{}).Update(got); err != nil {
		t.Error(err)
	}
}
