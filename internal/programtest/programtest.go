// Package programtest finds the other people's programs that tests talk to.
package programtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Need returns the path of a program. Without it the test is skipped and names
// it; if SIPWARD_REQUIRE_PEERS is 1, as for CI, it fails.
func Need(t testing.TB, name string) string {
	t.Helper()
	file, err := Find(name)
	switch {
	case err == nil:
		return file
	case os.Getenv("SIPWARD_REQUIRE_PEERS") == "1":
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// Find returns the path of a program, also of one where only root looks.
func Find(name string) (string, error) {
	file, err := exec.LookPath(name)
	if err == nil {
		return file, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin"} {
		if file, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("programtest: %w", err)
}
