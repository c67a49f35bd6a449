package route_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/tenant"
)

// Attempts to get at phones of other tenants, in worlds made at random. What
// must hold is said without saying how decisions come about; whether they are
// the right ones is up to TestDecide_Isolation.

// registry has few bindings and is quickly made.
type registry struct {
	entries []location.Entry
	pending location.AOR
}

func (r *registry) Lookup(_ context.Context, aor location.AOR) (found []location.Binding, _ error) {
	for i := range r.entries {
		if r.entries[i].AOR == aor {
			found = append(found, r.entries[i].Binding)
		}
	}
	return found, nil
}

func (r *registry) LookupContact(_ context.Context, contact location.AOR) (found []location.Entry, _ error) {
	for _, e := range r.entries {
		if e.AOR.Domain() == contact.Domain() && uri(e.Binding.Contact).User == contact.User() {
			found = append(found, e)
		}
	}
	return found, nil
}

func (r *registry) Pending(aor location.AOR) bool { return aor == r.pending }

// country is what worlds of a number of tenants are made from.
type country struct {
	tenants  int
	aors     map[string][]location.AOR // of the same few users, by domain
	domains  []string
	pbxes    []netip.Addr
	remotes  []netip.AddrPort // of phones
	sources  []netip.AddrPort // of PBXes, phones and strangers
	requests int              // in one world
	replays  int              // of each request that reaches a phone
}

func newCountry(t testing.TB, tenants, requests, replays int) *country {
	c := &country{tenants: tenants, aors: map[string][]location.AOR{}, requests: requests, replays: replays}
	for i := range tenants {
		for _, domain := range []string{fmt.Sprintf("d%d.test", i), fmt.Sprintf("alias%d.test", i)} {
			c.domains = append(c.domains, domain)
			for _, user := range someUsers {
				c.aors[domain] = append(c.aors[domain], aor(t, user+"@"+domain))
			}
		}
		c.pbxes = append(c.pbxes, netip.AddrFrom4([4]byte{10, 1, 0, byte(1 + i)}))
	}
	for _, a := range c.pbxes {
		for _, port := range []uint16{5060, 5080, 41234} {
			c.sources = append(c.sources, netip.AddrPortFrom(a, port))
		}
	}
	for _, s := range someRemotes {
		c.remotes = append(c.remotes, netip.MustParseAddrPort(s))
	}
	c.sources = append(c.sources, c.remotes...)
	for _, s := range someStrangers {
		c.sources = append(c.sources, netip.MustParseAddrPort(s))
	}
	return c
}

// region is one world of a country.
type region struct {
	*country
	rand   *rand.Rand
	served oracle // knows which tenant has what
	store  registry
	world  route.World
	bound  map[string]location.AOR // by Call-ID of the binding
}

// newRegion makes a world; the same number makes the same.
func (c *country) newRegion(t testing.TB, number int) *region {
	r := rand.New(rand.NewPCG(uint64(c.tenants), uint64(number)))
	g := &region{country: c, rand: r, bound: map[string]location.AOR{}}
	for i := range c.tenants {
		tn := tenant.Tenant{SetID: 10 * (1 + i), Domains: c.domains[2*i : 2*i+1+r.IntN(2)]}
		for range 1 + r.IntN(2) {
			tn.Sources = append(tn.Sources, tenant.Source{Prefix: netip.PrefixFrom(pick(r, c.pbxes), 32), Port: pick(r, somePorts)})
		}
		g.served.tenants = append(g.served.tenants, tn)
	}
	for range 2 + r.IntN(2*c.tenants) {
		g.bind()
	}
	g.store.pending = pick(r, c.aors[pick(r, c.domains)])
	g.world = route.World{Tenants: newTable(t, g.served.tenants...), Bindings: &g.store, Own: own,
		Policy: route.Policy{Lookup: route.Lookup{Hairpin: r.IntN(2) == 0, Fork: route.Fork(r.IntN(3))}}}
	return g
}

