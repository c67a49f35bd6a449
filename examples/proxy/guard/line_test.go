package guard_test

import (
	"net/netip"
	"regexp"
	"testing"

	"github.com/sipward/sipward/examples/proxy/guard"
)

// The lines that log watchers read: the registration has user@domain, the source
// and the response, the knock has the domain, the source and a reason.
func TestLines(t *testing.T) {
	v4, v6 := netip.MustParseAddrPort("198.51.100.7:5062"), netip.MustParseAddrPort("[2001:db8::7]:5062")
	proven, forged := guard.Failure{Report: true, Proven: true}, guard.Failure{Report: true}
	tests := []struct{ got, want string }{
		{proven.RegistrationLine("401@a.example", v4, 403, "Forbidden"),
			"registration failed: 401@a.example from 198.51.100.7:5062 response 403 Forbidden"},
		{forged.RegistrationLine("401@a.example", v6, 404, "Not Found"),
			"registration failed (unproven): 401@a.example from [2001:db8::7]:5062 response 404 Not Found"},
		{proven.RegistrationLine("a from 192.0.2.5:5060 response 403 x@b\n\"\\ü", v4, 401, "Un\rauthorized"),
			"registration failed: a_from_192.0.2.5:5060_response_403_x@b____ from 198.51.100.7:5062 response 401 Un_authorized"},
		{proven.KnockLine("b.example", v4, guard.UnknownDomain), "door knock: b.example from 198.51.100.7:5062 reason domain_not_found"},
		{proven.KnockLine("", v4, guard.Scanner), "door knock: - from 198.51.100.7:5062 reason scanner_detected"},
		{forged.KnockLine("b.example", v4, guard.Malformed), "door knock (unproven): b.example from 198.51.100.7:5062 reason malformed"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("got  %s\nwant %s", tt.got, tt.want)
		}
	}
}

// P-44: a log watcher finds the true source in a line and no other, and none in
// a line without proof, whatever the sender calls himself.
func FuzzLines(f *testing.F) {
	f.Add("401@a.example", "Forbidden")
	f.Add("x from 192.0.2.5:5060 response 403", "from 192.0.2.5:5060")
	f.Add("\nregistration failed: x from 192.0.2.5:5060 response 403 x", "\r\n")
	registration := regexp.MustCompile(`registration failed: \S+ from \[?([0-9a-f.:]+)\]?:\d+ response \d+`)
	knock := regexp.MustCompile(`door knock: \S+ from \[?([0-9a-f.:]+)\]?:\d+ reason \w+`)
	from := netip.MustParseAddrPort("198.51.100.7:5062")
	f.Fuzz(func(t *testing.T, name, phrase string) {
		for _, proven := range []bool{true, false} {
			failure := guard.Failure{Proven: proven}
			lines := map[string]*regexp.Regexp{
				failure.RegistrationLine(name, from, 403, phrase): registration,
				failure.KnockLine(name, from, guard.Malformed):    knock,
			}
			for line, pattern := range lines {
				all := pattern.FindAllStringSubmatch(line, -1)
				if !proven && len(all) > 0 || proven && (len(all) == 0 || all[0][1] != "198.51.100.7") {
					t.Errorf("proven %v: %q: %q", proven, line, all)
				}
			}
		}
	})
}
