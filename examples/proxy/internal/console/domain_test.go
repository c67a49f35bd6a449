package console_test

import (
	"strings"
	"testing"

	"github.com/sipward/sipward/examples/proxy/internal/console"
)

// A new domain never gets the PBXes of another tenant by the number of its row
// alone, whoever speaks of that set (P-52).
func TestDomainAdd_OwnSet(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, setting, row, owner string }{
		{"domain of the file", `tenants: [{setid: 1, domains: [b.test]}]`, "", "the configuration file"},
		{"PBX of the file", `tenants: [{setid: 1, destinations: [{uri: "sip:10.0.2.99"}]}]`, "", "the configuration file"},
		{"PBX", "", "(1, 'sip:10.0.2.99', 0)", "sip:10.0.2.99"},
		{"PBX that is off", "", "(1, 'sip:10.0.2.99', 1)", "sip:10.0.2.99"},
		{"PBX with a fault", "", "(1, '10.0.2.99', 0)", "10.0.2.99"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, tt.setting)
			s.do("db", "init")
			if tt.row != "" {
				s.exec("INSERT INTO dispatcher (setid, destination, state) VALUES " + tt.row)
			}
			code, _, stderr := s.run("domain", "add", "a.test")
			if code != console.ExitRefused || !strings.Contains(stderr, "would be 1, which is that of "+tt.owner) {
				t.Errorf("exit code %d: %s", code, stderr)
			}
			if got := s.value("SELECT COUNT(*) FROM domain"); got != "0" {
				t.Errorf("there are %s rows", got)
			}
			s.do("domain", "add", "a.test", "1") // who says so means it
		})
	}
}
