package config_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/tenant"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

// Whatever the file says, Parse either says what is wrong or gives a
// configuration that the rest of the proxy takes and that can be printed and
// read again.
func FuzzParse(f *testing.F) {
	for _, name := range []string{shippedFile, "testdata/contract.yaml", "testdata/faults.yaml"} {
		f.Add(readFile(f, name))
	}
	f.Add(twoTenants)
	for _, s := range []string{
		"", "~", "---\n---", "&a [*a]", "listen: &a [*a]", "<<: {}", "? {}\n: []", "\xff", "\x00", "!!binary a",
		"database: u@/db\ntenants: [{setid: 1}]", "listen: ['udp:[::1%x]:0']", "tenants: [~]", "tenants: [{destinations: [{uri: 'sip:[::ffff:1.2.3.4]'}]}]",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := config.Parse([]byte(text), "f", nil)
		if err != nil {
			checkFaults(t, err)
			return
		}
		c.Secret = "" // which is not printed
		if c.Database != "" {
			c.Database = "[redacted]" // nor is this
		}
		again, err := config.Parse([]byte(c.String()), "f", nil)
		if err != nil {
			t.Fatalf("printed and read again: %v\n%v", err, c)
		}
		if diff := cmp.Diff(c, again, equal); diff != "" {
			t.Errorf("printed and read again:\n%s", diff)
		}
		targets := map[mysqltenant.Name][]mysqltenant.Target{}
		for name := range c.Names() {
			targets[name] = []mysqltenant.Target{{Addr: netip.IPv6LinkLocalAllNodes()}}
		}
		if _, err := tenant.NewTable(c.LoadTenants(targets)); err != nil {
			t.Error(err)
		}
		if err := dispatcher.New(dispatcher.Config{}).Update(c.LoadDestinations()); err != nil {
			t.Error(err)
		}
	})
}

// checkFaults checks that err is made of faults only, each on one line.
func checkFaults(t *testing.T, err error) {
	t.Helper()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("not joined: %v", err)
	}
	for _, e := range joined.Unwrap() {
		fault, ok := errors.AsType[*config.Error](e)
		if !ok || fault.Message == "" || strings.ContainsAny(e.Error(), "\n\r") {
			t.Errorf("%T: %q", e, e)
		}
	}
}
