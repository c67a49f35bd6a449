package main

import (
	"os"
	"strings"
	"testing"

	"github.com/sipward/sipward/examples/proxy/internal/console"
)

// The exit codes by which tests tell how a run ended.
const (
	exitDone   = console.ExitDone
	exitFailed = console.ExitFailed
	exitUsage  = console.ExitUsage
)

// TestCommands: the table has the commands that operators rely on, and none of
// them hides another one.
func TestCommands(t *testing.T) {
	names := map[string]bool{}
	for _, c := range commands() {
		if names[c.Name] || c.Synopsis == "" || c.Run == nil {
			t.Errorf("%q is there twice or lacks something", c.Name)
		}
		for other := range names {
			if strings.HasPrefix(c.Name+" ", other+" ") || strings.HasPrefix(other+" ", c.Name+" ") {
				t.Errorf("%q and %q begin alike", c.Name, other)
			}
		}
		names[c.Name] = true
	}
	for _, name := range []string{
		"serve", "demo", "version", "db init", "db check", "domain add", "domain list", "domain rm",
		"dispatcher add", "dispatcher list", "dispatcher rm", "dispatcher set-state",
		"location list", "location show", "location rm", "status", "verify-cdr", "backup", "restore", "import endpoint-locations",
	} {
		if !names[name] {
			t.Errorf("there is no command %q", name)
		}
	}
}

// TestREADME_Commands: README.md has all commands, with what help says of them.
func TestREADME_Commands(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range commands() {
		usage := strings.ReplaceAll(strings.TrimSpace("proxy "+c.Name+" "+c.Args), "|", `\|`)
		row := "| `" + usage + "` | " + c.Synopsis + " |\n"
		if !strings.Contains(string(text), row) {
			t.Errorf("README.md lacks the row\n%s", row)
		}
	}
}