// bind registers a phone, with a Call-ID that no other has.
func (g *region) bind() {
	r, id := g.rand, strconv.Itoa(len(g.store.entries))
	a := pick(r, g.aors[pick(r, g.domains)])
	g.bound[id] = a
	g.store.entries = append(g.store.entries, location.Entry{AOR: a, Binding: location.Binding{
		Contact: "sip:" + pick(r, someContacts) + "@" + pick(r, someHosts) + ":5060",
		Flow:    location.Flow{Transport: "udp", Remote: pick(r, g.remotes)},
		CallID:  id,
		Token:   strconv.FormatUint(r.Uint64(), 36),
	}})
}

// attack returns a request for the phone of somebody, in some way that PBXes
// or attackers have of naming it, from the PBX of its tenant or from anybody.
func (g *region) attack() (*route.Request, route.Source) {
	r := g.rand
	victim := &g.store.entries[r.IntN(len(g.store.entries))]
	contact := uri(victim.Binding.Contact)
	host := func() string {
		switch r.IntN(6) {
		case 0:
			return victim.AOR.Domain()
		case 1:
			return pick(r, g.domains)
		case 2:
			return contact.Host
		case 3:
			return pick(r, g.sources).Addr().String()
		}
		return proxyAddr
	}
	req := &route.Request{
		Method: pick(r, someMethods),
		Target: location.URI{Scheme: "sip", User: pick(r, []string{victim.AOR.User(), victim.AOR.User(), contact.User, "402", ""}), Host: spell(r, host())},
		To:     location.URI{Scheme: "sip", User: victim.AOR.User(), Host: host()},
		From:   location.URI{Scheme: "sip", User: pick(r, someUsers), Host: host()},
	}
	if r.IntN(3) == 0 {
		req.Target.Port = 5060
	}
	if r.IntN(4) == 0 {
		req.Asserted = location.URI{Scheme: "sip", User: "402", Host: host()}
	}
	if r.IntN(2) == 0 {
		req.Target.Params = route.TokenParam + "=" + g.token(victim)
	}
	if r.IntN(8) == 0 {
		g.intoDialog(req, victim)
	}
	return req, route.Source{Addr: g.from(victim.AOR), Transport: "udp"}
}

// token returns the token of the victim, of another phone, or a forged one.
func (g *region) token(victim *location.Entry) string {
	r, token := g.rand, victim.Binding.Token
	switch r.IntN(6) {
	case 0:
		return pick(r, g.store.entries).Binding.Token
	case 1:
		return token[:len(token)-1]
	case 2:
		return token + "0"
	case 3:
		return strings.ToUpper(token)
	case 4:
		return ""
	}
	return token
}

// intoDialog makes req one of a dialog that may be proved, with an alias for
// the victim and Routes, or not.
func (g *region) intoDialog(req *route.Request, victim *location.Entry) {
	r := g.rand
	req.Method = pick(r, []string{"INVITE", "BYE", "ACK", "NOTIFY", "INFO"})
	req.InDialog, req.Trusted = true, r.IntN(2) == 0
	if r.IntN(2) == 0 {
		req.Alias = victim.Binding.Flow
	}
	if r.IntN(2) == 0 {
		req.Peer = pick(r, g.sources)
	}
	if r.IntN(4) == 0 {
		req.NextRoute = location.URI{Scheme: "sip", Host: pick(r, g.sources).Addr().String()}
	}
}

// from returns where a request for the phones of an AOR is from: half of them
// are from a PBX of its tenant.
func (g *region) from(a location.AOR) netip.AddrPort {
	i := g.served.serving(a.Domain())
	if i < 0 || g.rand.IntN(2) == 0 {
		return pick(g.rand, g.sources)
	}
	s := g.served.tenants[i].Sources[0]
	return netip.AddrPortFrom(s.Prefix.Addr(), cmpPort(s.Port))
}

