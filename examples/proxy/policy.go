package main

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/natfix"
)

// allow is what the proxy lets through, told in answers of its own.
const allow = "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, REGISTER, NOTIFY, SUBSCRIBE, PRACK, UPDATE, INFO, REFER, MESSAGE, PUBLISH"

var _ relay.Policy = (*Proxy)(nil)

// Symmetric implements [relay.Policy]: whoever is no PBX may be behind NAT.
func (p *Proxy) Symmetric(f transport.Flow) bool {
	return len(p.state.Load().tenants.Candidates(f.Remote())) == 0
}

// Route implements [relay.Policy]: it asks the routing function, and carries
// out what that says.
func (p *Proxy) Route(c *relay.Context) {
	if p.turnedAway(c) {
		return
	}
	st := p.state.Load()
	req := requests.Get().(*route.Request)
	defer requests.Put(req)
	said := p.read(c, req)
	if c.Message.Method == "ACK" && !req.Trusted && c.NextRoute == "" && !said.forged && p.ackPeer(c, &said) {
		return
	}
	src := route.Source{Addr: c.Message.Source, Transport: c.Flow.Network()}
	ask := route.Decide
	if p.debug {
		ask = route.Explain
	}
	d, f := p.decide(st, req, src, ask)
	c.Tag = p.metrics.Group(d.Class, d.Set, c.Message.InDialog())
	if f != nil {
		if p.refreshed(c, f) {
			p.follow(c, st, &d, true)
			return
		}
		f.settle(req, &d)
	}
	o := p.outcome(c, st, p.sets.Select, &d, src, &said)
	if o.err != nil && p.state.Load() != st { // the tenants have changed meanwhile
		p.Route(c)
		return
	}
	p.follow(c, st, &d, false)
	p.counters.decided(c.Message, &d)
	p.noteDecision(c, &d)
	p.tell(c, st, req, src, &d, &o)
	if c.Message.ToTag != "" && d.Reason == route.InDialog {
		p.inDialog(c, &said)
	}
	if o.targets != nil {
		p.takeCall(c, st, &d)
	}
	switch {
	case d.Action == route.Wait:
		p.hold(c, &d, &o)
	case o.targets == nil:
		p.answer(c, &d, &o)
	case d.Action == route.ToPhones:
		p.toPhones(c, st, &d, &o)
	case d.Action == route.ToSet:
		p.toSet(c, st, &d, &o, said.uri)
	default:
		p.toURI(c, &d, &o)
	}
}

// routing is [route.Decide] or [route.Explain].
type routing func(ctx context.Context, req *route.Request, src route.Source, w *route.World) route.Decision

// decide asks a routing function. It also returns what that has seen of the
// bindings if memory alone may not tell, else nil.
func (p *Proxy) decide(st *state, req *route.Request, src route.Source, ask routing) (route.Decision, *fresh) {
	ctx := context.Background()
	if p.certain() {
		return ask(ctx, req, src, &st.world), nil
	}
	f := &fresh{Proxy: p}
	w := st.world
	w.Bindings = f
	d := ask(ctx, req, src, &w)
	if req.Method == "REGISTER" && d.Action == route.ToSet && p.full(st, d.Set) != nil {
		_, _ = f.Lookup(ctx, d.AOR) // who is registered elsewhere is nobody new
	}
	return d, f
}

// requests saves an allocation for each request: one lives as long as [Proxy.Route].
var requests = sync.Pool{New: func() any { return new(route.Request) }}

// reading is what a request says in our own words.
type reading struct {
	uri    string        // its Request-URI without an alias of ours
	alias  location.Flow // the flow that it had there, else zero
	forged bool          // it had one that only looked like ours
	began  proof         // what our Route says of the dialog; zero if none does
}

// read fills in what routing looks at, and returns what is known beside that.
func (p *Proxy) read(c *relay.Context, req *route.Request) reading {
	m := c.Message
	said := reading{uri: c.RequestURI}
	*req = route.From(m)
	if m.InDialog() {
		var err error
		said.alias, said.uri, err = p.alias.Parse(c.RequestURI)
		said.forged = errors.Is(err, natfix.ErrForged)
		said.began = p.proofOf(c)
		req.Alias, req.Peer = said.alias, said.began.pbx
		req.Trusted = said.began.by != nil && !said.forged
	} else {
		req.Path = pathOf(c.OwnRoutes)
	}
	if said.uri != m.RequestURI {
		req.Target, _ = location.ParseURI(said.uri)
	}
	if c.NextRoute != "" {
		if a, err := sipmsg.ParseNameAddr(c.NextRoute); err == nil {
			req.NextRoute, _ = location.ParseURI(a.URI)
		}
	}
	return said
}

