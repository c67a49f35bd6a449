package peertest

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// What monitors and operators ask is at the admin address: each part by its name, and
// metrics that are named as Prometheus wants it. P-47.
func TestAdmin(t *testing.T) {
	t.Parallel()
	s, d := newSite(t), newDatabase(t)
	p := s.start(settings{lines: d.lines()})
	for path, says := range map[string][]string{
		"/livez":                     {"ok\n"},
		"/readyz":                    {"listeners: ready: 2\n", "tenants: ready: ", "location: ready: ", "calls: ready: "},
		"/debug/state":               {`"tenants": 1`, `"guard": {`, `"calls": {`, `"relay": {`, `"transport": {`},
		"/debug/pprof/":              {"goroutine"},
		"/debug/pprof/heap?debug=1":  {"heap profile: "},
		"/debug/pprof/cmdline":       nil, // there are secrets on command lines of some
		"/metrics":                   {"sipward_tenants 1\n", "sipward_calls_active 0\n", "go_goroutines ", "process_open_fds ", "go_sql_open_connections{"},
		"/bans":                      {"[]\n"},
		"/debug/pprof/trace?seconds": {"go "},
	} {
		status, text := p.get(path)
		if says == nil != (status == 404) {
			t.Errorf("%s: status %d", path, status)
		}
		for _, part := range says {
			if !strings.Contains(text, part) {
				t.Errorf("%s lacks %q:\n%s", path, part, tail(text, 20))
			}
		}
	}
	_, text := p.get("/metrics")
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		if strings.HasPrefix(problem.Metric, "sipward_") {
			t.Errorf("%s: %s", problem.Metric, problem.Text)
		}
	}
}
