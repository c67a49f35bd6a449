package archtest

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rfcTable says by RFC section what is done and which test shows it.
const rfcTable = "docs/rfc.md"

func TestRFCTable_NamesExistingTests(t *testing.T) {
	if !slices.Contains(trackedFiles(t), rfcTable) {
		return
	}
	exists := make(map[string]bool)
	for _, name := range testFunctions(t) {
		exists[name] = true
	}
	if !exists["TestRFCTable_NamesExistingTests"] {
		t.Fatal("this very test was not found: it sees nothing")
	}
	mentioned := regexp.MustCompile(`\b(?:Test|Fuzz|Example|Benchmark)[A-Z_]\w*`)
	for i, line := range strings.Split(read(t, rfcTable), "\n") {
		for _, name := range mentioned.FindAllString(line, -1) {
			if !exists[name] {
				t.Errorf("%s:%d: there is no %s", rfcTable, i+1, name)
			}
		}
	}
}

// testFunctions returns the names of all functions in test files.
func testFunctions(t *testing.T) (names []string) {
	t.Helper()
	function := regexp.MustCompile(`(?m)^func (\w+)\(`)
	for _, name := range trackedFiles(t) {
		if !strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, m := range function.FindAllStringSubmatch(read(t, name), -1) {
			names = append(names, m[1])
		}
	}
	return names
}
