package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/internal/mysqltest"
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

// newLoading returns a source that has started. Db and lookup may be nil.
func newLoading(t testing.TB, yaml string, db *sql.DB, lookup config.LookupHost) *loading {
	t.Helper()
	l := &loading{t: t}
	l.source = newSource(sourceConfig{
		File: parseConfig(t, yaml), DB: db, Lookup: lookup,
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

// TestSource_Database: rows that come, change and go are followed, what has not
// changed changes nothing, and all is said once.
func TestSource_Database(t *testing.T) {
	db := mysqltest.DB(t)
	createTables(t, db)
	l := newLoading(t, threeTenants, db, nil)
	file := map[string]int{"a.test": 10, "b.test": 20, "c.test": 30}
	l.serves(file)
	l.said()

	exec(t, db, "INSERT INTO domain (domain, setid) VALUES ('d.test', 40)", "INSERT INTO dispatcher (setid, destination) VALUES (40, 'sip:10.0.1.40')")
	l.again()
	l.serves(map[string]int{"a.test": 10, "b.test": 20, "c.test": 30, "d.test": 40})
	l.said("tenants changed")

	before := l.st
	l.again()
	if l.st != before {
		t.Error("nothing has changed, but the state has")
	}
	l.said()

	exec(t, db, "UPDATE dispatcher SET destination = 'sip:10.0.1.41'")
	l.again()
	if _, err := l.cfg.Sets.Select(40, "", nil); err != nil || !l.st.hops["sip:10.0.1.41"].remote.IsValid() || len(l.st.hops) != 4 {
		t.Errorf("hops %v, %v", l.st.hops, err)
	}
	l.said("tenants changed")

	exec(t, db, "UPDATE domain SET setid = 50") // P-33 and half a tenant
	l.again()
	l.serves(map[string]int{"a.test": 10, "b.test": 20, "c.test": 30, "d.test": 50})
	l.said("set 40: no domain", "set 50: no destination", "tenants changed")
	l.again()
	l.said()
	l.wantProblems(problemSet, problemSet)

	emptyTables(t, db)
	l.again()
	l.serves(file)
	l.said("problem is gone", "problem is gone", "tenants changed")
	l.wantProblems()
	if s := l.Stats(); s.Loads != 7 || s.Failures != 0 || s.Error != "" || !s.Ready || s.Loaded.Before(s.Changed) {
		t.Errorf("got %+v", s)
	}
}

// TestSource_TableDropped: what cannot be read changes nothing, is said once,
// counted, and over when it can be read again.
func TestSource_TableDropped(t *testing.T) {
	db := mysqltest.DB(t)
	createTables(t, db)
	exec(t, db, "INSERT INTO domain (domain, setid) VALUES ('d.test', 40)", "INSERT INTO dispatcher (setid, destination) VALUES (40, 'sip:10.0.1.40')")
	all := map[string]int{"a.test": 10, "b.test": 20, "c.test": 30, "d.test": 40}
	l := newLoading(t, threeTenants, db, nil)
	l.serves(all)
	exec(t, db, "RENAME TABLE dispatcher TO away")
	for range 3 {
		l.again()
		l.serves(all)
	}
	l.said("there is no table dispatcher")
	l.wantProblems(problemDatabase)
	if s := l.Stats(); s.Loads != 4 || s.Failures != 3 || !strings.Contains(s.Error, "no table dispatcher") || !s.Ready {
		t.Errorf("got %+v", s)
	}
	l.reload(t.Context(), func() (*config.Config, error) { return l.cfg.File, nil })
	l.said("not reloaded") // whoever asks is told
	l.serves(all)

	exec(t, db, "RENAME TABLE away TO dispatcher")
	l.again()
	l.said("problem is gone")
	l.wantProblems()
	l.serves(all)
}

// TestSource_ServerStopped: without the server the tenants are those of the
// file until it comes, then those that there were last. What the file has to
// say counts all the same.
func TestSource_ServerStopped(t *testing.T) {
	server := mysqltest.New(t)
	db := server.DB(t)
	createTables(t, db)
	exec(t, db, "INSERT INTO domain (domain, setid) VALUES ('d.test', 40)", "INSERT INTO dispatcher (setid, destination) VALUES (40, 'sip:10.0.1.40')")
	server.Stop(t)
	l := newLoading(t, "reload: 0s"+threeTenants, db, nil)
	file := map[string]int{"a.test": 10, "b.test": 20, "c.test": 30}
	l.serves(file)
	if s := l.Stats(); s.Ready || s.Failures != 1 || s.Error == "" {
		t.Errorf("got %+v", s)
	}
	if p := l.part(); p.ready || !strings.HasPrefix(p.detail, "3 tenants with 3 destinations, 1 problems, not reloaded: ") {
		t.Errorf("got %+v", p)
	}
	if l.due() == nil {
		t.Error("nobody asks the database again")
	}
	l.said(problemDatabase)

	server.Start(t)
	l.again()
	all := map[string]int{"a.test": 10, "b.test": 20, "c.test": 30, "d.test": 40}
	l.serves(all)
	l.said("problem is gone", "tenants changed")
	if s := l.Stats(); !s.Ready || s.Error != "" {
		t.Errorf("got %+v", s)
	}
	if p := l.part(); !p.ready || p.detail != "4 tenants with 4 destinations" {
		t.Errorf("got %+v", p)
	}
	if l.due() != nil {
		t.Error("only SIGHUP was to ask the database again")
	}

	server.Kill(t)
	l.reload(t.Context(), func() (*config.Config, error) {
		return readConfig(strings.Replace(threeTenants, "c.test", "e.test", 1))
	})
	l.serves(map[string]int{"a.test": 10, "b.test": 20, "e.test": 30, "d.test": 40})
	l.said(problemDatabase, "not reloaded")
	if s := l.Stats(); !s.Ready || s.Error == "" {
		t.Errorf("got %+v", s)
	}
}

// TestSource_IsConsistent: domains and destinations are of the same moment, and
// while they change every request finds a PBX, or that it has to look again.
func TestSource_IsConsistent(t *testing.T) {
	db := mysqltest.DB(t)
	createTables(t, db)
	exec(t, db, "INSERT INTO domain (domain, setid) VALUES ('a.test', 10)", "INSERT INTO dispatcher (setid, destination) VALUES (10, 'sip:10.0.1.10')")
	p := new(Proxy)
	sets := dispatcher.New(dispatcher.Config{Policy: dispatcher.PolicyFunc(p.order)})
	s := newSource(sourceConfig{File: parseConfig(t, ""), DB: db, Sets: sets, Use: p.use, Log: slog.New(slog.DiscardHandler)})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if err := moveTenant(t.Context(), db, 10+i%2); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for ctx.Err() == nil {
			st := p.state.Load()
			if err := st.reaches("a.test"); err != nil && p.state.Load() == st {
				t.Error(err)
			}
		}
	})
	for changes := 0; changes < 30 && !t.Failed(); {
		changed, err := s.load(t.Context(), s.file, true)
		if err != nil || s.down != nil || len(s.problems) > 0 {
			t.Errorf("got %v, %v, %v", err, s.down, s.problems)
		}
		if changed {
			changes++
		}
	}
	cancel()
	wg.Wait()
}

// reaches reports why a domain has no PBX.
func (st *state) reaches(domain string) error {
	tn, ok := st.tenants.Domain(domain)
	if !ok {
		return fmt.Errorf("no tenant of %s", domain)
	}
	found, err := st.sets.Select(tn.SetID, "", nil)
	if !slices.ContainsFunc(found, func(d dispatcher.Destination) bool { return st.hops[d.URI].remote.IsValid() }) {
		return fmt.Errorf("set %d leads to %v: %w", tn.SetID, found, err)
	}
	return nil
}

// moveTenant gives all rows another set, and the PBX another address, at once.
func moveTenant(ctx context.Context, db *sql.DB, set int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "UPDATE dispatcher SET setid = ?, destination = ?", set, fmt.Sprintf("sip:10.0.1.%d", set)); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE domain SET setid = ?", set); err != nil {
		return err
	}
	return tx.Commit()
}

