package main

import (
	"net/netip"
	"slices"
	"time"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/location"
)

// explanation is a decision with what led to it and what comes of it, as it is
// shown and logged.
type explanation struct {
	At         time.Time     `json:"at"`
	Method     string        `json:"method"`
	URI        string        `json:"request_uri"`
	From       string        `json:"from"`
	To         string        `json:"to"`
	CallID     string        `json:"call_id"`
	Source     string        `json:"source"` // "udp 203.0.113.7:5060"
	Class      string        `json:"class"`
	Candidates []candidate   `json:"candidates"` // whose PBX sends from the source
	Evidence   []evidence    `json:"evidence"`
	Decision   string        `json:"decision"`
	Action     string        `json:"action"`
	Reason     string        `json:"reason"`
	SetID      *int          `json:"setid"` // null if it is of none, or of several
	AOR        string        `json:"aor,omitempty"`
	Rival      string        `json:"rival,omitempty"`
	Contacts   []contactView `json:"contacts,omitempty"` // of a REGISTER
	Targets    []way         `json:"targets"`
	NotTried   []way         `json:"not_tried"`
	Otherwise  *answerView   `json:"otherwise"` // if no target answers; null: none
	Answer     *answerView   `json:"answer"`    // if there is no target; null: none
	Notes      []string      `json:"notes"`
}

// candidate is a tenant that a request may be of.
type candidate struct {
	SetID   int      `json:"setid"`
	Domains []string `json:"domains"`
}

// evidence is a [route.Step].
type evidence struct {
	Evidence string `json:"evidence"`
	Verdict  string `json:"verdict"`
	Used     bool   `json:"used"`
}

// contactView is a Contact of a phone, and the token in the one that its PBX
// gets in place of it.
type contactView struct {
	Contact string `json:"contact"`
	Token   string `json:"token"`
}

// way is a phone or PBX that a request may go to.
type way struct {
	Group      int         `json:"group,omitempty"` // from 1 on; those of a group are tried at once
	To         string      `json:"to,omitempty"`    // "udp 203.0.113.7:5060"
	From       string      `json:"from,omitempty"`  // our end, if there is one yet
	RequestURI string      `json:"request_uri,omitempty"`
	Route      string      `json:"route,omitempty"`
	Why        string      `json:"why"`             // it is tried, or not
	Fault      string      `json:"fault,omitempty"` // why it cannot be sent there
	Binding    *boundView  `json:"binding,omitempty"`
	PBX        *memberView `json:"pbx,omitempty"`
}

// boundView is what counts of a binding.
type boundView struct {
	Contact   string    `json:"contact"`
	Expires   time.Time `json:"expires"`
	Q         *float64  `json:"q"` // null if the phone gave none
	Registrar string    `json:"registrar,omitempty"`
	UserAgent string    `json:"user_agent"`
}

// memberView is a PBX of a set and how it does.
type memberView struct {
	SetID     int       `json:"setid"`
	URI       string    `json:"uri"`
	Socket    string    `json:"socket,omitempty"`
	Weight    int       `json:"weight"`
	Priority  int       `json:"priority"`
	Tier      int       `json:"tier,omitempty"`
	State     string    `json:"state"`
	Since     time.Time `json:"since,omitzero"`
	Cause     string    `json:"cause,omitempty"`
	Calls     int       `json:"calls"`
	LatencyMS float64   `json:"latency_ms"`
	Failures  uint64    `json:"failures"`
}

// answerView is an answer of the proxy's own.
type answerView struct {
	Status int      `json:"status"`
	Reason string   `json:"reason"`
	Fields []string `json:"fields,omitempty"` // of its header
}

func newAnswer(status int, fields ...string) *answerView {
	return &answerView{status, reasonPhrase(status), fields}
}

// at returns where somebody is, as it is shown.
func at(network string, addr netip.AddrPort) string { return network + " " + addr.String() }

// newExplanation returns what is known of a request before anything is decided.
func newExplanation(m *sipmsg.Message, uri string, st *state, src route.Source) *explanation {
	e := &explanation{
		At: time.Now().UTC(), Method: m.Method, URI: uri, CallID: m.CallID,
		From: m.Get(sipmsg.From), To: m.Get(sipmsg.To), Source: at(src.Transport, src.Addr),
		Candidates: []candidate{}, Evidence: []evidence{}, Targets: []way{}, NotTried: []way{}, Notes: []string{},
	}
	for _, tn := range st.tenants.Candidates(src.Addr) {
		e.Candidates = append(e.Candidates, candidate{tn.SetID, tn.Domains})
	}
	return e
}

// describe returns d and o as an explanation. Health is that of the PBXes, nil
// to leave it out.
func (p *Proxy) describe(c *relay.Context, st *state, src route.Source, d *route.Decision, o *outcome, health []dispatcher.Status) *explanation {
	e := newExplanation(c.Message, c.RequestURI, st, src)
	e.Class, e.Action, e.Reason, e.Decision = d.Class.String(), d.Action.String(), d.Reason.String(), d.String()
	if d.Set >= 0 {
		e.SetID = new(d.Set)
	}
	if d.AOR.IsValid() {
		e.AOR = d.AOR.String()
	}
	if d.Rival.IsValid() {
		e.Rival = d.Rival.String()
	}
	for _, s := range d.Trail {
		e.Evidence = append(e.Evidence, evidence(s))
	}
	switch {
	case o.over() != nil: // nobody is asked
	case d.Action == route.ToPhones:
		p.describePhones(e, d, o)
	case d.Action == route.ToSet:
		p.describeSet(e, st, d, o, c.Message, src, health)
	case o.targets != nil:
		e.Targets = append(e.Targets, p.wayInDialog(o))
	}
	switch {
	case c.Message.Method == "ACK":
	case o.targets != nil:
		e.Otherwise = unanswered(d, c.Message.Method)
	case o.status != 0:
		e.Answer = newAnswer(o.status, o.fields...)
	}
	if o.err != nil {
		e.Notes = append(e.Notes, o.err.Error())
	}
	if d.Action == route.Wait {
		e.Notes = append(e.Notes, "answered so if the REGISTER is not through in "+holdTime.String())
	}
	return e
}

