package archtest

import (
	"strings"
	"testing"
)

// A file is one concept, so it is short. Tables of tests may be longer.
const (
	maxLines     = 500
	maxTestLines = 700
)

func TestSize(t *testing.T) {
	for _, name := range trackedFiles(t) {
		if !strings.HasSuffix(name, ".go") {
			continue
		}
		limit := maxLines
		if strings.HasSuffix(name, "_test.go") {
			limit = maxTestLines
		}
		if got := strings.Count(read(t, name), "\n"); got > limit {
			t.Errorf("%s has %d lines, want at most %d", name, got, limit)
		}
	}
}
