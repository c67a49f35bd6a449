package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/examples/proxy/internal/database"
	"github.com/sipward/sipward/examples/proxy/internal/resolver"
	"github.com/sipward/sipward/internal/dnstest"
	"github.com/sipward/sipward/internal/mysqltest"
)

// counting is a zone that counts how often hosts are asked for.
type counting struct {
	zone
	mu    sync.Mutex
	asked map[string]int
}

func (c *counting) LookupHost(ctx context.Context, host string) ([]netip.Addr, time.Duration, error) {
	c.mu.Lock()
	c.asked[host]++
	c.mu.Unlock()
	return c.zone.LookupHost(ctx, host)
}

// run runs the source for d.
func (l *loading) run(d time.Duration) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), d)
	defer cancel()
	if err := l.Run(ctx, nil, nil); err != nil {
		l.t.Error(err)
	}
}

// TestSource_TTL: a name is asked for again when its answer does not count any
// more, but neither all the time nor less often than the rows are read. P-32.
func TestSource_TTL(t *testing.T) {
	tests := []struct {
		ttl, reload string
		asked       int // in an hour, after the first time
	}{
		{"7s", "5m", 514},
		{"1s", "5m", 719}, // each five seconds
		{"2m", "5m", 29},
		{"1h", "5m", 11},
		{"", "5m", 119}, // each half minute
		{"1h", "30s", 119},
		{"7s", "3s", 1199},
		{"7s", "0s", 0},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s of %s", tt.ttl, tt.reload), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &counting{zone: zone{"pbx.a.test": {tt.ttl, "10.0.1.10"}}, asked: map[string]int{}}
				if tt.ttl == "" {
					c.zone["pbx.a.test"] = []string{"10.0.1.10"}
				}
				l := newLoading(t, "reload: "+tt.reload+`
tenants: [{setid: 10, domains: [a.test], destinations: [{uri: "sip:pbx.a.test"}]}]`, nil, c)
				l.run(time.Hour - time.Second)
				if got := c.asked["pbx.a.test"] - 1; got != tt.asked {
					t.Errorf("asked %d times, want %d", got, tt.asked)
				}
				l.reload(t.Context(), func() (*config.Config, error) { return l.file, nil })
				if got := c.asked["pbx.a.test"] - 2; got != tt.asked {
					t.Error("not asked on SIGHUP")
				}
			})
		})
	}
}

// TestSource_TTLOfSRV: the shortest TTL of all that makes an answer counts, and a
// failure is no reason to ask more often. P-32.
func TestSource_TTLOfSRV(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := zone{"_sip._udp.pbx.a.test": {"60s", "10/0/5070/one.a.test.", "20/0/5070/two.a.test."}, "one.a.test": {"90s", "10.0.1.1"}, "two.a.test": {"10s", "10.0.1.2"}}
		l := newLoading(t, "reload: 5m\n"+`tenants: [{setid: 10, domains: [a.test], destinations: [{uri: "sip:pbx.a.test"}]}]`, nil, z)
		at := func(after time.Duration, want ...string) {
			t.Helper()
			l.run(after)
			if diff := cmp.Diff(want, l.members(10)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		before := []string{"sip:10.0.1.1:5070 1", "sip:10.0.1.2:5070 1 tier 1"}
		after := []string{"sip:10.0.1.1:5070 1", "sip:10.0.1.3:5070 1 tier 1"}
		z["two.a.test"] = []string{"10s", "10.0.1.3"}
		at(9900*time.Millisecond, before...)
		at(200*time.Millisecond, after...)
		z["_sip._udp.pbx.a.test"] = []string{"fail"}
		at(10*time.Second, after...)
		l.wantProblems(problemName)
		z["_sip._udp.pbx.a.test"] = []string{"60s", "10/0/5070/one.a.test."}
		at(20*time.Second, after...)
		at(10*time.Second, "sip:10.0.1.1:5070 1")
		l.wantProblems()
	})
}

