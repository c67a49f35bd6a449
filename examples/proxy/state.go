package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/natfix"
	"github.com/sipward/sipward/tenant"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

// state is what the proxy knows of its tenants: one consistent snapshot, never
// changed, replaced as a whole.
type state struct {
	tenants     *tenant.Table
	order       dispatcher.Policy       // how the PBXes of a set are ordered
	key         dispatcher.Key          // what a PBX of a set is chosen by
	byCalls     bool                    // it is chosen by the calls that it has
	hops        map[string]hop          // where a member of a set is, by its URI
	rows        map[string]bool         // URIs of members that are as they are written
	mayTCP      map[netip.AddrPort]bool // members over UDP whose URIs do not insist on that
	named       map[hostPort][]*tenant.Tenant
	serverNames map[netip.AddrPort]string // of PBXes that are known by name
	targets     map[mysqltenant.Name][]mysqltenant.Target
	policy      route.Policy
	scanner     config.Refusal // what a scanner is told
	world       route.World
	phones      setPolicies
}

// fleet is what a state is made of. What it has of tenants and destinations
// has been checked.
type fleet struct {
	cfg          *config.Config // what holds for the sets
	tenants      []tenant.Tenant
	destinations []dispatcher.Destination
	members      []dispatcher.Destination                  // the same, as the dispatcher has them
	targets      map[mysqltenant.Name][]mysqltenant.Target // of destinations
}

// newState builds the state of a fleet. What is wrong but does not keep the proxy
// from working is returned as problems.
func (f *fleet) newState() (*state, []problem, error) {
	table, err := tenant.NewTable(f.tenants)
	if err != nil {
		return nil, nil, err
	}
	st := &state{
		tenants:     table,
		order:       f.cfg.Dispatcher.Algorithm.Policy(),
		key:         f.cfg.Dispatcher.Algorithm.Key(),
		byCalls:     f.cfg.Dispatcher.Algorithm == dispatcher.LeastCalls,
		hops:        map[string]hop{},
		mayTCP:      map[netip.AddrPort]bool{},
		rows:        map[string]bool{},
		serverNames: map[netip.AddrPort]string{},
		targets:     f.targets,
		named:       map[hostPort][]*tenant.Tenant{},
		policy:      policyOf(f.cfg),
		scanner:     f.cfg.Security.Scanner,
		phones:      setPoliciesOf(f.cfg),
	}
	var problems []problem
	for i := range f.destinations {
		if err := st.addDestination(&f.destinations[i], f.targetsOf(f.destinations[i].URI)); err != nil {
			problems = append(problems, problem{Kind: problemSet, Text: fmt.Sprintf("set %d: %v", f.destinations[i].SetID, err)})
		}
	}
	for i := range f.members {
		if e, err := endpointOf(f.members[i].URI); err == nil && e.addr.IsValid() {
			h := hop{e.network, netip.AddrPortFrom(e.addr, e.port)}
			st.hops[f.members[i].URI] = h
			if may, known := st.mayTCP[h.remote]; e.network == "udp" && (may || !known) {
				st.mayTCP[h.remote] = !e.explicit
			}
		}
	}
	for source, tenants := range table.SharedSources() {
		if source.Port == 0 { // which stands for all its ports
			problems = append(problems, problem{Kind: problemShared, Text: fmt.Sprintf(
				"%v sends for the %s: what it sends must name its tenant", source.Prefix, setsOf(tenants))})
		}
	}
	return st, problems, nil
}

// addDestination enters a destination, and if it is known by name that it may
// call itself so in its Contacts. Targets are where its name leads.
func (st *state) addDestination(d *dispatcher.Destination, targets []mysqltenant.Target) error {
	e, err := endpointOf(d.URI)
	if err != nil {
		return err
	}
	if e.addr.IsValid() {
		st.rows[d.URI] = true
		return nil
	}
	for _, t := range targets {
		st.serverNames[t.At(e.port)] = e.host // and not its own, for which only DNS vouches (RFC 5922 section 4)
	}
	at := hostPort{e.host, e.port}
	if tn, ok := st.tenants.Set(d.SetID); ok && !slices.Contains(st.named[at], tn) {
		st.named[at] = append(st.named[at], tn)
	}
	return nil
}

