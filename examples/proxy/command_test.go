package main

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sipward/sipward/examples/proxy/route"
)

// TestRun_ExitCodes: 0 done, 2 wrong usage or configuration.
func TestRun_ExitCodes(t *testing.T) {
	t.Setenv("SIPWARD_CONFIG", "")
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good.yaml", "secret: sixteen characters"+threeTenants)
	bad := file("bad.yaml", "lisen: x\ntimers: {t1: soon}\n")
	tests := []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"check", []string{"serve", "-config", good, "-check"}, exitDone, []string{"configuration is valid"}},
		{"serve is the default", []string{"-config", good, "-check"}, exitDone, []string{"configuration is valid"}},
		{"help", []string{"serve", "-h"}, exitDone, []string{"-config", "-check"}},
		{"commands", []string{"help"}, exitDone, []string{"proxy serve", "proxy demo"}},
		{"commands by flag", []string{"-h"}, exitDone, []string{"proxy serve"}},
		{"version", []string{"version"}, exitDone, []string{"sipward "}},
		{"version as JSON", []string{"version", "-json"}, exitDone, []string{`{
  "version": "`}},
		{"help for version", []string{"version", "-h"}, exitDone, []string{"proxy version", "-json"}},
		{"help for demo", []string{"help", "demo"}, exitDone, []string{"proxy demo"}},
		{"unknown command", []string{"sevre"}, exitUsage, []string{`no command "sevre"`, "proxy serve", "proxy demo"}},
		{"empty command", []string{""}, exitUsage, []string{`no command ""`}},
		{"unknown flag", []string{"serve", "-confg", good}, exitUsage, []string{"-confg"}},
		{"argument", []string{"serve", "now"}, exitUsage, []string{`"now"`}},
		{"argument of version", []string{"version", "now"}, exitUsage, []string{"proxy version -h"}},
		{"argument of demo", []string{"demo", "now"}, exitUsage, []string{`"now"`}},
		{"no such file", []string{"serve", "-config", filepath.Join(dir, "none")}, exitUsage, []string{"none"}},
		{"all faults", []string{"serve", "-config", bad, "-check"}, exitUsage, []string{"lisen", "timers.t1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			if code := run(t.Context(), tt.args, &stdout, &stderr); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			out := &stdout
			if tt.code != exitDone || strings.HasPrefix(tt.name, "help") {
				out = &stderr
			}
			for _, text := range tt.says {
				if !strings.Contains(out.String(), text) {
					t.Errorf("it does not say %q but\n%s", text, out)
				}
			}
		})
	}
}

// TestState: what /debug/state shows is one JSON document with every reason.
func TestState(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		uri := w.public("401", "a.test").at(w.a)
		w.a.refused(404, "MESSAGE", uri+"x")
		rec := httptest.NewRecorder()
		w.proxy.serveState(rec, nil)
		if got := rec.Header().Get("Content-Type"); got != "application/json" {
			t.Errorf("Content-Type %q", got)
		}
		var got struct {
			Tenants, Bindings int
			Decisions         map[string]int
			Unavailable       *int
			Unreachable       *int
			Mismatch          *int `json:"ruri_to_mismatch"`
			Relay, Transport  map[string]any
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
			t.Fatalf("%v in\n%s", err, rec.Body)
		}
		if got.Tenants != 3 || got.Bindings != 1 || got.Decisions["domain"] != 2 || got.Decisions["unknown_token"] != 1 ||
			len(got.Decisions) != len(route.Reasons()) || got.Unavailable == nil || got.Unreachable == nil || got.Mismatch == nil ||
			len(got.Relay) == 0 || len(got.Transport) == 0 {
			t.Errorf("got\n%s", rec.Body)
		}
	})
}
