package peertest

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// command runs the proxy with arguments until it ends, and returns its exit
// code and what it wrote to both outputs.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	p := launch(t, t.TempDir(), clean(), proxyBinary(t), args...)
	code, ok := p.wait(2 * patience)
	if !ok {
		t.Fatalf("proxy %q did not end", args)
	}
	return code, p.out.String(), p.errors.String()
}

// The exit codes are part of what operators' scripts rely on.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args   string
		code   int
		stdout string // to be found in it
		stderr string
	}{
		{"version", 0, "sipward ", ""},
		{"-check", 0, "configuration is valid", ""},
		{"serve -check", 0, "configuration is valid", ""},
		{"-help", 0, "proxy demo", ""},
		{"help", 0, "proxy serve", ""},
		{"serve -help", 0, "", "-config"},
		{"nonsense", 2, "", `no command "nonsense"`},
		{"-nonsense", 2, "", "-nonsense"},
		{"serve nonsense", 2, "", `"nonsense"`},
		{"demo nonsense", 2, "", `"nonsense"`},
		{"-config nowhere.yaml", 2, "", "nowhere.yaml"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := command(t, strings.Fields(tt.args)...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(stdout, tt.stdout) || tt.stdout == "" && stdout != "" {
				t.Errorf("stdout is %q, want %q in it", stdout, tt.stdout)
			}
			if !strings.Contains(stderr, tt.stderr) || tt.stderr == "" && stderr != "" {
				t.Errorf("stderr is %q, want %q in it", stderr, tt.stderr)
			}
		})
	}
}

// A configuration is checked as a whole: each fault is named with its line and
// path, and nothing is started.
func TestCheckReportsAllFaults(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := command(t, "-check", "-config", testdata(t, "faults.yaml"))
	if code != 2 || stdout != "" {
		t.Errorf("exit code %d and stdout %q, want 2 and nothing", code, stdout)
	}
	for _, want := range []string{
		"faults.yaml:2: lissen: ",
		"faults.yaml:3: listen[0]: ",
		"faults.yaml:4: timers.branch: ",
		"faults.yaml:6: tenants[0].setid: ",
		"faults.yaml:9: tenants[0].destinations[0].uri: ",
		"faults.yaml:10: tenants[0].destinations[1].wieght: ",
		"faults.yaml:12: tenants[1].domains[0]: ",
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q is not reported", want)
		}
	}
	if t.Failed() {
		t.Logf("reported is:\n%s", stderr)
	}
}

// The shipped file is valid, and so is what the tests use.
func TestCheckAcceptsGoodFiles(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, file := range []string{filepath.Join(directory(t), "..", "proxy.yaml"), s.config(settings{tenants: tenants(3)})} {
		if code, stdout, stderr := command(t, "-check", "-config", file); code != 0 {
			t.Errorf("-check of %s: exit code %d\n%s%s", file, code, stdout, stderr)
		}
	}
}

// Two proxies cannot have one address. The second says so and leaves the first
// alone.
func TestAddressInUse(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(settings{})
	code, _, stderr := command(t, "-config", p.config)
	if code != 1 || !strings.Contains(stderr, "udp:"+s.proxy().String()) {
		t.Errorf("exit code %d, want 1 and the listener in\n%s", code, stderr)
	}
	s.play(registers(), s.extension(0), s.board(0))
}

// An interrupt from the keyboard ends the proxy as SIGTERM does, which is how
// all the other tests end it.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	p := newSite(t).start(settings{})
	p.signal(t, syscall.SIGINT)
	if code, ok := p.wait(patience); !ok || code != 0 {
		t.Errorf("exit code %d, in time: %v; want 0", code, ok)
	}
	p.stopped = true
}

// What README.md tells to run does run, from the root of the module.
func TestREADMECommands(t *testing.T) {
	t.Parallel()
	root := filepath.Join(directory(t), "..", "..", "..")
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		command string
		stdout  []string // to be found in it
	}{
		{"go run ./examples/proxy demo", []string{"tenant-a.test", "tenant-b.test", "tenant-c.test", "RINGS"}},
		{"go run ./examples/proxy -config examples/proxy/proxy.yaml -check", []string{"configuration is valid"}},
	} {
		t.Run(tt.command, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(string(readme), "\n"+tt.command+"\n") {
				t.Errorf("README.md does not have it any more")
			}
			words := strings.Fields(tt.command)
			p := launch(t, root, nil, words[0], words[1:]...)
			if code, ok := p.wait(4 * patience); !ok || code != 0 {
				t.Errorf("exit code %d, in time: %v; want 0\n%s%s", code, ok, &p.out, &p.errors)
			}
			for _, want := range tt.stdout {
				if !strings.Contains(p.out.String(), want) {
					t.Errorf("%q is not in\n%s", want, &p.out)
				}
			}
		})
	}
}

// directory is that of this package.
func directory(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(directory(t), "testdata", name)
}
