package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/examples/proxy/internal/resolver"
	"github.com/sipward/sipward/internal/mysqltest"
)

// TestREADME_Configuration: what the README shows as a configuration is one.
func TestREADME_Configuration(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```yaml\n")[1:]
	if len(blocks) == 0 {
		t.Fatal("README.md shows no configuration")
	}
	for _, b := range blocks {
		yaml, _, _ := strings.Cut(b, "```")
		cfg, err := config.Parse([]byte(yaml), "README.md", func(string) string { return "" })
		if err != nil {
			t.Fatal(err)
		}
		stateOf(t, cfg, resolver.Resolver{})
	}
}

// TestREADME_Database: the commands of the README do what it says, one after the
// other, and leave a database that the proxy can use.
func TestREADME_Database(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	server := mysqltest.New(t)
	t.Setenv("SIPWARD_DATABASE", server.Config(t, server.DB(t)).FormatDSN())
	t.Setenv("SIPWARD_CONFIG", "")
	_, block, found := strings.Cut(string(text), "export SIPWARD_DATABASE=")
	block, _, _ = strings.Cut(block, "```")
	commands := 0
	for line := range strings.Lines(block) {
		line, _, _ = strings.Cut(line, "#")
		rest, ok := strings.CutPrefix(line, "go run ./examples/proxy ")
		if !ok {
			continue
		}
		commands++
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), strings.Fields(rest), &stdout, &stderr); code != exitDone {
			t.Errorf("%s: exit code %d\n%s%s", rest, code, &stdout, &stderr)
		}
	}
	if !found || commands != 4 {
		t.Fatalf("README.md has %d commands", commands)
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"-check"}, &stdout, &stderr); code != exitDone {
		t.Errorf("-check: exit code %d\n%s%s", code, &stdout, &stderr)
	}
}
