package route_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/tenant"
)

// What a caller does with a decision is in its fields, not in its text.
func TestDecide_Fields(t *testing.T) {
	w := city(t)
	tests := []struct {
		name, from, req string
		want            route.Decision
	}{
		{"phone registered from there", "198.51.100.1:40001", "INVITE sip:9@a.test from=sip:401@a.test",
			route.Decision{Action: route.ToSet, Reason: route.Domain, Class: route.Phone, Set: 10, AOR: aor(t, "401@a.test"),
				Registered: true, Registrar: "sip:pbx.test"}},
		{"To differs", "192.0.2.66:5060", "INVITE sip:9@a.test to=sip:9@b.test",
			route.Decision{Action: route.ToSet, Reason: route.Domain, Class: route.Phone, Set: 10, ToDiffers: true}},
		{"keepalive", "10.0.10.1:5060", "OPTIONS sip:10.0.0.1",
			route.Decision{Action: route.Local, Reason: route.KeepAlive, Class: route.PBX, Status: 200, Set: -1}},
		{"missing in a known set", "10.0.10.1:5060", "INVITE sip:999@10.0.0.1",
			route.Decision{Action: route.Reply, Reason: route.Missing, Class: route.PBX, Status: 404, Set: 10}},
		{"missing in several sets", "10.0.30.1:5060", "INVITE sip:999@10.0.0.1",
			route.Decision{Action: route.Reply, Reason: route.Missing, Class: route.PBX, Status: 404, Set: -1}},
		{"ambiguous in one set, counted for it (P-12)", "10.0.50.1:5060", "INVITE sip:402@10.0.0.1",
			route.Decision{Action: route.Reply, Reason: route.Ambiguous, Class: route.PBX, Status: 404, Set: 50,
				AOR: aor(t, "402@e1.test"), Rival: aor(t, "402@e3.test")}},
		{"ambiguous in several sets", "10.0.30.1:5060", "INVITE sip:401@10.0.0.1",
			route.Decision{Action: route.Reply, Reason: route.Ambiguous, Class: route.PBX, Status: 404, Set: -1,
				AOR: aor(t, "401@c.test"), Rival: aor(t, "401@d.test")}},
		{"wait", "10.0.30.1:5060", "OPTIONS sip:new@10.0.0.1",
			route.Decision{Action: route.Wait, Reason: route.Pending, Class: route.PBX, Set: 40, AOR: aor(t, "new@d.test")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := decide(t, request(t, tt.req), source(tt.from), w)
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b location.AOR) bool { return a == b })); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// P-65, P-49: a target is one binding as it was stored, not put together.
func TestDecide_TargetIsTheStoredBinding(t *testing.T) {
	w := city(t)
	got := decide(t, request(t, "INVITE sip:402@10.0.0.1;rid=t2"), source("10.0.10.1:5060"), w)
	all, err := w.Bindings.Lookup(t.Context(), aor(t, "402@a.test"))
	if err != nil {
		t.Fatal(err)
	}
	for _, stored := range all {
		if stored.Token == "t2" {
			if diff := cmp.Diff([]location.Binding{stored}, got.Targets, addrPorts); diff != "" {
				t.Errorf("-stored +target\n%s", diff)
			}
		}
	}
}

// Waiting ends when the REGISTER is answered, one way or the other.
func TestDecide_AfterWait(t *testing.T) {
	w := city(t)
	b := w.Bindings.(bindings)
	req, src := request(t, "OPTIONS sip:new@10.0.0.1"), source("10.0.10.1:5060")
	d := decide(t, req, src, w)
	if d.Action != route.Wait {
		t.Fatalf("at first: %s", line(d))
	}
	delete(b.pending, d.AOR)
	if got, want := line(decide(t, req, src, w)), "pbx: answer 404 (missing)"; got != want {
		t.Errorf("rejected: %s, want %s", got, want)
	}
	b.register(t, phone{aor: "new@a.test", contact: "sip:new@192.168.1.50", remote: "198.51.100.1:40050"})
	if got, want := line(decide(t, req, src, w)), "pbx: to new@a.test (only_candidate) sip:new@192.168.1.50"; got != want {
		t.Errorf("accepted: %s, want %s", got, want)
	}
}

// P-80: nothing changes for the first tenant when a second one is added.
func TestDecide_SecondTenantChangesNothing(t *testing.T) {
	b := newBindings()
	b.register(t, phone{aor: "401@a.test", contact: "sip:401@192.168.1.10", remote: "198.51.100.1:40001"})
	first, second := set(10, "a.test", "10.0.10.1"), set(20, "b.test", "10.0.20.1")
	alone := &route.World{Tenants: newTable(t, first), Bindings: b, Own: own}
	both := &route.World{Tenants: newTable(t, first, second), Bindings: b, Own: own}
	sources := []string{"10.0.10.1:5060", "198.51.100.1:40001", "192.0.2.66:5060"}
	for _, from := range sources {
		for _, text := range []string{"INVITE sip:401@10.0.0.1", "INVITE sip:401@a.test", "OPTIONS sip:10.0.0.1", "INVITE sip:401@10.0.10.1"} {
			want := line(decide(t, request(t, text), source(from), alone))
			if got := line(decide(t, request(t, text), source(from), both)); got != want {
				t.Errorf("%s from %s: %s, alone %s", text, from, got, want)
			}
		}
	}
	// P-13: with one tenant, too, an unlisted source is nobody's PBX.
	if got, want := line(decide(t, request(t, "INVITE sip:401@10.0.0.1"), source("10.0.20.1:5060"), alone)), "unknown: drop (own_address)"; got != want {
		t.Errorf("unlisted source: %s, want %s", got, want)
	}
}

func TestDecide_AtMostTenTargets(t *testing.T) {
	b := newBindings()
	for i := range 12 {
		b.register(t, phone{aor: "401@a.test", contact: fmt.Sprintf("sip:401@192.168.1.%d", i), remote: fmt.Sprintf("198.51.100.1:%d", 40000+i),
			age: time.Duration(i) * time.Second})
	}
	w := &route.World{Tenants: newTable(t, set(10, "a.test", "10.0.10.1")), Bindings: b, Own: own,
		Policy: route.Policy{Lookup: route.Lookup{Fork: route.Serial}}}
	d := decide(t, request(t, "INVITE sip:401@a.test"), source("10.0.10.1:5060"), w)
	if len(d.Targets) != route.MaxTargets || d.Fork != route.Serial {
		t.Fatalf("%d targets, %s", len(d.Targets), d.Fork)
	}
	if first, last := d.Targets[0].Contact, d.Targets[9].Contact; first != "sip:401@192.168.1.0" || last != "sip:401@192.168.1.9" {
		t.Errorf("from %s to %s", first, last)
	}
	if d := decide(t, request(t, "NOTIFY sip:401@a.test"), source("10.0.10.1:5060"), w); d.Fork != route.Parallel {
		t.Errorf("NOTIFY: %s", d.Fork)
	}
}

// failing is a store that does not answer for one domain.
type failing struct {
	bindings
	domain string
}

var errDown = errors.New("store is down")

func (f failing) Lookup(ctx context.Context, aor location.AOR) ([]location.Binding, error) {
	if aor.Domain() == f.domain {
		return nil, errDown
	}
	return f.bindings.Lookup(ctx, aor)
}

func (f failing) LookupContact(ctx context.Context, contact location.AOR) ([]location.Entry, error) {
	if contact.Domain() == f.domain {
		return nil, errDown
	}
	return f.bindings.LookupContact(ctx, contact)
}

// Half of an answer must not make two candidates one (P-12).
func TestDecide_StoreFails(t *testing.T) {
	w := city(t)
	w.Bindings = failing{w.Bindings.(bindings), "d.test"}
	tests := []struct{ name, from, req, want string }{
		{"user in the other tenant", "10.0.30.1:5060", "INVITE sip:401@10.0.0.1", "pbx: answer 500 (store_failed): store is down"},
		{"token of the other tenant", "10.0.30.1:5060", "INVITE sip:401@10.0.0.1;rid=c401", "pbx: answer 500 (store_failed): store is down"},
		{"not needed", "10.0.30.1:5060", "INVITE sip:401@c.test", "pbx: to 401@c.test (domain) sip:401@192.168.3.1:5060"},
		{"caller of a PBX", "10.0.30.1:5060", "INVITE sip:401@c.test from=sip:1@d.test", "pbx: answer 500 (store_failed): store is down"},
		{"preference of a phone only", "198.51.100.4:40001", "INVITE sip:9@d.test from=sip:401@d.test", "phone: to set 40 for 401@d.test (domain)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := line(decide(t, request(t, tt.req), source(tt.from), w)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	t.Run("context is done", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		d := route.Decide(ctx, request(t, "INVITE sip:401@10.0.0.1"), source("10.0.10.1:5060"), city(t))
		if !errors.Is(d.Err, context.Canceled) || d.Status != 500 {
			t.Errorf("%s, error %v", d.String(), d.Err)
		}
	})
}

// careless is a store whose Contact lookup forgets about the domain.
type careless struct{ bindings }

func (c careless) LookupContact(ctx context.Context, contact location.AOR) ([]location.Entry, error) {
	var all []location.Entry
	for _, domain := range []string{"a.test", "b.test", "c.test", "d.test"} {
		other, err := location.MakeAOR(contact.User(), domain)
		if err != nil {
			return nil, err
		}
		entries, err := c.bindings.LookupContact(ctx, other)
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
	}
	return all, nil
}

// P-13: not even a wrong store makes a phone ring for another tenant's PBX.
func TestDecide_CarelessStore(t *testing.T) {
	w := city(t)
	w.Bindings = careless{w.Bindings.(bindings)}
	if got, want := line(decide(t, request(t, "INVITE sip:d600@10.0.0.1"), source("10.0.10.1:5060"), w)), "pbx: answer 404 (missing)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// PBXes may put a name into their Contact (P-32).
func TestWorld_Named(t *testing.T) {
	w := city(t)
	a, _ := w.Tenants.Set(10)
	w.Named = func(host string, port uint16) []*tenant.Tenant {
		if host == "pbx.example" && port == 5060 {
			return []*tenant.Tenant{a}
		}
		return nil
	}
	tests := []struct{ req, want string }{
		{"INVITE sip:402@PBX.example from=sip:401@a.test", "phone: to set 10 for 401@a.test, registered by sip:pbx.test (pbx_alias)"},
		{"INVITE sip:402@pbx.example:5080 from=sip:401@a.test", "phone: answer 404 (unknown_domain)"},
		{"BYE sip:asterisk@pbx.example trusted", "phone: along its dialog (in_dialog)"},
		{"BYE sip:asterisk@other.example trusted", "phone: answer 404 (foreign_target)"},
	}
	for _, tt := range tests {
		if got := line(decide(t, request(t, tt.req), source("198.51.100.1:40001"), w)); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.req, got, tt.want)
		}
	}
}

