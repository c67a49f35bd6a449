package main

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNewProxy_Fails: a proxy that cannot be built holds nothing any more,
// whatever part of it was at fault.
func TestNewProxy_Fails(t *testing.T) {
	for _, tt := range []struct {
		name, yaml string
		inTheWay   string // a file of the spool
		err        string
		locks      int
	}{
		{name: "bindings", inTheWay: "127.0.0.1_1_nowhere", err: "cache.spool"},
		{name: "calls", inTheWay: "calls", err: "calls: ", locks: 1},
		{name: "certificate", yaml: "tls: {cert: /nowhere/cert.pem, key: /nowhere/key.pem}\n", err: "/nowhere/cert.pem", locks: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spool := t.TempDir()
			if tt.inTheWay != "" {
				if err := os.WriteFile(filepath.Join(spool, tt.inTheWay), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cfg := parseConfig(t, fmt.Sprintf("database: \"u:secret@tcp(127.0.0.1:1)/nowhere\"\ncache: {spool: %q}\nacct: {to: json}\n", spool)+tt.yaml+threeTenants)
			p, err := newProxy(t.Context(), cfg, slog.New(slog.DiscardHandler))
			if p != nil || err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("a proxy: %v, %v", p != nil, err)
			}
			if got := unlocked(t, spool); got != tt.locks {
				t.Errorf("%d locks, want %d", got, tt.locks)
			}
		})
	}
}

// unlocked returns how many locks there are below dir, none of which may be held.
func unlocked(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".lock") {
			return err
		}
		n++
		unlock, err := lockFile(path)
		if err == nil {
			unlock()
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return n
}
