package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/internal/mysqltest"
)

// TestSource_Names: a PBX given by name is known by all its addresses, a change
// is seen within half a minute, and an outage keeps the last answer, for as long
// as it lasts. P-32.
func TestSource_Names(t *testing.T) {
	const yaml = `tenants: [{setid: 10, domains: [a.test], destinations: [{uri: "sip:pbx.a.test"}]}]`
	for _, every := range []string{"10s", "5m"} {
		t.Run(every, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z := zone{"pbx.a.test": {"10.0.1.10", "10.0.1.11"}}
				l := newLoading(t, "reload: "+every+"\n"+yaml, nil, z)
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
		lookup := hosts(func(ctx context.Context, _ string) ([]netip.Addr, error) {
			<-ctx.Done()
			return nil, fmt.Errorf("read from port %v: %w", time.Now().UnixNano(), ctx.Err())
		})
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

// TestSource_NamesOfRows: names in the database are resolved again though the
// rows are not due, or cannot be read. P-32.
func TestSource_NamesOfRows(t *testing.T) {
	db := mysqltest.DB(t)
	createTables(t, db)
	exec(t, db, "INSERT INTO domain (domain, setid) VALUES ('a.test', 10)", "INSERT INTO dispatcher (setid, destination) VALUES (10, 'sip:PBX.a.test.')")
	z := zone{"pbx.a.test": {"10.0.1.10"}}
	l := newLoading(t, "reload: 5m", db, z)
	exec(t, db, "INSERT INTO domain (domain, setid) VALUES ('b.test', 10)")
	at := func(want string) {
		t.Helper()
		hop := l.st.hops["sip:"+want+":5060"]
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
