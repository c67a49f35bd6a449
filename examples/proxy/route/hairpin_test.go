package route_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/location"
)

// P-16, P-30, P-81: a PBX that asks for a domain of another tenant gets to its
// PBXes, if its own tenant may, or a 404; never to a phone there, never back to
// itself, and never silence.
func TestDecide_Hairpin(t *testing.T) {
	const (
		pbxA   = "10.0.10.1:5060"
		pbxB   = "10.0.20.1:5060"
		shared = "10.0.30.1:5060" // sets 30 and 40
	)
	on := route.Policy{Lookup: route.Lookup{Hairpin: true}}
	only := func(sets ...int) route.Policy {
		p := route.Policy{Sets: map[int]route.Lookup{}}
		for _, id := range sets {
			p.Sets[id] = route.Lookup{Hairpin: true}
		}
		return p
	}
	tests := []struct {
		name   string
		policy route.Policy
		from   string
		req    string
		want   string
	}{
		{"off by default", route.Policy{}, pbxA, "INVITE sip:999@b.test", "pbx: answer 404 (foreign_domain)"},
		{"off, To is of the PBX (P-81)", route.Policy{}, pbxA, "INVITE sip:401@b.test to=sip:401@a.test", "pbx: answer 404 (foreign_domain), To differs"},
		{"on", on, pbxA, "INVITE sip:999@b.test", "pbx: to set 20 for 999@b.test (hairpin)"},
		{"on, To is of the PBX (P-81)", on, pbxA, "INVITE sip:999@b.test to=sip:999@a.test", "pbx: to set 20 for 999@b.test (hairpin), To differs"},
		{"on, any spelling of it (P-76)", on, pbxA, "INVITE sip:999@B.Test.:5060", "pbx: to set 20 for 999@b.test (hairpin)"},
		{"on, the user is bound: its PBX rings it, not this one", on, pbxA, "INVITE sip:401@b.test", "pbx: to set 20 for 401@b.test (hairpin)"},
		{"on, a REGISTER is on its way there: its PBX may wait, not this one", on, pbxA, "INVITE sip:new@d.test", "pbx: to set 40 for new@d.test (hairpin)"},
		{"on, OPTIONS (P-16)", on, pbxA, "OPTIONS sip:999@b.test", "pbx: to set 20 for 999@b.test (hairpin)"},
		{"on, NOTIFY (P-16)", on, pbxA, "NOTIFY sip:401@b.test", "pbx: to set 20 for 401@b.test (hairpin)"},
		{"on, SUBSCRIBE", on, pbxA, "SUBSCRIBE sip:401@b.test", "pbx: to set 20 for 401@b.test (hairpin)"},
		{"on, MESSAGE", on, pbxA, "MESSAGE sip:401@b.test", "pbx: to set 20 for 401@b.test (hairpin)"},
		{"on, without a user", on, pbxA, "OPTIONS sip:b.test", "pbx: to set 20 (hairpin)"},
		{"on, no user that could exist", on, pbxA, "INVITE sip:%01@b.test", "pbx: answer 404 (no_user)"},
		{"on, a token is for a phone of its own (P-13)", on, pbxA, "INVITE sip:401@d.test;rid=d401", "pbx: answer 404 (unknown_token)"},
		{"on, a stranger's domain", on, pbxA, "INVITE sip:999@carrier.example", "pbx: answer 404 (unknown_domain)"},
		{"on, ACK to nothing", on, pbxA, "ACK sip:999@b.test", "pbx: drop (stray_ack)"},
		{"on, a phone behind the PBX's address", on, "203.0.113.5:40801", "INVITE sip:9@b.test from=sip:801@g.test", "phone: to set 20 (domain)"},

		// Back to the sender leads nothing.
		{"own domain, bound", on, pbxA, "INVITE sip:401@a.test", "pbx: to 401@a.test (domain) sip:401@192.168.1.10:5060;line=abc"},
		{"own domain, not bound (P-16, P-30)", on, pbxA, "INVITE sip:999@a.test", "pbx: answer 404 (missing)"},
		{"own domain, not bound, OPTIONS (P-15)", on, pbxA, "OPTIONS sip:999@a.test", "pbx: answer 404 (missing)"},
		{"second domain of its set, not bound (P-30)", on, pbxA, "INVITE sip:999@alias.test", "pbx: answer 404 (missing)"},
		{"domain of another tenant on the same PBX, not bound (P-30)", on, shared, "INVITE sip:999@d.test from=sip:401@c.test", "pbx: answer 404 (missing)"},
		{"the same from a port that nobody has named", on, "10.0.30.1:41234", "INVITE sip:999@d.test from=sip:401@c.test", "pbx: answer 404 (missing)"},

		// Who may.
		{"its own set says so", only(10), pbxA, "INVITE sip:999@b.test", "pbx: to set 20 for 999@b.test (hairpin)"},
		{"only the called set says so", only(20), pbxA, "INVITE sip:999@b.test", "pbx: answer 404 (foreign_domain)"},
		{"and not the other way round", only(10), pbxB, "INVITE sip:999@a.test", "pbx: answer 404 (foreign_domain)"},
		{"all sets but its own", route.Policy{Lookup: route.Lookup{Hairpin: true}, Sets: map[int]route.Lookup{10: {}}}, pbxA,
			"INVITE sip:999@b.test", "pbx: answer 404 (foreign_domain)"},
		{"both of two tenants agree", only(30, 40), shared, "INVITE sip:999@b.test", "pbx: to set 20 for 999@b.test (hairpin)"},
		{"one of two tenants does not", only(30), shared, "INVITE sip:999@b.test from=sip:401@c.test", "pbx: answer 404 (foreign_domain)"},
		{"silence for missing users is not for PBXes (P-81)", route.Policy{Lookup: route.Lookup{Missing: route.Silent}}, pbxA,
			"INVITE sip:999@b.test", "pbx: answer 404 (foreign_domain)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := city(t)
			w.Policy = tt.policy
			if got := line(decide(t, request(t, tt.req), source(tt.from), w)); got != tt.want {
				t.Errorf("%s from %s\n got %s\nwant %s", tt.req, tt.from, got, tt.want)
			}
		})
	}
}

