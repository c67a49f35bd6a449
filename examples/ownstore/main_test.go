package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sipward/sipward/location"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	steps := []struct {
		args []string
		want string
	}{
		{[]string{"401@tenant-a.test"}, ""},
		{[]string{"401@tenant-a.test", "sip:401@192.0.2.7:5060"}, "401@tenant-a.test is at sip:401@192.0.2.7:5060\n"},
		{[]string{"401@tenant-a.test"}, "401@tenant-a.test is at sip:401@192.0.2.7:5060\n"},
		{[]string{"401@tenant-b.test"}, ""},
	}
	for _, step := range steps {
		store := &Store{dir: dir, now: time.Now} // as often as the program is started
		var out strings.Builder
		if err := run(t.Context(), store, &out, step.args); err != nil {
			t.Fatal(err)
		}
		if out.String() != step.want {
			t.Errorf("%q: got %q, want %q", step.args, out.String(), step.want)
		}
	}
}

func TestRun_Usage(t *testing.T) {
	for _, args := range [][]string{nil, {"401"}, {"a@b.test", "sip:a@c.test", "more"}} {
		if err := run(t.Context(), location.NewMemory(location.MemoryConfig{}), &strings.Builder{}, args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

func TestStore_DamagedFile(t *testing.T) {
	store := &Store{dir: t.TempDir(), now: time.Now}
	aor, err := location.MakeAOR("401", "tenant-a.test")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(store.file(aor), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Lookup(t.Context(), aor); err == nil {
		t.Error("Lookup: no error")
	}
	if err := store.Apply(t.Context(), aor, location.Change{Reset: true}); err == nil {
		t.Error("Apply: no error")
	}
}
