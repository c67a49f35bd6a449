package archtest

import (
	"slices"
	"strings"
	"testing"
)

// Nothing in the module may depend on, or tell of, the machine that it was
// written on. The strings are in pieces lest this file be found itself.
var machineStrings = []string{
	"/wo" + "rk/",
	"/tmp" + "/w",
	"../sha" + "red",
	"bash_" + "jobs",
}

func TestNoMachinePaths(t *testing.T) {
	files := trackedFiles(t)
	if !slices.Contains(files, "go.mod") {
		t.Fatal("go.mod is not among the files: this test sees nothing")
	}
	for _, name := range files {
		for i, line := range strings.Split(read(t, name), "\n") {
			for _, s := range machineStrings {
				if strings.Contains(line, s) {
					t.Errorf("%s:%d contains %q", name, i+1, s)
				}
			}
		}
	}
}