// crossing says what is wrong with a decision, if it has anything to do with a
// tenant whose PBX did not send the request.
func (g *region) crossing(req *route.Request, src route.Source, d *route.Decision) string {
	sending := g.served.sending(src.Addr)
	domains := g.served.domains(sending)
	foreign := func(a location.AOR) bool { return a.IsValid() && !slices.Contains(domains, a.Domain()) }
	switch {
	case d.Action != route.ToPhones && len(d.Targets) > 0:
		return "has targets"
	case d.Action == route.ToPhones && (req.InDialog || len(d.Targets) == 0):
		return "looks up what it must not"
	case d.Action != route.ToSet && (foreign(d.AOR) || foreign(d.Rival)):
		return "is about a user of another tenant"
	case d.Action == route.ToURI && !req.Trusted:
		return "goes along a dialog that is not proved"
	case req.InDialog && !req.Trusted && d.Action != route.Reply && d.Action != route.Drop && req.Method != "REGISTER":
		return "is in a dialog that is not proved"
	case d.Reason == route.Hairpin && (!g.world.Policy.Hairpin || slices.ContainsFunc(sending, func(i int) bool { return g.served.tenants[i].SetID == d.Set })):
		return "goes back to its sender"
	}
	token, named := req.Target.Param(route.TokenParam)
	for i := range d.Targets {
		b := &d.Targets[i]
		switch {
		case g.bound[b.CallID] != d.AOR:
			return "reaches a phone of another user"
		case named && b.Token != token:
			return "reaches a phone that has another token"
		}
	}
	return ""
}

// explore makes requests in a world, and sends those that reach a phone again,
// byte for byte, from elsewhere. It counts what became of them.
func (g *region) explore(t testing.TB, seen map[string]int) {
	try := func(what string, req *route.Request, src route.Source) bool {
		d := route.Decide(context.Background(), req, src, &g.world)
		if fault := g.crossing(req, src, &d); fault != "" {
			t.Fatalf("%s of %s from %s %s: %s\nrequest %+v\ntenants %v\nbindings %v",
				what, req.Method, src.Addr, fault, line(d), req, g.served.tenants, g.store.entries)
		}
		seen[what+" "+d.Action.String()]++
		if d.Reason == route.Hairpin || d.Reason == route.UnknownToken || d.Reason == route.Token {
			seen[what+" "+d.Reason.String()]++
		}
		return d.Action == route.ToPhones
	}
	for range g.requests {
		req, src := g.attack()
		if !try("first", req, src) {
			continue
		}
		for range g.replays {
			try("replay", req, route.Source{Addr: pick(g.rand, g.sources), Transport: "udp"})
		}
	}
}

// P-12, P-13, P-14, P-16, P-48: no request from a source outside a tenant's
// candidates ever yields a binding of that tenant, with or without a token, an
// alias or a proof that was meant for somebody else.
func TestDecide_NoCrossing(t *testing.T) {
	for _, tt := range []struct{ tenants, worlds, requests, replays int }{
		{3, 300_000, 2, 2},
		{50, 5_000, 40, 4},
	} {
		t.Run(fmt.Sprintf("%d tenants", tt.tenants), func(t *testing.T) {
			t.Parallel()
			c, seen := newCountry(t, tt.tenants, tt.requests, tt.replays), map[string]int{}
			for n := range tt.worlds {
				c.newRegion(t, n).explore(t, seen)
			}
			for _, outcome := range []string{"first to phones", "first token", "first unknown_token", "first hairpin", "first wait", "first to a set",
				"first along its dialog", "replay to phones", "replay answer", "replay drop", "replay unknown_token"} {
				if seen[outcome] == 0 {
					t.Errorf("never: %s", outcome)
				}
			}
			t.Logf("%d worlds: %v", tt.worlds, seen)
		})
	}
}

// BenchmarkNoCrossing is the same for as many worlds as one likes:
// go test -run - -bench NoCrossing -benchtime 1000000x.
func BenchmarkNoCrossing(b *testing.B) {
	for _, tenants := range []int{3, 50} {
		b.Run(fmt.Sprintf("%d tenants", tenants), func(b *testing.B) {
			c, seen, n := newCountry(b, tenants, 4, 2), map[string]int{}, 1<<32
			for b.Loop() {
				c.newRegion(b, n).explore(b, seen)
				n++
			}
		})
	}
}