// TestSource_Names: a PBX given by name is known by all its addresses, a change
// is seen within half a minute, and an outage keeps the last answer, for as long
// as it lasts. P-32.
func TestSource_Names(t *testing.T) {
	const yaml = `tenants: [{setid: 10, domains: [a.test], destinations: [{uri: "sip:pbx.a.test"}]}]`
	for _, every := range []string{"10s", "5m"} {
		t.Run(every, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z := zone{"pbx.a.test": {"10.0.1.10", "10.0.1.11"}}
				l := newLoading(t, "reload: "+every+"\n"+yaml, nil, z.lookup)
				at := func(addrs ...string) {
					t.Helper()
					ctx, cancel := context.WithTimeout(t.Context(), 33*time.Second)
					defer cancel()
					if err := l.Run(ctx, nil, nil); err != nil {
						t.Error(err)
					}
					var hops []string
					for _, h := range l.st.hops {
						hops = append(hops, h.remote.Addr().String())
						if len(l.st.tenants.Candidates(h.remote)) != 1 {
							t.Errorf("%v is a stranger", h.remote)
						}
					}
					slices.Sort(hops)
					if diff := cmp.Diff(addrs, hops); diff != "" {
						t.Errorf("(-want +got):\n%s", diff)
					}
				}
				at("10.0.1.10", "10.0.1.11")
				before := l.st
				z["pbx.a.test"] = []string{"10.0.1.11", "10.0.1.10"}
				at("10.0.1.10", "10.0.1.11")
				if l.st != before {
					t.Error("another order is no change")
				}
				l.said()
				z["pbx.a.test"] = []string{"10.0.1.12"}
				at("10.0.1.12")
				l.said("tenants changed")
				z["pbx.a.test"] = nil
				for range 3 {
					at("10.0.1.12")
				}
				l.said("pbx.a.test, its last answer counts: no such host")
				l.wantProblems(problemName)
				z["pbx.a.test"] = []string{"10.0.1.13"}
				at("10.0.1.13")
				l.said("problem is gone", "tenants changed")
			})
		})
	}
}

