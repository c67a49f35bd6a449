package main

import (
	"os"
	"strings"
	"testing"

	"github.com/sipward/sipward/examples/proxy/internal/config"
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
		stateOf(t, cfg, lookupHost)
	}
}
