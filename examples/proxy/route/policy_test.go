package route_test

import (
	"testing"

	"github.com/sipward/sipward/examples/proxy/route"
)

func TestPolicy(t *testing.T) {
	const (
		pbx    = "10.0.10.1:5060"
		shared = "10.0.30.1:5060"
		world  = "192.0.2.66:5060"
	)
	tests := []struct {
		name   string
		policy route.Policy
		from   string
		req    string
		want   string
	}{
		{"zero: missing", route.Policy{}, pbx, "INVITE sip:999@10.0.0.1", "pbx: answer 404 (missing)"},
		{"zero: ambiguous", route.Policy{}, shared, "INVITE sip:401@10.0.0.1", "pbx: answer 404 (ambiguous): 401@c.test or 401@d.test"},
		{"zero: unknown domain", route.Policy{}, world, "INVITE sip:1@x.test", "unknown: drop (unknown_domain)"},
		{"missing 480", route.Policy{Lookup: route.Lookup{Missing: 480}}, pbx, "INVITE sip:999@10.0.0.1", "pbx: answer 480 (missing)"},
		{"missing 480 is not for OPTIONS", route.Policy{Lookup: route.Lookup{Missing: 480}}, pbx, "OPTIONS sip:999@10.0.0.1", "pbx: answer 404 (missing)"},
		{"missing silent", route.Policy{Lookup: route.Lookup{Missing: route.Silent}}, pbx, "INVITE sip:999@10.0.0.1", "pbx: drop (missing)"},
		{"missing_options silent (P-15)", route.Policy{Lookup: route.Lookup{MissingOptions: route.Silent}}, pbx, "OPTIONS sip:999@10.0.0.1", "pbx: drop (missing)"},
		{"missing counts for unknown tokens", route.Policy{Lookup: route.Lookup{Missing: 480}}, pbx, "INVITE sip:401@10.0.0.1;rid=x", "pbx: answer 480 (unknown_token)"},
		{"missing counts for unknown names", route.Policy{Lookup: route.Lookup{Missing: 480}}, pbx, "INVITE sip:401@x.example", "pbx: answer 480 (unknown_domain)"},
		{"ambiguous 500", route.Policy{Lookup: route.Lookup{Ambiguous: 500}}, shared, "INVITE sip:401@10.0.0.1", "pbx: answer 500 (ambiguous): 401@c.test or 401@d.test"},
		{"ambiguous silent", route.Policy{Lookup: route.Lookup{Ambiguous: route.Silent}}, shared, "INVITE sip:401@10.0.0.1", "pbx: drop (ambiguous): 401@c.test or 401@d.test"},
		{"foreign domain is never silent (P-81)", route.Policy{Lookup: route.Lookup{Missing: route.Silent}}, pbx, "INVITE sip:401@b.test", "pbx: answer 404 (foreign_domain)"},
		{"set overrides as a whole", route.Policy{Lookup: route.Lookup{Missing: 480}, Sets: map[int]route.Lookup{10: {MissingOptions: 480}}}, pbx,
			"INVITE sip:999@10.0.0.1", "pbx: answer 404 (missing)"},
		{"other set does not count", route.Policy{Sets: map[int]route.Lookup{11: {Missing: 480}}}, pbx, "INVITE sip:999@10.0.0.1", "pbx: answer 404 (missing)"},
		{"no set counts where several could be meant", route.Policy{Sets: map[int]route.Lookup{30: {Missing: 480}}}, shared,
			"INVITE sip:999@10.0.0.1", "pbx: answer 404 (missing)"},
		{"set counts where the domain is named", route.Policy{Sets: map[int]route.Lookup{30: {Missing: 480}}}, shared,
			"INVITE sip:999@10.0.0.1 from=sip:1@c.test", "pbx: answer 480 (missing)"},
		{"unknown domain 403", route.Policy{UnknownDomain: 403}, world, "INVITE sip:1@x.test", "unknown: answer 403 (unknown_domain)"},
		{"unknown domain 404 at our address (P-14)", route.Policy{UnknownDomain: 404}, world, "INVITE sip:401@10.0.0.1", "unknown: answer 404 (own_address)"},
		{"unknown domain 403, keepalive of a stranger", route.Policy{UnknownDomain: 403}, world, "OPTIONS sip:10.0.0.1", "unknown: answer 403 (own_address)"},
		{"unknown domain 403, REGISTER of two domains", route.Policy{UnknownDomain: 403}, world, "REGISTER sip:b.test to=sip:1@a.test", "phone: answer 403 (domain_mismatch)"},
		{"unknown domain 403 where strangers ring one phone", route.Policy{UnknownDomain: 403, RingUnique: true}, world, "INVITE sip:999@10.0.0.1", "unknown: answer 403 (own_address)"},
		{"unknown domain 403 where strangers ring one phone, but not one of two", route.Policy{UnknownDomain: 403, RingUnique: true}, world,
			"INVITE sip:401@10.0.0.1", "unknown: answer 403 (ambiguous)"},
		{"unknown domain 403, ACK", route.Policy{UnknownDomain: 403}, world, "ACK sip:1@x.test", "unknown: drop (stray_ack)"},
		{"serial", route.Policy{Lookup: route.Lookup{Fork: route.Serial}}, pbx, "INVITE sip:402@10.0.0.1",
			"pbx: to 402@a.test, 3 phones, serial (only_candidate) sip:402-desk@192.168.1.13:5060 sip:402-two@192.168.1.12:5060 sip:402-one@192.168.1.11:5060"},
		{"newest is not the best", route.Policy{Lookup: route.Lookup{Fork: route.Newest}}, pbx, "INVITE sip:402@10.0.0.1",
			"pbx: to 402@a.test (only_candidate) sip:402-two@192.168.1.12:5060"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := city(t)
			w.Policy = tt.policy
			if got := line(decide(t, request(t, tt.req), source(tt.from), w)); got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Labels must not clash: a counter would add up what has nothing in common.
func TestReasons(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range route.Reasons() {
		if name := r.String(); name == "" || seen[name] {
			t.Errorf("reason %d: %q", r, name)
		}
		seen[r.String()] = true
	}
}
