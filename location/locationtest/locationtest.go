// Package locationtest checks implementations of [location.Store].
//
// The test of a store is one call:
//
//	func TestStore(t *testing.T) {
//		locationtest.Run(t, locationtest.Harness{
//			New: func(t testing.TB, now func() time.Time) location.Store {
//				return mystore.New(mystore.Config{Now: now})
//			},
//		})
//	}
//
// It depends on nothing but the standard library and asserts nothing about how
// fast a store is; [Bench] measures that.
package locationtest

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/sipward/sipward/location"
)

// Harness tells the suite how to make the store under test.
type Harness struct {
	// New returns an empty store that takes the time from now, which may be
	// called from any goroutine. What must be closed goes to t.Cleanup.
	New func(t testing.TB, now func() time.Time) location.Store

	// Reopen returns another store on the data of s, as after a restart: s is
	// not used any more. Nil if the store keeps no data beyond its own life.
	// The new store takes the time from where s did.
	Reopen func(t testing.TB, s location.Store) location.Store

	// Break makes the backend of s fail until the returned func is called. Nil
	// if there is nothing that could fail.
	Break func(t testing.TB, s location.Store) (repair func())
}

// Run checks all rules of [location.Store], and of those optional interfaces
// that [location.As] finds in the store, each in a subtest with a store of its
// own. Those of [location.Batcher] are checked if the store itself is one. A
// failed one tells the rule. Use it with -race.
func Run(t *testing.T, h Harness) {
	for _, r := range rules(h) {
		t.Run(r.name, func(t *testing.T) {
			t.Cleanup(func() {
				if t.Failed() {
					t.Log("the rule: " + r.text)
				}
			})
			r.check(newFixture(t, h))
		})
	}
}

// rule is one promise of the contract.
type rule struct {
	name  string
	text  string
	check func(*fixture)
}

func rules(h Harness) []rule {
	var rs []rule
	rs = append(rs, lookupRules...)
	rs = append(rs, isolationRules...)
	rs = append(rs, applyRules...)
	rs = append(rs, staleRules...)
	rs = append(rs, sameRules...)
	rs = append(rs, callerRules...)
	rs = append(rs, concurrencyRules...)
	rs = append(rs, optionalRules...)
	rs = append(rs, batchRules...)
	rs = append(rs, modelRule)
	if h.Reopen != nil {
		rs = append(rs, reopenRule)
	}
	if h.Break != nil {
		rs = append(rs, breakRule)
	}
	return rs
}

// fixture is a store under test and its clock. Its methods end the test if
// anything is wrong.
type fixture struct {
	*testing.T
	harness Harness
	store   location.Store
	clock   *Clock
	made    int // bindings by device
}

func newFixture(t *testing.T, h Harness) *fixture {
	t.Helper()
	clock := NewClock()
	return &fixture{T: t, harness: h, store: h.New(t, clock.Now), clock: clock}
}

// aor makes an AOR. The user is taken as it is.
func (f *fixture) aor(user, domain string) location.AOR {
	f.Helper()
	a, err := location.MakeAOR(user, domain)
	if err != nil {
		f.Fatal(err)
	}
	return a
}

// device returns a binding for an hour that is the Same as no other one that
// device returned. It has no instance and no user agent.
func (f *fixture) device() location.Binding {
	f.made++
	host := netip.AddrFrom4([4]byte{10, 0, byte(f.made >> 8), byte(f.made)})
	return location.Binding{
		Contact: fmt.Sprintf("sip:phone@%v:5060", host),
		Flow: location.Flow{
			Transport: "udp",
			Remote:    netip.AddrPortFrom(host, 5060),
			Local:     netip.MustParseAddrPort("192.0.2.1:5060"),
		},
		Q:       location.QUnspecified,
		CallID:  fmt.Sprintf("call-%d", f.made),
		CSeq:    1,
		Expires: f.clock.Now().Add(time.Hour),
		Updated: f.clock.Now(),
	}
}

// again returns b as the next REGISTER of the same phone has it.
func (f *fixture) again(b location.Binding) location.Binding {
	b.CSeq++
	b.Expires = f.clock.Now().Add(time.Hour)
	b.Updated = f.clock.Now()
	return b
}

// apply applies c, which must go well.
func (f *fixture) apply(aor location.AOR, c location.Change) {
	f.Helper()
	if err := f.store.Apply(f.Context(), aor, c); err != nil {
		f.Fatalf("Apply(%q): %v", aor, err)
	}
}

// put applies one Change for each of bs, a second apart, so that the first is
// the least recently updated one. It sets Updated and Expires in bs to match.
func (f *fixture) put(aor location.AOR, bs ...*location.Binding) {
	f.Helper()
	for _, b := range bs {
		f.clock.Advance(time.Second)
		b.Updated, b.Expires = f.clock.Now(), f.clock.Now().Add(time.Hour)
		f.apply(aor, location.Change{CallID: b.CallID, CSeq: b.CSeq, Put: []location.Binding{*b}})
	}
}

// lookup returns what the store has.
func (f *fixture) lookup(aor location.AOR) []location.Binding {
	f.Helper()
	bs, err := f.store.Lookup(f.Context(), aor)
	if err != nil {
		f.Fatalf("Lookup(%q): %v", aor, err)
	}
	return bs
}

// want checks that the store has exactly these bindings, in this order.
func (f *fixture) want(aor location.AOR, want ...location.Binding) {
	f.Helper()
	if d := diff(f.lookup(aor), want); d != "" {
		f.Fatalf("Lookup(%q):\n%s", aor, d)
	}
}

// done returns a context that is over.
func done() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