// Without Own and Named the zero values say that there are none.
func TestWorld_ZeroFields(t *testing.T) {
	w := city(t)
	w.Own, w.Named, w.Policy = nil, nil, route.Policy{}
	for _, text := range []string{"INVITE sip:402@10.0.0.1", "INVITE sip:402@pbx.example", "INVITE sip:402@[::1]"} {
		if got, want := line(decide(t, request(t, text), source("192.0.2.66:5060"), w)), "unknown: drop (unknown_domain)"; got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// A phone is known by address, port and transport.
func TestDecide_RegisteredByTransport(t *testing.T) {
	w := city(t)
	src := source("198.51.100.1:40001")
	req := request(t, "INVITE sip:9@a.test from=sip:401@a.test")
	for transport, want := range map[string]bool{"udp": true, "tcp": false} {
		src.Transport = transport
		if got := decide(t, req, src, w).Registered; got != want {
			t.Errorf("%s: %t, want %t", transport, got, want)
		}
	}
}

func TestDecision_AffinityKey(t *testing.T) {
	w := city(t)
	tests := []struct{ name, from, req, want string }{
		{"caller of the set", "198.51.100.1:40001", "INVITE sip:9@a.test from=sip:401@a.test", "401@a.test"},
		{"registering AOR (P-36)", "198.51.100.1:40001", "REGISTER sip:a.test to=sip:402@a.test", "402@a.test"},
		{"caller of another set", "198.51.100.1:40001", "INVITE sip:9@b.test from=sip:401@a.test", "198.51.100.1"},
		{"caller of another set, mapped IPv4", "[::ffff:198.51.100.1]:40001", "INVITE sip:9@b.test from=sip:401@a.test", "198.51.100.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := source(tt.from)
			d := decide(t, request(t, tt.req), src, w)
			if got := d.AffinityKey(src); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// A World is shared by all goroutines that decide.
func TestDecide_Concurrent(t *testing.T) {
	w := city(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				d := route.Decide(t.Context(), request(t, "INVITE sip:402@a.test"), source("10.0.10.1:5060"), w)
				for i := range d.Targets {
					d.Targets[i].Contact = "" // they are the caller's own
				}
			}
		})
	}
	wg.Wait()
	if d := decide(t, request(t, "INVITE sip:402@a.test"), source("10.0.10.1:5060"), w); d.Targets[0].Contact == "" {
		t.Error("targets are shared with the store")
	}
}
