package peertest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
)

// proxyProcess is a running proxy.
type proxyProcess struct {
	*process
	t         *testing.T
	site      *site
	binary    build
	config    string
	admin     netip.AddrPort
	sockets   []*os.File // that it is handed over, as systemd does
	stopped   bool
	complains bool // the log has errors, since the test is about what causes them
}

// start runs a proxy until the test ends. It must then stop when it is told
// to, without having panicked and without data races.
func (s *site) start(c settings) *proxyProcess {
	s.t.Helper()
	p := s.prepare(c)
	p.run()
	return p
}

// prepare returns a proxy that is not started yet.
func (s *site) prepare(c settings) *proxyProcess {
	s.t.Helper()
	return &proxyProcess{t: s.t, site: s, binary: binary, config: s.config(c), admin: s.admin()}
}

// run starts the process and waits until it is ready.
func (p *proxyProcess) run() {
	p.t.Helper()
	p.boot()
	p.becomesReady()
}

// boot starts the process and waits until it listens.
func (p *proxyProcess) boot() {
	p.t.Helper()
	program, args := p.binary.file(p.t), []string{"-config", p.config}
	env := clean()
	if len(p.sockets) > 0 { // for the process with this number, which only a shell can tell it
		args = append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, program}, args...)
		program, env = "/bin/sh", append(env, fmt.Sprint("LISTEN_FDS=", len(p.sockets)))
	}
	p.process = launchWith(p.t, p.sockets, "", env, program, args...)
	p.stopped = false
	p.t.Cleanup(p.stop)
	listens := false
	eventually(p.t, "proxy listens", func() bool {
		select {
		case <-p.done:
			return true
		default:
		}
		status, _ := p.readyz()
		listens = status != 0
		return listens
	})
	if !listens {
		p.stopped = true
		p.t.Fatalf("proxy did not start:\n%s", &p.errors)
	}
}

// becomesReady waits until the proxy calls itself ready.
func (p *proxyProcess) becomesReady() {
	p.t.Helper()
	eventually(p.t, "proxy is ready", func() bool {
		status, _ := p.readyz()
		return status == http.StatusOK
	})
}

// loads signals the process, and waits until it has read its tenants so many
// times more.
func (p *proxyProcess) loads(times int, signals ...os.Signal) {
	p.t.Helper()
	before := p.state().Source.Loads
	for _, sig := range signals {
		p.signal(p.t, sig)
	}
	eventually(p.t, "tenants are read", func() bool { return p.state().Source.Loads >= before+times })
}

// clean is what makes a proxy look at nothing but its configuration file.
func clean() []string {
	return []string{"SIPWARD_CONFIG=", "SIPWARD_SECRET=", "SIPWARD_DATABASE=", "SIPWARD_DATABASE_FILE="}
}

// readyz asks the proxy whether it is ready.
func (p *proxyProcess) readyz() (status int, text string) { return p.get("/readyz") }

// get asks the proxy for what it has at path. The status is 0 if it does not
// answer.
func (p *proxyProcess) get(path string) (status int, text string) {
	client := http.Client{Timeout: patience}
	res, err := client.Get(fmt.Sprintf("http://%v%s", p.admin, path))
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, ""
	}
	return res.StatusCode, string(body)
}

// stop tells the process to end, and sees that it does and that it was well.
func (p *proxyProcess) stop() {
	p.t.Helper()
	if p.stopped {
		return
	}
	p.stopped = true
	panics := p.state().Relay.Panics
	p.signal(p.t, syscall.SIGTERM)
	if code, ok := p.wait(patience); !ok || code != 0 {
		p.t.Errorf("proxy: exit code %d, in time: %v; want 0 on SIGTERM", code, ok)
	}
	if panics != 0 {
		p.t.Errorf("proxy: %d panics", panics)
	}
	p.checkLog()
}

// checkLog sees that the process was well for as long as it has run.
func (p *proxyProcess) checkLog() {
	p.t.Helper()
	log := p.errors.String()
	faults := []string{"panic", "DATA RACE"}
	if !p.complains {
		faults = append(faults, "level=ERROR")
	}
	for _, bad := range faults {
		if strings.Contains(log, bad) {
			p.t.Errorf("proxy: %q in its log", bad)
		}
	}
	if p.t.Failed() {
		p.t.Logf("log of the proxy:\n%s", tail(log, 60))
	}
}

// crash ends the process without warning, so that it can be run again.
func (p *proxyProcess) crash() {
	p.t.Helper()
	p.kill()
	p.stopped = true
	p.checkLog()
}

// state is what the proxy tells of itself.
type state struct {
	Tenants   int
	Bindings  int
	Source    struct{ Loads int }
	Location  struct{ Rows, Pending int }
	HEP       struct{ Sent, Dropped int }
	Decisions map[string]int
	Relay     struct {
		Panics, Failovers int
		Transactions      struct{ Servers, Clients, Timers int }
	}
	Transport struct{ Connections int }
	Guard     struct{ Earned, OverStrangers, Overloaded int }
}

func (p *proxyProcess) state() (s state) {
	p.t.Helper()
	p.tells("/debug/state", &s)
	return s
}

// tells decodes what the proxy has at path.
func (p *proxyProcess) tells(path string, v any) {
	p.t.Helper()
	status, text := p.get(path)
	if status == 0 {
		p.t.Errorf("proxy: no answer for %s", path)
	} else if err := json.Unmarshal([]byte(text), v); err != nil {
		p.t.Errorf("proxy: %s: %v", path, err)
	}
}

// wantBindings fails the test if the proxy knows another number of phones.
func (p *proxyProcess) wantBindings(want int) {
	p.t.Helper()
	if got := p.state().Bindings; got != want {
		p.t.Errorf("proxy has %d bindings, want %d", got, want)
	}
}

// silent stops the proxy, after which nothing can come from it any more, and
// fails the test if one of the peers has been sent anything that it has not
// expected.
func (p *proxyProcess) silent(peers ...*peer) {
	p.t.Helper()
	p.stop()
	for _, w := range peers {
		w.wantNothing()
	}
}

// tail returns the last n lines of s.
func tail(s string, n int) string {
	lines := strings.SplitAfter(s, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}