// Two PBXes behind one address are two, as far as their ports tell.
func TestDecide_HairpinByPort(t *testing.T) {
	w := &route.World{
		Tenants: newTable(t, set(10, "a.test", "10.0.1.1:5060"), set(20, "b.test", "10.0.1.1:5080"),
			set(30, "c.test", "10.0.1.1:5080 10.0.1.2:5060")),
		Bindings: newBindings(),
		Own:      own,
		Policy:   route.Policy{Lookup: route.Lookup{Hairpin: true}},
	}
	tests := []struct{ name, from, req, want string }{
		{"the other one", "10.0.1.1:5060", "INVITE sip:1@b.test", "pbx: to set 20 for 1@b.test (hairpin)"},
		{"and back", "10.0.1.1:5080", "INVITE sip:1@a.test", "pbx: to set 10 for 1@a.test (hairpin)"},
		{"a set that the sender shares with another PBX (P-30)", "10.0.1.1:5080", "INVITE sip:1@c.test", "pbx: answer 404 (missing)"},
		{"a port that tells nothing could be either (P-30)", "10.0.1.1:41234", "INVITE sip:1@b.test", "pbx: answer 404 (missing)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := line(decide(t, request(t, tt.req), source(tt.from), w)); got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
		})
	}
}

// The PBX of a hairpin is chosen by who is called: that one knows it.
func TestDecide_HairpinFields(t *testing.T) {
	w := city(t)
	w.Policy.Hairpin = true
	src := source("10.0.10.1:5060")
	got := decide(t, request(t, "INVITE sip:401@b.test from=sip:402@a.test"), src, w)
	want := route.Decision{Action: route.ToSet, Reason: route.Hairpin, Class: route.PBX, Set: 20, AOR: aor(t, "401@b.test")}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b location.AOR) bool { return a == b })); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if key := got.AffinityKey(src); key != "401@b.test" {
		t.Errorf("affinity %q", key)
	}
}
