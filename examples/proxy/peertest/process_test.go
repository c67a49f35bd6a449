package peertest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait. Nothing waits that long unless the test fails.
const patience = 15 * time.Second

// process is a program that a test has started. It is killed when the test
// ends.
type process struct {
	name   string
	cmd    *exec.Cmd
	out    output        // its standard output
	errors output        // its standard error
	done   chan struct{} // closed when it has ended
}

// launch starts a program in dir, with env added to the environment.
func launch(t *testing.T, dir string, env []string, program string, args ...string) *process {
	t.Helper()
	return launchWith(t, nil, dir, env, program, args...)
}

// launchWith hands files over to the program, from the descriptor 3 on.
func launchWith(t *testing.T, files []*os.File, dir string, env []string, program string, args ...string) *process {
	t.Helper()
	p := &process{name: program, cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.ExtraFiles = dir, files
	// Races are reported on exit, with a code of their own and without delay.
	p.cmd.Env = append(append(os.Environ(), "GORACE=exitcode=66 atexit_sleep_ms=50"), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errors
	p.cmd.SysProcAttr = attributes()
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		p.cmd.Wait()
	}()
	t.Cleanup(p.kill)
	return p
}

// kill ends the process at once, if it has not ended yet.
func (p *process) kill() {
	select {
	case <-p.done:
		return
	default:
	}
	killGroup(p.cmd.Process.Pid)
	<-p.done
}

// signal asks the process for something.
func (p *process) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("%s: %v", p.name, err)
	}
}

// wait returns the exit code. It reports false if the process has not ended in
// time, or was killed.
func (p *process) wait(d time.Duration) (code int, ok bool) {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), p.cmd.ProcessState.Exited()
	case <-time.After(d):
		return 0, false
	}
}

// output is a buffer that may be read while it is written.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements [io.Writer].
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	if !holds(patience, cond) {
		t.Fatalf("%s: not within %v", what, patience)
	}
}

// holds waits until cond holds. It reports false if that takes too long.
func holds(limit time.Duration, cond func() bool) bool {
	for end := time.Now().Add(limit); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}
