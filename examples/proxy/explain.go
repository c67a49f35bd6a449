package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/guard"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/registrar"
)

// explain tells what would become of a message from src. It goes through the
// functions that [Proxy.Route] goes through, and does nothing but look up the
// name of a next hop. An error says what is wrong with the message.
func (p *Proxy) explain(ctx context.Context, src route.Source, text string) (*explanation, error) {
	m, err := sipmsg.Parse(text)
	if fault, ok := errors.AsType[*sipmsg.Error](err); ok {
		return nil, fmt.Errorf("malformed message: %s (status %d)", fault.Fault, fault.Status)
	}
	switch {
	case !m.IsRequest():
		return nil, errors.New("a response goes back where its request came from")
	case m.Method == "CANCEL":
		return nil, errors.New("a CANCEL goes where its INVITE has gone")
	}
	var e *explanation
	answer, err := p.rehearse(src, m, func(c *relay.Context) {
		c.Flow, _ = p.transport.Find(src.Transport, noAddr, src.Addr)
		e = p.explainRequest(ctx, c, src)
	})
	if err != nil {
		return nil, err
	}
	if e == nil {
		e = newExplanation(m, m.RequestURI, p.state.Load(), src)
		e.Decision = "answered before anything is decided"
	}
	if answer != nil {
		e.Answer = &answerView{Status: answer.Status, Reason: answer.Reason}
	}
	e.Notes = append(e.Notes, p.explainGuard(m, src)...)
	return e, nil
}

// explainRequest does what [Proxy.Route] does, as far as that changes nothing.
func (p *Proxy) explainRequest(ctx context.Context, c *relay.Context, src route.Source) *explanation {
	st := p.state.Load()
	var req route.Request
	said := p.read(c, &req)
	d, f := p.decide(st, &req, src, route.Explain)
	var notes []string
	if f != nil {
		f.settle(&req, &d)
		notes = f.notes()
	}
	o := p.outcome(c, st, p.sets.Peek, &d, src, &said)
	if said.forged {
		notes = append(notes, "the alias in the Request-URI is forged, so that no Route proves the dialog")
	}
	if req.Method == "ACK" && !req.Trusted && c.NextRoute == "" {
		notes = append(notes, "the ACK to a 2xx that has just come through goes to where that came from")
	}
	if d.Action == route.ToURI {
		notes = append(notes, p.explainDialog(ctx, c, st, &d, &o)...)
	}
	e := p.describe(c, st, src, &d, &o, p.sets.Status())
	if d.Action == route.ToSet && req.Method == "REGISTER" && o.over() == nil {
		p.explainContacts(c, st, &d, e)
	}
	if d.Action == route.ToSet && st.key == dispatcher.KeyNone {
		notes = append(notes, "the order of the PBXes changes from request to request")
	}
	e.Notes = append(e.Notes, notes...)
	return e
}

// explainTimeout bounds what an explanation waits for the name of a next hop.
const explainTimeout = time.Second

// explainDialog looks up the next hop in a dialog if it has a name, and refuses
// it where [Proxy.forwardTo] would.
func (p *Proxy) explainDialog(ctx context.Context, c *relay.Context, st *state, d *route.Decision, o *outcome) (notes []string) {
	if o.name.Host != "" {
		ctx, cancel := context.WithTimeout(ctx, explainTimeout)
		defer cancel()
		addrs, _, err := p.dns.LookupHost(ctx, o.name.Host)
		if err != nil || len(addrs) == 0 {
			notes = append(notes, fmt.Sprintf("%s has no address: %v", o.name.Host, err))
			*o = outcome{status: 503}
			return notes
		}
		o.targets[0][0].Remote = netip.AddrPortFrom(addrs[0].Unmap(), portOf(o.name))
	}
	if o.err != nil {
		return nil
	}
	to := farEnd(&o.targets[0][0])
	if !p.mayReach(o.began, d.Class != route.Phone, st.senders(d, c.Message), to) {
		notes = append(notes, fmt.Sprintf("%s is another tenant's phone", at(to.Transport, to.Remote)))
		d.Action, d.Status, d.Reason = route.Reply, 404, route.ForeignTarget
		*o = outcome{status: 404}
	}
	return notes
}

// explainContacts adds what the PBX gets in place of the Contacts of a REGISTER,
// or the answer if there is something wrong with them.
func (p *Proxy) explainContacts(c *relay.Context, st *state, d *route.Decision, e *explanation) {
	r, err := p.newRegistration(c, d, st.phones.of(d.Set))
	if err != nil {
		status := 500
		if errors.Is(err, registrar.ErrMalformed) {
			status = 400
		}
		e.Targets, e.Otherwise, e.Answer = []way{}, nil, newAnswer(status)
		e.Notes = append(e.Notes, err.Error())
		return
	}
	for _, m := range r.masked {
		e.Contacts = append(e.Contacts, contactView{m.contact, m.token})
	}
}

// explainGuard tells what keeps a request from being served at all.
func (p *Proxy) explainGuard(m *sipmsg.Message, src route.Source) (notes []string) {
	if ban, ok := p.guard.Banned(guard.Source{Addr: src.Addr, Transport: src.Transport}, time.Now()); ok {
		notes = append(notes, fmt.Sprintf("%v is banned (%s), so that nothing from there is served", ban.Prefix, ban.Reason))
	}
	st := p.state.Load()
	if p.scans(m) && len(st.tenants.Candidates(src.Addr)) == 0 {
		told := "are dropped"
		if st.scanner != config.Drop {
			told = "get " + st.scanner.String()
		}
		notes = append(notes, "it has the name of a scanner, whose requests "+told)
	}
	return notes
}

// notes tells what is waited for before a decision.
func (f *fresh) notes() (notes []string) {
	for _, aor := range f.stale {
		notes = append(notes, fmt.Sprintf("first the bindings of %v are read from the database, for %v at most", aor, holdTime))
	}
	if f.loading {
		notes = append(notes, fmt.Sprintf("first all bindings are read from the database, for %v at most", holdTime))
	}
	return notes
}