// unanswered is what the relay answers if no target does; nil is nothing.
func unanswered(d *route.Decision, method string) *answerView {
	switch {
	case d.Action == route.ToSet:
		return newAnswer(503, "Retry-After: 10")
	case method == "INVITE":
		return newAnswer(408)
	}
	return nil // RFC 4320 section 4.2
}

// way returns a target. Uri is its Request-URI if it has none itself.
func (p *Proxy) way(group int, t *relay.Target, uri string) way {
	end := farEnd(t)
	w := way{Group: group, To: at(end.Transport, end.Remote), RequestURI: t.RequestURI, Route: t.Route}
	f := t.Flow
	switch {
	case f != (transport.Flow{}):
	case t.Network == "udp": // which opens nothing
		var err error
		if f, err = p.transport.Dial(t.Network, t.Local, t.Remote); err != nil {
			w.Fault = err.Error()
		}
	default:
		f, _ = p.transport.Find(t.Network, t.Local, t.Remote)
	}
	if local := f.Local(); local.IsValid() {
		w.From = local.String()
	}
	if w.RequestURI == "" {
		w.RequestURI = uri
	}
	return w
}

// wayInDialog returns the target of a request that goes along its dialog.
func (p *Proxy) wayInDialog(o *outcome) way {
	t := &o.targets[0][0]
	if o.name.Host != "" && !t.Remote.IsValid() {
		return way{Group: 1, To: t.Network + " " + o.name.HostPort(), RequestURI: t.RequestURI, Why: "where the dialog goes, once it is looked up"}
	}
	w := p.way(1, t, "")
	w.Why = "where the dialog goes"
	return w
}

// describePhones adds the phones of d, each of which is a target of o or lost.
func (p *Proxy) describePhones(e *explanation, d *route.Decision, o *outcome) {
	missing := o.lost
	group, next := 0, 0 // of the targets
	for i := range d.Targets {
		b := &d.Targets[i]
		if len(missing) > 0 && missing[0].binding == b {
			e.NotTried = append(e.NotTried, way{RequestURI: b.Contact, Why: missing[0].err.Error(), Binding: viewBound(b)})
			missing = missing[1:]
			continue
		}
		w := p.way(group+1, &o.targets[group][next], "")
		w.Why, w.Binding = whyThere(b), viewBound(b)
		e.Targets = append(e.Targets, w)
		if next++; next == len(o.targets[group]) {
			group, next = group+1, 0
		}
	}
}

// whyThere says what tells where a phone is; see [natfix.Next].
func whyThere(b *location.Binding) string {
	switch {
	case b.Path != "":
		return "its Path"
	case b.Flow.Remote.IsValid():
		return "where it registered from"
	}
	return "its Contact, as no NAT is before it"
}

func viewBound(b *location.Binding) *boundView {
	v := &boundView{Contact: b.Contact, Expires: b.Expires.UTC(), Registrar: b.Registrar, UserAgent: b.UserAgent}
	if b.Q != location.QUnspecified {
		v.Q = new(float64(b.Q) / 1000)
	}
	return v
}

// describeSet adds the PBXes of the set of d, those first that are tried.
func (p *Proxy) describeSet(e *explanation, st *state, d *route.Decision, o *outcome, m *sipmsg.Message, src route.Source, health []dispatcher.Status) {
	for i := range o.targets {
		t := &o.targets[i][0]
		x := t.Context.(*dispatcher.Destination)
		w := p.way(i+1, t, e.URI)
		w.PBX = viewMember(x, health)
		switch key := st.affinity(d, m, src); {
		case i > 0:
			w.Why = "if those before it are silent, cannot be reached or say 503"
		case m.Method != "REGISTER" && x.URI == d.Registrar:
			w.Why = "it has granted the registration of the caller"
		case st.byCalls:
			w.Why = "by the calls that each has"
		case key == "":
			w.Why = "its turn"
		default:
			w.Why = "first for " + key
		}
		e.Targets = append(e.Targets, w)
	}
	for i := range health {
		h := &health[i]
		tried := func(w way) bool { return w.PBX.URI == h.URI && w.PBX.Socket == h.Socket }
		if h.SetID == d.Set && !slices.ContainsFunc(e.Targets, tried) {
			e.NotTried = append(e.NotTried, way{Why: whyNot(h), PBX: viewMember(&h.Destination, health)})
		}
	}
}

// whyNot says why a PBX gets no requests.
func whyNot(h *dispatcher.Status) string {
	switch h.State {
	case dispatcher.Inactive:
		return "switched off by an operator"
	case dispatcher.Probing:
		return "down"
	}
	return "its name has no address"
}

// viewMember returns x with what health says of it.
func viewMember(x *dispatcher.Destination, health []dispatcher.Status) *memberView {
	v := &memberView{SetID: x.SetID, URI: x.URI, Socket: x.Socket, Weight: x.Weight, Priority: x.Priority, Tier: x.Tier, State: x.State.String()}
	for i := range health {
		if h := &health[i]; h.SetID == x.SetID && h.URI == x.URI && h.Socket == x.Socket {
			v.Since, v.Cause, v.Calls, v.Failures = h.Since.UTC(), h.Cause, h.Calls, h.Failures
			v.LatencyMS = float64(h.Latency.Microseconds()) / 1000
		}
	}
	return v
}
