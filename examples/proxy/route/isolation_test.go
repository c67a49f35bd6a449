package route_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/tenant"
)

var worlds = flag.Int("worlds", 1500, "random worlds of the isolation test")

// The pools are small so that everything collides with everything.
var (
	someDomains   = []string{"a.test", "b.test", "c.test", "d.test", "e.test", "10.0.0.50"}
	somePBXes     = []string{"10.1.0.1", "10.1.0.2", "10.1.0.10"}
	someUsers     = []string{"401", "402", "40"}
	someHosts     = []string{"192.168.0.1", "192.168.0.10", "ph.invalid", "10.1.0.1"}
	someRemotes   = []string{"198.51.100.1:40001", "198.51.100.1:40002", "10.1.0.1:40001", "10.1.0.2:5060"}
	someTokens    = []string{"", "", "t1", "t2"}
	someStrangers = []string{"192.0.2.66:5060", "10.1.0.100:5060"}
	someContacts  = []string{"401", "402", "x1", "x2"}
	somePorts     = []uint16{0, 5060, 5080, 40001}
	someMethods   = []string{"INVITE", "INVITE", "OPTIONS", "NOTIFY", "MESSAGE", "SUBSCRIBE", "REGISTER"}
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// randomOracle makes a world and fills its store.
func randomOracle(t *testing.T, r *rand.Rand) (*oracle, *route.World) {
	o := &oracle{hairpin: map[int]bool{}, unique: r.IntN(2) == 0}
	policy := route.Policy{RingUnique: o.unique, Sets: map[int]route.Lookup{}}
	domains := slices.Clone(someDomains)
	r.Shuffle(len(domains), func(i, j int) { domains[i], domains[j] = domains[j], domains[i] })
	for id := range 1 + r.IntN(4) {
		tn := tenant.Tenant{SetID: id}
		n := min(r.IntN(4), len(domains))
		tn.Domains, domains = domains[:n:n], domains[n:]
		for range r.IntN(3) {
			addr := netip.MustParseAddr(pick(r, somePBXes))
			tn.Sources = append(tn.Sources, tenant.Source{Prefix: netip.PrefixFrom(addr, 32), Port: pick(r, somePorts)})
		}
		o.tenants = append(o.tenants, tn)
		o.hairpin[id] = r.IntN(2) == 0
		policy.Sets[id] = route.Lookup{Hairpin: o.hairpin[id]}
	}
	b := newBindings()
	o.pending = b.pending
	for i := range r.IntN(10) {
		contact := "sip:" + pick(r, append([]string{"x1"}, someUsers...)) + "@" + pick(r, someHosts)
		if port := pick(r, somePorts); port != 0 {
			contact += fmt.Sprintf(":%d", port)
		}
		b.register(t, phone{aor: pick(r, someUsers) + "@" + pick(r, someDomains), contact: contact, remote: pick(r, someRemotes),
			token: pick(r, someTokens), age: time.Duration(i) * time.Second})
	}
	for range r.IntN(3) {
		b.pending[aor(t, pick(r, someUsers)+"@"+pick(r, someDomains))] = true
	}
	for e, err := range b.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		o.entries = append(o.entries, e)
	}
	return o, &route.World{Tenants: newTable(t, o.tenants...), Bindings: b, Own: own, Policy: policy}
}

func randomQuery(r *rand.Rand) query {
	hosts := slices.Concat(someDomains, someHosts, somePBXes, []string{proxyAddr, proxyAddr, proxyAddr, proxyName, "198.51.100.1", "x.example"})
	sources := slices.Concat(someRemotes, someStrangers)
	for _, pbx := range somePBXes {
		sources = append(sources, pbx+":5060", pbx+":5060", pbx+":5080")
	}
	q := query{
		method: pick(r, someMethods),
		user:   pick(r, append([]string{"", "x1"}, someUsers...)),
		host:   pick(r, hosts), port: pick(r, somePorts),
		to: pick(r, hosts), toUser: pick(r, someUsers),
		from: pick(r, hosts), fromUser: pick(r, someUsers),
		src: netip.MustParseAddrPort(pick(r, sources)),
	}
	if r.IntN(4) == 0 {
		q.pai = pick(r, someDomains)
	}
	if r.IntN(4) == 0 {
		q.hasToken, q.token = true, pick(r, someTokens)
	}
	if r.IntN(4) == 0 {
		q.path, q.pathToken = pick(r, someUsers), pick(r, someTokens)
	}
	return q
}

// spell writes a host in one of its spellings (P-76).
func spell(r *rand.Rand, host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return host
	}
	switch r.IntN(4) {
	case 0:
		return strings.ToUpper(host)
	case 1:
		return host + "."
	}
	return host
}

// request is q as a Request. Port 0 becomes that of the scheme.
func (q *query) request(r *rand.Rand) *route.Request {
	target := location.URI{Scheme: "sip", User: q.user, Host: spell(r, q.host), Port: q.port}
	if q.hasToken {
		target.Params = "ob;" + route.TokenParam + "=" + q.token
	}
	q.port, q.rawPort = cmpPort(q.port), q.port
	req := &route.Request{
		Method: q.method,
		Target: target,
		To:     location.URI{Scheme: "sip", User: q.toUser, Host: spell(r, q.to), Port: pick(r, somePorts)},
		From:   location.URI{Scheme: "sip", User: q.fromUser, Host: spell(r, q.from)},
	}
	if q.path != "" {
		req.Path = location.URI{Scheme: "sip", User: q.path, Host: proxyAddr, Params: "lr;" + route.TokenParam + "=" + q.pathToken}
	}
	if q.pai != "" {
		req.Asserted = location.URI{Scheme: "sip", User: q.fromUser, Host: q.pai}
	}
	return req
}

// P-12, P-13, P-14, P-63: in no world does a request reach a phone of a tenant
// whose PBX did not send it, and all decisions are those of the oracle.
func TestDecide_Isolation(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	seen := map[string]int{}
	for n := range *worlds {
		o, w := randomOracle(t, r)
		for range 40 {
			q := randomQuery(r)
			req := q.request(r)
			src := route.Source{Addr: q.src, Transport: "udp"}
			d := route.Decide(t.Context(), req, src, w)
			if got, want := inBrief(d), o.decide(q); got != want {
				t.Fatalf("world %d: %s\n got %s\nwant %s\ntenants %v\nbindings %v", n, q, got, want, o.tenants, o.entries)
			}
			if d.Action == route.ToPhones && d.Reason != route.UniqueUser && !slices.Contains(o.domains(o.sending(q.src)), d.AOR.Domain()) {
				t.Fatalf("world %d: %s reaches %s", n, q, d.AOR)
			}
			seen[d.Action.String()+" "+d.Reason.String()]++
		}
	}
	// The test is worth something only if it gets everywhere.
	for _, outcome := range []string{
		"to phones token", "to phones domain", "to phones to_domain", "to phones from_domain", "to phones asserted_domain",
		"to phones contact_match", "to phones only_candidate", "to phones unique_user", "to a set domain", "to a set pbx_alias", "to a set hairpin", "answer here keepalive",
		"answer missing", "answer unknown_token", "answer ambiguous", "answer foreign_domain", "answer no_domain", "answer no_user",
		"answer unknown_domain", "wait pending", "drop own_address", "drop unknown_domain", "drop domain_mismatch", "drop ambiguous", "drop unknown_token",
	} {
		if seen[outcome] == 0 {
			t.Errorf("never decided: %s", outcome)
		}
	}
	t.Logf("%d worlds: %v", *worlds, seen)
}