// sdpOf returns what is done to the SDP of phones of a PBX that may serve several
// sets: what is done in them if they agree.
func (st *state) sdpOf(tenants []*tenant.Tenant) natfix.SDPPolicy {
	policy := st.phones.others.sdp
	for i, tn := range tenants {
		switch of := st.phones.of(tn.SetID).sdp; {
		case i == 0:
			policy = of
		case of != policy:
			return st.phones.others.sdp
		}
	}
	return policy
}

// setsOf names the sets of tenants, the first ones if there are many.
func setsOf(tenants []*tenant.Tenant) string {
	const limit = 8
	var b strings.Builder
	b.WriteString("set")
	if len(tenants) > 1 {
		b.WriteByte('s')
	}
	for i, tn := range tenants {
		if i == limit {
			fmt.Fprintf(&b, " and %d more", len(tenants)-limit)
			break
		}
		fmt.Fprintf(&b, " %d", tn.SetID)
	}
	return b.String()
}

// order is the policy of the dispatcher: that of the state in force.
func (p *Proxy) order(buf []dispatcher.Destination, set *dispatcher.Set, key string) []dispatcher.Destination {
	return p.state.Load().order.Append(buf, set, key)
}

func policyOf(cfg *config.Config) route.Policy {
	p := route.Policy{
		Lookup:        lookupOf(cfg.Lookup),
		UnknownDomain: refusal(cfg.Security.UnknownDomain),
		RingUnique:    cfg.Security.UnknownSource == config.SourceUnique,
		Sets:          map[int]route.Lookup{},
	}
	for _, t := range cfg.Tenants {
		p.Sets[t.SetID] = lookupOf(t.Lookup)
	}
	return p
}

func lookupOf(l config.Lookup) route.Lookup {
	fork := map[config.Fork]route.Fork{config.ForkSerial: route.Serial, config.ForkNewest: route.Newest}
	return route.Lookup{Missing: answerOf(l.Missing), MissingOptions: answerOf(l.MissingOptions),
		Ambiguous: answerOf(l.Ambiguous), Fork: fork[l.Fork], Hairpin: l.Hairpin}
}

func answerOf(s config.Status) route.Answer {
	if s == config.Silent {
		return route.Silent
	}
	return route.Answer(s)
}

func refusal(r config.Refusal) route.Answer {
	if r == config.Drop {
		return route.Silent
	}
	return route.Answer(r)
}

// hop is a place to send to.
type hop struct {
	network string
	remote  netip.AddrPort
}

// endpoint is where a SIP URI leads: an address or, if there is none, a host.
type endpoint struct {
	network string
	addr    netip.Addr
	host    string // canonical
	port    uint16

	explicit bool // the URI names the transport
}

func endpointOf(uri string) (endpoint, error) {
	u, err := location.ParseURI(uri)
	if err != nil {
		return endpoint{}, err
	}
	e := endpoint{network: networkOf(u), port: portOf(u)}
	_, e.explicit = u.Param("transport")
	if e.network != "udp" && e.network != "tcp" && e.network != "tls" {
		return endpoint{}, fmt.Errorf("%s: no way to reach it: %w", uri, errors.ErrUnsupported)
	}
	if e.host, err = location.CanonicalDomain(u.Host); err != nil {
		return endpoint{}, fmt.Errorf("%s: %w", uri, err)
	}
	if addr, err := netip.ParseAddr(e.host); err == nil {
		if e.addr = addr.Unmap(); e.addr.IsUnspecified() {
			return endpoint{}, fmt.Errorf("%s: no address of a host", uri)
		}
	}
	return e, nil
}
