package tenant_test

import (
	"net/netip"
	"testing"

	"github.com/sipward/sipward/tenant"
)

func src(prefix string) tenant.Source {
	return tenant.Source{Prefix: netip.MustParsePrefix(prefix)}
}

func srcPort(prefix string, port uint16) tenant.Source {
	return tenant.Source{Prefix: netip.MustParsePrefix(prefix), Port: port}
}

func mustTable(t testing.TB, ts ...tenant.Tenant) *tenant.Table {
	t.Helper()
	table, err := tenant.NewTable(ts)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// setIDs returns the set ids of ts in their order, nil for none.
func setIDs(ts []*tenant.Tenant) []int {
	var ids []int
	for _, t := range ts {
		ids = append(ids, t.SetID)
	}
	return ids
}
