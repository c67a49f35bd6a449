package acct_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/sipward/sipward/acct"
)

// victimDir names the environment variable that makes the test binary a program
// to be killed, with its directory.
const victimDir = "ACCT_TEST_VICTIM"

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		victim(dir)
		return
	}
	os.Exit(m.Run())
}

// victim begins calls, ends half of them and those of its last run, and never
// stops. It prints the Call-ID of each call that is in the journal.
func victim(dir string) {
	r, err := openVictim(dir)
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	acct.SetSegmentSize(r, 16<<10)
	var old []string
	for c := range r.Calls() {
		old = append(old, c.CallID)
	}
	go r.Run(context.Background())
	for i := 0; ; i++ {
		id := fmt.Sprintf("%d-%d", os.Getpid(), i)
		up(r, id)
		for acct.Unwritten(r) > 0 {
			runtime.Gosched()
		}
		fmt.Println(id)
		if len(old) > 0 {
			r.Bye(back(old[0], "callee"))
			old = old[1:]
		}
		if i%2 == 0 {
			r.Bye(forth(id, "callee"))
		}
	}
}

func openVictim(dir string) (*acct.Recorder, error) {
	sink, err := acct.NewJSONFile(acct.JSONConfig{Path: filepath.Join(dir, "calls.json")})
	if err != nil {
		return nil, err
	}
	return acct.Open(acct.Config{Dir: filepath.Join(dir, "journal"), Sinks: map[string]acct.Sink{"json": sink}})
}

// R7.6: a program that is killed, really, with SIGKILL, loses no call that is
// in the journal, and no call has two records.
func TestJournal_Kill9(t *testing.T) {
	dir := t.TempDir()
	begun := map[string]bool{}
	for range 6 {
		for _, id := range murder(t, dir) {
			begun[id] = true
		}
	}
	r, err := openVictim(dir)
	if err != nil {
		t.Fatal(err)
	}
	open := map[string]bool{}
	for c := range r.Calls() {
		open[c.CallID] = true
	}
	shut(t, r)
	records := map[string]any{} // their IDs, by Call-ID
	for _, object := range lines(t, filepath.Join(dir, "calls.json")) {
		callID, id := object["call_id"].(string), object["id"]
		if before := records[callID]; before != nil && before != id {
			t.Errorf("call %s has the records %s and %s", callID, before, id)
		}
		records[callID] = id
	}
	for id := range begun {
		if over := records[id] != nil; over == open[id] {
			t.Errorf("call %s: open %t, over %t", id, open[id], over)
		}
	}
}

// murder runs a victim, kills it, and returns what it has said.
func murder(t *testing.T, dir string) (begun []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for said := bufio.NewScanner(out); len(begun) < 300 && said.Scan(); {
		if strings.HasPrefix(said.Text(), "error") {
			t.Error(said.Text())
		}
		begun = append(begun, said.Text())
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // it was killed
	return begun
}