// pathOf returns the one of our Routes that we gave a PBX as the Path of a phone.
func pathOf(own []string) (path location.URI) {
	for _, route := range own {
		if u, err := location.ParseURI(route); err == nil && isPath(u) {
			return u
		}
	}
	return location.URI{}
}

// isPath tells our Paths from our Record-Routes.
func isPath(own location.URI) bool { _, ok := own.Param(route.TokenParam); return ok }

// proofOf returns what one of our Routes says of the dialog, zero if none does.
func (p *Proxy) proofOf(c *relay.Context) proof {
	for _, own := range c.OwnRoutes {
		if said, ok := p.seal.proves(own, c.Message.CallID); ok {
			return said
		}
	}
	return proof{}
}

// ackPeer sends an ACK that has no Route of this dialog to where the 2xx came
// from: some phones do not copy the Record-Route, or have the proxy in their
// settings as a Route of all they send (P-24). It reports false if we have
// not seen the 2xx.
func (p *Proxy) ackPeer(c *relay.Context, said *reading) bool {
	f := c.Peer()
	if f == (transport.Flow{}) {
		return false
	}
	if said.alias.Remote.IsValid() {
		var ok bool
		if f, ok = p.find(said.alias); !ok {
			return false
		}
	}
	p.counters.reasons[route.InDialog].Add(1)
	p.inDialog(c, said)
	t, from := relay.Target{Flow: f, RequestURI: said.uri}, route.PBX
	if st := p.state.Load(); p.Symmetric(c.Flow) { // with an answer, if the 2xx had an offer
		t.Edit, from = p.phoneEdit(c, st.sdpOf(st.tenants.Candidates(f.Remote())), false), route.Phone
	}
	c.Tag = p.metrics.Group(from, -1, true)
	c.Forward(relay.Plan{Targets: one(t)})
	return true
}

func one(t relay.Target) [][]relay.Target { return [][]relay.Target{{t}} }

// answer answers a request that goes nowhere.
func (p *Proxy) answer(c *relay.Context, d *route.Decision, o *outcome) {
	switch over := o.over(); {
	case over != nil:
		p.metrics.Refused(over.Set, over.Resource)
	case o.err != nil && d.Action == route.ToSet:
		p.counters.unavailable.Add(1)
	case o.err != nil:
		p.counters.unreachable.Add(1)
	}
	if o.status == 0 {
		c.Drop()
		return
	}
	c.Refuse(o.status, reasonPhrase(o.status), o.fields...)
}

// hold lets the request wait, once, for the REGISTER that it has overtaken.
func (p *Proxy) hold(c *relay.Context, d *route.Decision, o *outcome) {
	if c.Retried || !p.pending.wait(d.AOR, c.Retry) {
		p.counters.reasons[route.Missing].Add(1)
		p.answer(c, d, o)
	}
}

// toSet sends the request to a PBX of a set, the others being there if that
// one does not answer.
func (p *Proxy) toSet(c *relay.Context, st *state, d *route.Decision, o *outcome, uri string) {
	plan := relay.Plan{Targets: o.targets, Failover: true, Begin: p.begin}
	if c.Message.Method == "REGISTER" {
		p.register(c, st, d, plan)
		return
	}
	sdp := natfix.SDPOff
	if p.Symmetric(c.Flow) { // else it is a PBX, which knows its own address
		sdp = st.phones.of(d.Set).sdp
	}
	edit := p.phoneEdit(c, sdp, false)
	for i := range o.targets {
		o.targets[i][0].RequestURI, o.targets[i][0].Edit = uri, edit
	}
	if beginsDialog(c.Message) {
		plan.RecordRoute = true
		for i := range o.targets {
			t := &o.targets[i][0]
			t.RouteParams = p.seal.routeParams(c.Message.CallID, t.Remote, d.AOR.Domain())
		}
	}
	p.watch(c, &plan)
	c.Forward(plan)
}

// destinations returns the PBXes of the set in the order to try them, one a
// group.
func (p *Proxy) destinations(st *state, choose chooser, d *route.Decision, m *sipmsg.Message, src route.Source) ([][]relay.Target, error) {
	buf := selections.Get().(*[]dispatcher.Destination)
	defer selections.Put(buf)
	ds, err := choose(d.Set, st.affinity(d, m, src), (*buf)[:0])
	if err != nil {
		return nil, err
	}
	*buf = ds
	ds = slices.Clone(ds) // the targets refer to them
	if m.Method != "REGISTER" && d.Registrar != "" {
		toFront(ds, d.Registrar)
	}
	all := make([]relay.Target, 0, len(ds))
	for i := range ds {
		var local listener
		if ds[i].Socket != "" {
			local = p.names.bySocket(ds[i].Socket)
		}
		if h, ok := st.hops[ds[i].URI]; ok { // else its name has no address
			// A REGISTER stays: a PBX may take the connection for the phone's address.
			tcp := m.Method != "REGISTER" && st.mayTCP[h.remote]
			all = append(all, relay.Target{Network: h.network, Remote: h.remote, TCP: tcp, Local: local.addr, Context: &ds[i]})
		}
	}
	if len(all) == 0 {
		return nil, dispatcher.ErrAllDown
	}
	groups := make([][]relay.Target, len(all))
	for i := range all {
		groups[i] = all[i : i+1 : i+1]
	}
	return groups, nil
}

