package peertest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// proxyProcess is a running proxy.
type proxyProcess struct {
	*process
	t       *testing.T
	site    *site
	config  string
	stopped bool
}

// start runs a proxy until the test ends. It must then stop when it is told
// to, without having panicked and without data races.
func (s *site) start(c settings) *proxyProcess {
	s.t.Helper()
	p := &proxyProcess{t: s.t, site: s, config: s.config(c)}
	p.run()
	return p
}

// run starts the process and waits until it listens.
func (p *proxyProcess) run() {
	p.t.Helper()
	env := []string{"SIPWARD_CONFIG=", "SIPWARD_SECRET=", "SIPWARD_DATABASE="}
	p.process = launch(p.t, "", env, proxyBinary(p.t), "-config", p.config)
	p.stopped = false
	p.t.Cleanup(p.stop)
	ready := false
	eventually(p.t, "proxy listens", func() bool {
		select {
		case <-p.done:
			return true
		default:
		}
		res, err := http.Get(fmt.Sprintf("http://%v/readyz", p.site.admin()))
		if err == nil {
			res.Body.Close()
			ready = res.StatusCode == http.StatusOK
		}
		return ready
	})
	if !ready {
		p.stopped = true
		p.t.Fatalf("proxy did not start:\n%s", &p.errors)
	}
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
	log := p.errors.String()
	for _, bad := range []string{"panic", "DATA RACE", "level=ERROR"} {
		if strings.Contains(log, bad) {
			p.t.Errorf("proxy: %q in its log", bad)
		}
	}
	if panics != 0 {
		p.t.Errorf("proxy: %d panics", panics)
	}
	if p.t.Failed() {
		p.t.Logf("log of the proxy:\n%s", tail(log, 60))
	}
}

// crash ends the process without warning, so that it can be run again.
func (p *proxyProcess) crash() {
	p.kill()
	p.stopped = true
}

// state is what the proxy tells of itself.
type state struct {
	Bindings  int
	Decisions map[string]int
	Relay     struct {
		Panics, Failovers int
		Transactions      struct{ Clients int }
	}
}

func (p *proxyProcess) state() (s state) {
	p.t.Helper()
	client := http.Client{Timeout: patience}
	res, err := client.Get(fmt.Sprintf("http://%v/debug/state", p.site.admin()))
	if err != nil {
		p.t.Errorf("proxy: %v", err)
		return s
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		p.t.Errorf("proxy: /debug/state: %v", err)
	}
	return s
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
