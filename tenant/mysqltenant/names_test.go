package mysqltenant_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/tenant"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

// zone is a resolver whose answers a test changes. A host without answers
// fails.
type zone struct {
	mu      sync.Mutex
	answers map[string][]netip.Addr
	asked   map[string]int
}

func (z *zone) set(host string, addrs ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.answers == nil {
		z.answers, z.asked = make(map[string][]netip.Addr), make(map[string]int)
	}
	delete(z.answers, host)
	for _, a := range addrs {
		z.answers[host] = append(z.answers[host], netip.MustParseAddr(a))
	}
}

func (z *zone) lookup(_ context.Context, host string) ([]netip.Addr, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked[host]++
	if addrs, ok := z.answers[host]; ok {
		return addrs, nil
	}
	return nil, errors.New("server failure")
}

// namesOf returns the names of destinations with a port.
func namesOf(hosts ...string) (names []mysqltenant.Name) {
	for _, host := range hosts {
		names = append(names, mysqltenant.Name{Host: host})
	}
	return names
}

// P-32: all addresses of a name are sources, a change is seen with the next
// load, and an outage keeps the last answer.
func TestLoader_LoadResolves(t *testing.T) {
	db := create(t)
	exec(t, db, "INSERT INTO dispatcher (id, setid, destination) VALUES (1, 10, 'sip:PBX.example'), (2, 10, 'sip:10.0.1.10'), (3, 20, 'sip:pbx.example.:5080')")
	var z zone
	z.set("pbx.example", "192.0.2.7", "2001:db8::7")
	f := open(t, db, mysqltenant.Config{Resolver: lookup(z.lookup)})
	want := func(set10, set20 []tenant.Source) {
		t.Helper()
		wantTenants(t, f.load(), tenant.Tenant{SetID: 10, Sources: set10}, tenant.Tenant{SetID: 20, Sources: set20})
	}
	want(sources("192.0.2.7:5060", "[2001:db8::7]:5060", "10.0.1.10:5060"), sources("192.0.2.7:5080", "[2001:db8::7]:5080"))
	f.wantProblems()
	if z.asked["pbx.example"] != 2 { // with a port and without
		t.Errorf("asked %v, want once for each name", z.asked)
	}

	z.set("pbx.example", "192.0.2.8") // a change
	changed := func() { t.Helper(); want(sources("192.0.2.8:5060", "10.0.1.10:5060"), sources("192.0.2.8:5080")) }
	changed()
	f.wantProblems()

	z.set("pbx.example") // an outage, of more than one load
	for range 2 {
		changed()
		f.wantProblems(mysqltenant.ErrLookup, mysqltenant.ErrLookup) // one for each row
	}
	z.set("pbx.example", "192.0.2.8") // its end
	changed()
	f.wantProblems()
}

// A name that has never been resolved affects its destination only, and one
// that was configured again later starts anew.
func TestLoader_LoadUnknownHost(t *testing.T) {
	db := create(t)
	exec(t, db, "INSERT INTO domain (domain, setid) VALUES ('a.example', 10)")
	exec(t, db, "INSERT INTO dispatcher (id, setid, destination, attrs) VALUES (1, 10, 'sip:pbx.example', 'source_ip=192.0.2.7')")
	var z zone
	z.set("pbx.example")
	f := open(t, db, mysqltenant.Config{Resolver: lookup(z.lookup)})
	without := tenant.Tenant{SetID: 10, Domains: []string{"a.example"}, Sources: sources("192.0.2.7/32")}
	wantTenants(t, f.load(), without)
	f.wantProblems(mysqltenant.ErrLookup)

	z.set("pbx.example", "192.0.2.8")
	f.load()
	exec(t, db, "UPDATE dispatcher SET destination = 'sip:10.0.1.10'")
	f.load() // which forgets the name
	exec(t, db, "UPDATE dispatcher SET destination = 'sip:pbx.example'")
	z.set("pbx.example")
	wantTenants(t, f.load(), without)
	f.wantProblems(mysqltenant.ErrLookup)
}