// TestSource_ResolverHangs: it is waited for a few seconds, for all names
// together.
func TestSource_ResolverHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lookup := func(ctx context.Context, _ string) ([]netip.Addr, error) {
			<-ctx.Done()
			return nil, fmt.Errorf("read from port %v: %w", time.Now().UnixNano(), ctx.Err())
		}
		var b strings.Builder
		b.WriteString("tenants: [{setid: 10, domains: [a.test], destinations: [")
		for i := range 100 {
			fmt.Fprintf(&b, `{uri: "sip:pbx%d.a.test"}, `, i)
		}
		b.WriteString("]}]")
		began := time.Now()
		l := newLoading(t, b.String(), nil, lookup)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it takes %v", took)
		}
		l.log.Reset()
		l.poll(t.Context())
		l.said() // though the text of the errors is another one
		if n := len(l.Stats().Problems); n != 100 {
			t.Errorf("%d problems", n)
		}
	})
}

// TestSource_NothingToPoll: without a database and names, or if the operator
// says so, only SIGHUP loads.
func TestSource_NothingToPoll(t *testing.T) {
	const named = `tenants: [{setid: 10, domains: [a.test], destinations: [{uri: "sip:pbx.a.test"}]}]`
	for yaml, want := range map[string]bool{threeTenants: false, named: true, "reload: 0s\n" + named: false} {
		if got := newLoading(t, yaml, nil, zone{}.lookup).due() != nil; got != want {
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
			if err := st.reaches("a.test"); err != nil {
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

// TestSource_NamesOfRows: names in the database are resolved again though the
// rows are not due, or cannot be read. P-32.
func TestSource_NamesOfRows(t *testing.T) {
	db := mysqltest.DB(t)
	createTables(t, db)
	exec(t, db, "INSERT INTO domain (domain, setid) VALUES ('a.test', 10)", "INSERT INTO dispatcher (setid, destination) VALUES (10, 'sip:PBX.a.test.')")
	z := zone{"pbx.a.test": {"10.0.1.10"}}
	l := newLoading(t, "reload: 5m", db, z.lookup)
	exec(t, db, "INSERT INTO domain (domain, setid) VALUES ('b.test', 10)")
	at := func(want string) {
		t.Helper()
		hop := l.st.hops["sip:"+want]
		if len(l.st.hops) != 1 || hop.remote.Addr() != addr(want) || len(l.st.tenants.Candidates(hop.remote)) != 1 {
			t.Errorf("hops %v, want %v", l.st.hops, want)
		}
		l.serves(map[string]int{"a.test": 10})
	}
	z["pbx.a.test"] = []string{"10.0.1.11"}
	l.poll(t.Context())
	at("10.0.1.11")
	db.Close()
	z["pbx.a.test"] = []string{"10.0.1.12"}
	l.again()
	at("10.0.1.12")
	if s := l.Stats(); s.Loads != 3 || s.Failures != 1 {
		t.Errorf("got %+v", s)
	}
}

// TestSource_Stopped: a load that is given up says nothing and changes nothing.
func TestSource_Stopped(t *testing.T) {
	z := zone{"pbx.a.test": {"10.0.1.10"}}
	l := newLoading(t, `tenants: [{setid: 10, domains: [a.test], destinations: [{uri: "sip:pbx.a.test"}]}]`, nil, z.lookup)
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

// TestSource_OneOutage: the texts of network errors have port numbers, which do
// not make another problem.
func TestSource_OneOutage(t *testing.T) {
	l := newLoading(t, threeTenants, nil, nil)
	for i := range 3 {
		l.down = fmt.Errorf("read 127.0.0.1:%d: timeout", 40000+i)
		l.setProblems(nil)
	}
	l.said("timeout")
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

// TestLogProblems_Limit: a table full of nonsense does not fill the disk.
func TestLogProblems_Limit(t *testing.T) {
	var many []problem
	for i := range 10 * maxLogged {
		many = append(many, problem{Kind: problemRow, Text: fmt.Sprint("row ", i)})
	}
	var b bytes.Buffer
	logProblems(slog.New(slog.NewTextHandler(&b, nil)), nil, many)
	if n := strings.Count(b.String(), "\n"); n != maxLogged+1 || !strings.Contains(b.String(), fmt.Sprint("count=", 9*maxLogged)) {
		t.Errorf("%d lines\n%s", n, &b)
	}
}
