package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

// readConfig is parseConfig for a file that may be at fault.
func readConfig(yaml string) (*config.Config, error) {
	if !strings.Contains(yaml, "listen:") {
		yaml = "listen: [\"udp:192.0.2.1:5060\", \"tcp:192.0.2.1:5060\"]\n" + yaml
	}
	if !strings.Contains(yaml, "dispatcher:") { // for the PBXes of most tests are asked nothing
		yaml = "dispatcher: {probe: never}\n" + yaml
	}
	if !strings.Contains(yaml, "acct:") { // nor writes records of calls to the directory of a user
		yaml = "acct: {to: off}\n" + yaml
	}
	if !strings.Contains(yaml, "drain:") { // and ends at once, whatever is open
		yaml = "drain: 0s\n" + yaml
	}
	return config.Parse([]byte("admin: \"\"\nsecret: sixteen characters\n"+yaml), "test", func(string) string { return "" })
}

// loading is a source with what it has put in force and said.
type loading struct {
	*source
	t   testing.TB
	st  *state
	log bytes.Buffer
}

// newLoading returns a source that has started. Db and dns may be nil.
func newLoading(t testing.TB, yaml string, db *sql.DB, dns mysqltenant.Resolver) *loading {
	t.Helper()
	l := &loading{t: t}
	l.source = newSource(sourceConfig{
		File: parseConfig(t, yaml), DB: db, DNS: dns, Own: func(a netip.Addr) bool { return a == proxyAt.Addr() },
		Sets: dispatcher.New(dispatcher.Config{}),
		Use:  func(st *state) { l.st = st },
		Log:  slog.New(slog.NewTextHandler(&l.log, nil)),
	})
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

// again reads the database now.
func (l *loading) again() {
	l.t.Helper()
	l.rowsAt = time.Time{}
	l.poll(l.t.Context())
}

// serves checks which sets the domains have that are served.
func (l *loading) serves(want map[string]int) {
	l.t.Helper()
	got := map[string]int{}
	for tn := range l.st.tenants.Tenants() {
		for _, domain := range tn.Domains {
			got[domain] = tn.SetID
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		l.t.Errorf("domains (-want +got):\n%s", diff)
	}
}

// said checks that the log has lines with these texts and no other, and empties
// it.
func (l *loading) said(want ...string) {
	l.t.Helper()
	lines := slices.Collect(strings.Lines(l.log.String()))
	l.log.Reset()
	matches := slices.EqualFunc(lines, want, strings.Contains)
	if !matches {
		l.t.Errorf("the log has %q, want %q", lines, want)
	}
}

// wantProblems checks the kinds of problems.
func (l *loading) wantProblems(want ...string) {
	l.t.Helper()
	if diff := cmp.Diff(want, kinds(l.Stats().Problems)); diff != "" {
		l.t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// TestSource_NothingToPoll: without a database and names, or if the operator
// says so, only SIGHUP loads.
func TestSource_NothingToPoll(t *testing.T) {
	const named = `tenants: [{setid: 10, domains: [a.test], destinations: [{uri: "sip:pbx.a.test"}]}]`
	for yaml, want := range map[string]bool{threeTenants: false, named: true, "reload: 0s\n" + named: false} {
		if got := newLoading(t, yaml, nil, zone{}).due() != nil; got != want {
			t.Errorf("%s: polled %v, want %v", yaml, got, want)
		}
	}
}

// TestSource_Swap: when the new tenants begin to count there are the PBXes of
// the old ones too, then no longer.
func TestSource_Swap(t *testing.T) {
	const before = `tenants: [{setid: 10, domains: [a.test], destinations: [{uri: "sip:10.0.1.10"}]}]`
	l := newLoading(t, before, nil, nil)
	old, swaps := l.st, 0
	l.cfg.Use = func(st *state) {
		for _, st := range []*state{old, st} {
			if err := st.reaches(l.cfg.Sets, "a.test"); err != nil {
				t.Error(err)
			}
		}
		swaps++
	}
	l.reload(t.Context(), func() (*config.Config, error) {
		return readConfig(strings.NewReplacer("setid: 10", "setid: 20", "10.0.1.10", "10.0.1.20").Replace(before))
	})
	if _, err := l.cfg.Sets.Select(10, "", nil); !errors.Is(err, dispatcher.ErrNoSet) || swaps != 1 {
		t.Errorf("set 10: %v, after %d swaps", err, swaps)
	}
}

// TestSource_Stopped: a load that is given up says nothing and changes nothing.
func TestSource_Stopped(t *testing.T) {
	z := zone{"pbx.a.test": {"10.0.1.10"}}
	l := newLoading(t, `tenants: [{setid: 10, domains: [a.test], destinations: [{uri: "sip:pbx.a.test"}]}]`, nil, z)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := l.Stats()
	l.poll(ctx)
	l.reload(ctx, func() (*config.Config, error) { return l.file, nil })
	l.said()
	if diff := cmp.Diff(before, l.Stats(), cmp.AllowUnexported(problem{})); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

// TestSource_FileAtFault: a file that cannot be read changes nothing, which is
// said once, and known until it is mended, however often other things are read.
func TestSource_FileAtFault(t *testing.T) {
	l := newLoading(t, threeTenants, nil, nil)
	all := map[string]int{"a.test": 10, "b.test": 20, "c.test": 30}
	reload := func(yaml string) {
		l.reload(t.Context(), func() (*config.Config, error) { return readConfig(yaml) })
	}
	started := l.Stats().Loaded
	reload("tenants: [{setid: ten}]")
	l.said("kind=file", "not reloaded")
	for range 3 {
		l.again()
		l.serves(all)
		l.wantProblems(problemFile)
		l.said()
	}
	if s := l.Stats(); s.Loads != 5 || s.Failures != 4 || !strings.Contains(s.Error, "setid") || !s.Loaded.Equal(started) || !s.Ready {
		t.Errorf("got %+v", s)
	}
	if p := l.part(); !p.ready || !strings.HasPrefix(p.detail, "3 tenants with 3 destinations, 1 problems, not reloaded: ") {
		t.Errorf("got %+v", p)
	}
	reload("tenants: [{setid: 0}]")
	l.said("kind=file", "problem is gone", "not reloaded")
	reload(strings.Replace(threeTenants, "c.test", "d.test", 1))
	l.said("problem is gone", "msg=reloaded")
	l.serves(map[string]int{"a.test": 10, "b.test": 20, "d.test": 30})
	l.wantProblems()
	if s := l.Stats(); s.Error != "" {
		t.Errorf("got %+v", s)
	}
}

// TestSource_Fixed: what a running process cannot change is named.
func TestSource_Fixed(t *testing.T) {
	l := newLoading(t, threeTenants, nil, nil)
	for yaml, want := range map[string]string{
		threeTenants: "",
		"lookup: {missing: 480}\nreload: 1m\ndispatcher: {algorithm: 4, probe: never}\nregister: {contact: preserve}\nsecurity: {unknown_domain: 403}": "",
		"listen: [\"udp:192.0.2.2:5060\"]\ndatabase: \"u:pw@/db\"\nstore: mysql\ntimers: {c: 1m}" + threeTenants:                                       `keys="[listen database store timers.c]"`,
	} {
		l.reload(t.Context(), func() (*config.Config, error) { return readConfig(yaml) })
		if want == "" {
			l.said("msg=reloaded")
		} else {
			l.said(want, "msg=reloaded")
		}
	}
}
