package programtest_test

import (
	"errors"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sipward/sipward/internal/programtest"
)

// TestNeed: whoever lacks a program is told which.
func TestNeed(t *testing.T) {
	if got := programtest.Need(t, "go"); !filepath.IsAbs(got) {
		t.Errorf("go is at %q", got)
	}
	for require, want := range map[string]string{"": "skips", "1": "fails"} {
		t.Run(want, func(t *testing.T) {
			t.Setenv("SIPWARD_REQUIRE_PEERS", require)
			r := &recorder{TB: t}
			func() {
				defer func() { _ = recover() }()
				programtest.Need(r, "no-such-program")
			}()
			if r.did != want || r.name != "no-such-program" {
				t.Errorf("it %q for %q", r.did, r.name)
			}
		})
	}
	if _, err := programtest.Find("no-such-program"); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("Find = %v", err)
	}
}

// recorder is a test that only tells how it would have ended.
type recorder struct {
	testing.TB
	did  string
	name any
}

func (r *recorder) Skipf(_ string, args ...any) { r.end("skips", args) }

func (r *recorder) Fatalf(_ string, args ...any) { r.end("fails", args) }

func (r *recorder) end(did string, args []any) {
	r.did, r.name = did, args[0]
	panic("ended")
}
