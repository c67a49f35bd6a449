package archtest

import (
	"regexp"
	"strings"
	"testing"
)

// Tests skip in one place only, which names the program that is missing: under
// make test there is none.
func TestSkips_OnlyForMissingPrograms(t *testing.T) {
	const place = "internal/programtest/programtest.go"
	skip := regexp.MustCompile(`\.Skip(?:f|Now)?\(`)
	seen := false
	for _, name := range trackedFiles(t) {
		if !strings.HasSuffix(name, ".go") {
			continue
		}
		for i, line := range strings.Split(read(t, name), "\n") {
			switch {
			case !skip.MatchString(line):
			case name == place:
				seen = true
			case !strings.HasPrefix(name, "internal/archtest/"):
				t.Errorf("%s:%d: skips: a program that is missing is for internal/programtest, and nothing else is a reason", name, i+1)
			}
		}
	}
	if !seen {
		t.Errorf("%s does not skip: this test sees nothing", place)
	}
}