// TestSource_TTLOfRows: names in the database are asked for between two readings of
// it if their TTL says so, and with each. P-32.
func TestSource_TTLOfRows(t *testing.T) {
	server := mysqltest.New(t)
	outside := server.DB(t)
	createTables(t, outside)
	dsn := server.Config(t, outside).FormatDSN()
	exec(t, outside, "INSERT INTO domain (domain, setid) VALUES ('a.test', 10)", "INSERT INTO dispatcher (setid, destination) VALUES (10, 'sip:short.a.test'), (10, 'sip:long.a.test')")
	c := &counting{zone: zone{"short.a.test": {"10s", "10.0.1.10"}, "long.a.test": {"1h", "10.0.1.11"}}, asked: map[string]int{}}
	synctest.Test(t, func(t *testing.T) {
		db, err := database.Open(dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		l := newLoading(t, "reload: 2m", db, c)
		l.run(99 * time.Second)
		if c.asked["short.a.test"] != 10 || c.asked["long.a.test"] != 1 {
			t.Errorf("asked %v", c.asked)
		}
		l.run(34 * time.Second)
		if c.asked["long.a.test"] < 2 {
			t.Errorf("with the rows asked %v", c.asked)
		}
	})
}

// TestSource_RealServer: all of it with a server, over sockets. P-32.
func TestSource_RealServer(t *testing.T) {
	s := dnstest.New(t)
	s.Set("_sip._udp.pbx.sipward.test", "60 SRV 20 0 5060 two.sipward.test", "60 SRV 10 60 5070 one.sipward.test", "60 SRV 10 20 5070 three.sipward.test")
	s.Set("one.sipward.test", "7 10.0.1.1")
	s.Set("two.sipward.test", "60 10.0.1.2", "60 fd00::2")
	s.Set("three.sipward.test", "60 10.0.1.3")
	s.Set("addresses.sipward.test", "30 10.0.1.4")
	l := newLoading(t, `tenants: [{setid: 10, domains: [a.test], destinations: [{uri: "sip:pbx.sipward.test"}]},
  {setid: 20, domains: [b.test], destinations: [{uri: "sip:addresses.sipward.test"}, {uri: "sip:addresses.sipward.test:5080"}]}]`, nil, resolver.Resolver{Dial: s.Dial})
	at := func(want10, want20 []string, problems ...string) {
		t.Helper()
		got10 := l.members(10)
		slices.Sort(got10)
		if diff := cmp.Diff(want10, got10); diff != "" {
			t.Errorf("set 10 (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want20, l.members(20)); diff != "" {
			t.Errorf("set 20 (-want +got):\n%s", diff)
		}
		l.wantProblems(problems...)
	}
	want10 := []string{"sip:10.0.1.1:5070 150", "sip:10.0.1.2:5060 100 tier 1", "sip:10.0.1.3:5070 50", "sip:[fd00::2]:5060 100 tier 1"}
	want20 := []string{"sip:10.0.1.4:5060 1", "sip:10.0.1.4:5080 1"}
	at(want10, want20)
	if wait := time.Until(l.namesAt); wait > 7*time.Second {
		t.Errorf("the names are asked for again in %v", wait)
	}
	s.Fail("_sip._udp.pbx.sipward.test")
	s.Fail("addresses.sipward.test")
	l.poll(t.Context())
	at(want10, want20, problemName, problemName, problemName)
	s.Set("_sip._udp.pbx.sipward.test", "60 SRV 10 0 5080 three.sipward.test")
	s.Set("addresses.sipward.test", "60 10.0.1.5")
	l.poll(t.Context())
	at([]string{"sip:10.0.1.3:5080 1"}, []string{"sip:10.0.1.5:5060 1", "sip:10.0.1.5:5080 1"})
	if n := s.Asked("one.sipward.test"); n != 2 { // A and AAAA, once
		t.Errorf("%d questions for what no record names any more", n)
	}
}