// selections are buffers for [dispatcher.Dispatcher.Select].
var selections = sync.Pool{New: func() any { return new([]dispatcher.Destination) }}

// toFront moves the destination with this URI before the others.
func toFront(ds []dispatcher.Destination, uri string) {
	for i := range ds {
		if ds[i].URI == uri {
			first := ds[i]
			copy(ds[1:i+1], ds[:i])
			ds[0] = first
			return
		}
	}
}

// affinity returns what the PBX is chosen by.
func (st *state) affinity(d *route.Decision, m *sipmsg.Message, src route.Source) string {
	switch st.key {
	case dispatcher.KeyCallID:
		return m.CallID
	case dispatcher.KeyFrom:
		return spelled(addressOf(m.Get(sipmsg.From)))
	case dispatcher.KeyTo:
		return spelled(addressOf(m.Get(sipmsg.To)))
	case dispatcher.KeyRequestURI:
		return spelled(m.RequestURI)
	case dispatcher.KeyNone:
		return ""
	}
	return d.AffinityKey(src)
}

// spelled returns a URI as its user and host in one spelling, or as it is if it has
// no user.
func spelled(uri string) string {
	if aor, err := location.ParseAOR(uri); err == nil {
		return aor.String()
	}
	return uri
}

func addressOf(value string) string {
	a, _ := sipmsg.ParseNameAddr(value) // a message that got here has one
	return a.URI
}

// toPhones sends a request of a PBX to the phones of a user.
func (p *Proxy) toPhones(c *relay.Context, st *state, d *route.Decision, o *outcome) {
	plan := relay.Plan{Targets: o.targets, Answer: p.phoneAnswers(c.Message.Method, st.phones.of(d.Set).sdp, d.Class != route.PBX)}
	if d.Class != route.PBX {
		p.letIn(c, d, o)
	}
	if beginsDialog(c.Message) {
		plan.RecordRoute, plan.RouteParams = true, p.seal.routeParams(c.Message.CallID, c.Message.Source, d.AOR.Domain())
	}
	p.watch(c, &plan)
	c.Forward(plan)
}

// letIn is for a stranger who rings a phone (see [route.Policy]). Nobody knows
// its address, so it may be behind NAT.
func (p *Proxy) letIn(c *relay.Context, d *route.Decision, o *outcome) {
	p.log.Warn("stranger rings a phone", "aor", d.AOR, "setid", d.Set, "uri", c.RequestURI,
		"src", c.Message.Source, "call_id", c.Message.CallID)
	edit := p.phoneEdit(c, natfix.SDPOff, true)
	for _, group := range o.targets {
		for i := range group {
			group[i].Edit = edit
		}
	}
}

// groupsOf arranges the targets of d by the way to fork: one after the other,
// or at once those that have the same q (RFC 3261 section 16.6).
func groupsOf(all []relay.Target, method string, d *route.Decision) [][]relay.Target {
	if method != "INVITE" && d.Fork == route.Parallel {
		return [][]relay.Target{all}
	}
	var groups [][]relay.Target
	begin := 0
	for i := 1; i <= len(all); i++ {
		if i == len(all) || d.Fork == route.Serial || all[i].Context != all[begin].Context {
			groups = append(groups, all[begin:i:i])
			begin = i
		}
	}
	return groups
}

// beginsDialog reports whether m may begin a dialog, which is to stay on us.
func beginsDialog(m *sipmsg.Message) bool {
	switch m.Method {
	case "INVITE", "SUBSCRIBE", "REFER":
		return m.ToTag == ""
	}
	return false
}

// reasonPhrase returns the phrase for a status of a decision.
func reasonPhrase(status int) string {
	switch status {
	case 200:
		return "OK"
	case 400:
		return "Bad Request"
	case 403:
		return "Forbidden"
	case 404:
		return "Not Found"
	case 405:
		return "Method Not Allowed"
	case 408:
		return "Request Timeout"
	case 416:
		return "Unsupported URI Scheme"
	case 480:
		return "Temporarily Unavailable"
	case 481:
		return "Call/Transaction Does Not Exist"
	case 485:
		return "Ambiguous"
	case 500:
		return "Server Internal Error"
	case 503:
		return "Service Unavailable"
	}
	return "Refused"
}