// A resolver that hangs is an outage, and does not hold up a load for long.
func TestLoader_LoadLookupTimeout(t *testing.T) {
	db := create(t)
	exec(t, db, "INSERT INTO dispatcher (setid, destination) SELECT 10, CONCAT('sip:pbx', seq, '.example') FROM seq_1_to_40")
	f := open(t, db, mysqltenant.Config{
		LookupTimeout: 20 * time.Millisecond,
		Resolver: lookup(func(ctx context.Context, _ string) ([]netip.Addr, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}),
	})
	wantTenants(t, f.load(), tenant.Tenant{SetID: 10})
	if len(f.problems) != 40 || !errors.Is(f.problems[0].Err, context.DeadlineExceeded) {
		t.Errorf("got %d problems %v", len(f.problems), f.problems[:1])
	}
}

// Loads may run at once.
func TestLoader_LoadConcurrently(t *testing.T) {
	db := create(t)
	exec(t, db, "INSERT INTO dispatcher (setid, destination) VALUES (10, 'sip:pbx.example')")
	var z zone
	z.set("pbx.example", "192.0.2.7")
	f := open(t, db, mysqltenant.Config{Resolver: lookup(z.lookup)})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if ts, err := f.Load(t.Context()); err != nil || len(ts) != 1 || len(ts[0].Sources) != 1 {
				t.Errorf("got %v, %v", ts, err)
			}
		})
	}
	wg.Wait()
}

// P-32: addresses that come in another order, or twice, are no change; what is
// no address of a host is none; and a host that is not asked for is forgotten.
func TestNames_Resolve(t *testing.T) {
	var z zone
	n := mysqltenant.NewNames(mysqltenant.NamesConfig{Resolver: lookup(z.lookup)})
	want := func(err error, addrs ...string) {
		t.Helper()
		got := n.Resolve(t.Context(), namesOf("pbx.example"), nil)[mysqltenant.Name{Host: "pbx.example"}]
		var found []string
		for _, target := range got.Targets {
			found = append(found, target.Addr.String())
		}
		if !errors.Is(got.Err, err) || !slices.Equal(found, addrs) {
			t.Errorf("got %v, want %v, %v", got, addrs, err)
		}
	}
	z.set("pbx.example", "192.0.2.7", "::ffff:192.0.2.8", "192.0.2.7", "0.0.0.0", "fe80::1%eth0")
	want(nil, "192.0.2.7", "192.0.2.8")
	z.set("pbx.example", "192.0.2.8", "192.0.2.7")
	want(nil, "192.0.2.7", "192.0.2.8")
	z.set("pbx.example", "192.0.2.9", "192.0.2.7")
	want(nil, "192.0.2.9", "192.0.2.7")
	z.set("pbx.example", "0.0.0.0")
	want(mysqltenant.ErrLookup, "192.0.2.9", "192.0.2.7")
	n.Resolve(t.Context(), nil, nil)
	want(mysqltenant.ErrLookup)
}

// P-32: names that hang, as those of a zone that is dead, do not take the time of
// the others: not at all if they are a few, and otherwise until each was asked.
func TestNames_DeadZone(t *testing.T) {
	tests := []struct {
		name   string
		hangs  int
		misses int // loads in which the others are not resolved
	}{
		{"small", 100, 0},
		{"large", 300, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var hang []string
				for i := range tt.hangs {
					hang = append(hang, fmt.Sprintf("%04d.dead.example", i))
				}
				names := namesOf(append(slices.Clone(hang), "pbx1.example", "pbx2.example")...)
				n := mysqltenant.NewNames(mysqltenant.NamesConfig{Resolver: lookup(func(ctx context.Context, host string) ([]netip.Addr, error) {
					if slices.Contains(hang, host) {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					return []netip.Addr{netip.MustParseAddr("192.0.2.7")}, nil
				})})
				resolved := func(host string) bool {
					return n.Resolve(t.Context(), names, nil)[mysqltenant.Name{Host: host}].Err == nil
				}
				for load := range 10 {
					if got, want := resolved("pbx2.example"), load >= tt.misses; got != want {
						t.Errorf("load %d: resolved %t, want %t", load, got, want)
					}
				}

				hang = append(slices.Clone(hang), "pbx2.example") // with the zone, and not for good
				resolved("pbx2.example")
				hang = hang[:tt.hangs]
				for load := 0; !resolved("pbx2.example"); load++ {
					if load == 3 {
						t.Fatal("a name that has hung once is not asked any more")
					}
				}
			})
		})
	}
}
