package acct_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/acct"
)

// jsonFile returns a sink in a new directory, and a func that returns the names
// of the files there with how many whole lines each has.
func jsonFile(t *testing.T, cfg acct.JSONConfig) (f *acct.JSONFile, files func() []string) {
	t.Helper()
	if cfg.Path == "" {
		cfg.Path = filepath.Join(t.TempDir(), "calls.json")
	}
	f, err := acct.NewJSONFile(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, func() (all []string) {
		t.Helper()
		names, err := filepath.Glob(filepath.Join(filepath.Dir(cfg.Path), "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			all = append(all, fmt.Sprintf("%s %d", filepath.Base(name), len(lines(t, name))))
		}
		return all
	}
}

// lines returns the objects in a file, one a line.
func lines(t *testing.T, name string) (all []map[string]any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil || !strings.HasSuffix(line, "\n") {
			t.Fatalf("%s: line %q: %v", name, line, err)
		}
		all = append(all, object)
	}
	return all
}

func write(t *testing.T, f *acct.JSONFile, n int) {
	t.Helper()
	if err := f.Write(context.Background(), make([]acct.Record, n)); err != nil {
		t.Fatal(err)
	}
}

func TestJSONFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.json")
	f, _ := jsonFile(t, acct.JSONConfig{Path: path})
	records := []acct.Record{
		with(answered("<\"\n\x00\xff\U0001F600>", 0, 2*time.Second, 7070*time.Millisecond, acct.ByCallee), rang(time.Second), legs(2)),
		with(failed("b", 486, "Busy Here", acct.Busy, 0, time.Second), func(r *acct.Record) { r.Direction = acct.ToPhone }),
	}
	if err := f.Write(context.Background(), records); err != nil {
		t.Fatal(err)
	}
	want := []map[string]any{
		{
			"id": "", "call_id": "<\"\n\x00\ufffd\U0001F600>", "from_tag": "caller", "to_tag": "callee",
			"from_uri": "sip:201@a.example", "to_uri": "sip:9@a.example", "setid": 10.0, "domain": "a.example",
			"direction": "from_phone", "source": "203.0.113.5:40123", "destination": "10.0.1.10:5060",
			"caller_agent": "Snom", "callee_agent": "Asterisk", "attempts": 2.0, "code": 200.0, "reason": "OK",
			"cause": "answered", "end": "callee", "no_ack": true,
			"created": "2000-01-01T00:00:00Z", "rang": "2000-01-01T00:00:01Z", "answered": "2000-01-01T00:00:02Z",
			"ended": "2000-01-01T00:00:07.07Z", "duration": 6.0, "duration_ms": 5070.0, "setup_ms": 2000.0,
		},
		{
			"id": "", "call_id": "b", "from_tag": "caller", "from_uri": "sip:201@a.example", "to_uri": "sip:9@a.example",
			"setid": 10.0, "domain": "a.example", "direction": "to_phone", "source": "203.0.113.5:40123",
			"caller_agent": "Snom", "attempts": 0.0, "code": 486.0, "reason": "Busy Here", "cause": "busy",
			"created": "2000-01-01T00:00:00Z", "ended": "2000-01-01T00:00:01Z",
			"duration": 0.0, "duration_ms": 0.0, "setup_ms": 1000.0,
		},
	}
	if d := cmp.Diff(want, lines(t, path)); d != "" {
		t.Error(d)
	}
}

func TestJSONFile_RotatesBySize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, files := jsonFile(t, acct.JSONConfig{MaxSize: 5000, Keep: 2})
		for range 10 {
			write(t, f, 10) // about 2000 bytes
			sleep(time.Second)
		}
		want := []string{"calls-20000101T000006.000Z.json 20", "calls-20000101T000008.000Z.json 20", "calls.json 20"}
		if d := cmp.Diff(want, files()); d != "" {
			t.Error(d)
		}
	})
}

func TestJSONFile_RotatesByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "calls.json")
		f, files := jsonFile(t, acct.JSONConfig{Path: path, Every: 24 * time.Hour})
		sleep(23 * time.Hour)
		write(t, f, 1)
		sleep(59 * time.Minute)
		write(t, f, 1)
		sleep(time.Minute)
		write(t, f, 3)
		if d := cmp.Diff([]string{"calls-20000102T000000.000Z.json 2", "calls.json 3"}, files()); d != "" {
			t.Error(d)
		}
		// A program that has just started knows how old the file is.
		f.Close()
		yesterday := time.Now().Add(-24 * time.Hour)
		if err := os.Chtimes(path, yesterday, yesterday); err != nil {
			t.Fatal(err)
		}
		sleep(time.Hour)
		f, files = jsonFile(t, acct.JSONConfig{Path: path, Every: 24 * time.Hour})
		write(t, f, 4)
		if d := cmp.Diff([]string{"calls-20000102T000000.000Z.json 2", "calls-20000102T010000.000Z.json 3", "calls.json 4"}, files()); d != "" {
			t.Error(d)
		}
	})
}

// What a killed program has left of a line goes, however long it is.
func TestJSONFile_HalfLine(t *testing.T) {
	for _, half := range []string{"", "\n", `{"a":`, "{}\n{", "{}\n" + strings.Repeat("x", 200_000), strings.Repeat("x", 200_000)} {
		path := filepath.Join(t.TempDir(), "calls.json")
		if err := os.WriteFile(path, []byte(strings.TrimLeft(half, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		f, _ := jsonFile(t, acct.JSONConfig{Path: path})
		write(t, f, 2)
		want := 2 + strings.Count(strings.TrimLeft(half, "\n"), "\n")
		if n := len(lines(t, path)); n != want {
			t.Errorf("%.10q: got %d lines, want %d", half, n, want)
		}
	}
}

func TestJSONFile_Faults(t *testing.T) {
	if _, err := acct.NewJSONFile(acct.JSONConfig{Keep: -1}); err == nil || !strings.Contains(err.Error(), "Path") || !strings.Contains(err.Error(), "Keep") {
		t.Errorf("got error %v, want both faults", err)
	}
	f, _ := jsonFile(t, acct.JSONConfig{Path: filepath.Join(t.TempDir(), "missing", "calls.json")})
	if err := f.Write(context.Background(), make([]acct.Record, 1)); err == nil {
		t.Error("a file in no directory was written")
	}
}
