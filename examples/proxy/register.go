package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/guard"
	"github.com/sipward/sipward/examples/proxy/internal/seclog"
	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/registrar"
)

// registration is one REGISTER on its way to the PBX and back.
//
// By default the PBX gets a Contact of ours in place of the phone's,
//
//	<sip:401@PROXY;rid=TOKEN>
//
// so that its requests name the phone beyond doubt: phones choose the user of
// their Contact as they like, and two may choose the same. In the answer each
// phone's own Contact is put back. A set may have the same said in a Path (RFC
// 3327), beside it or in place of it:
//
//	<sip:401@PROXY;lr;rid=TOKEN>
type registration struct {
	proxy        *Proxy
	asks         *registrar.Registration
	set          int
	flow         transport.Flow
	source       guard.Source
	credentials  string              // of the REGISTER
	agent        string              // of the REGISTER
	expires      string              // the header field of the REGISTER
	own          bool                // the PBX knows the phones by Contacts of ours
	path         bool                // the PBX knows the phones by a Path of ours
	known        []location.Binding  // what the AOR had before
	unnamed      []*location.Binding // those with a token that this REGISTER says nothing of
	masked       []mask              // the Contacts of this REGISTER
	supportsPath bool                // as the REGISTER says
	keys         []location.AOR      // in proxy.pending
}

// mask is a Contact of the phone and what the PBX knows it by.
type mask struct{ contact, token string }

// register forwards a REGISTER, and stores what the PBX grants.
func (p *Proxy) register(c *relay.Context, st *state, d *route.Decision, plan relay.Plan) {
	r, err := p.newRegistration(c, d, st.phones.of(d.Set))
	if err != nil {
		if errors.Is(err, registrar.ErrMalformed) {
			c.Refuse(400, "Bad Request", "Warning: 399 sipward \"malformed REGISTER\"")
			return
		}
		p.log.Error("REGISTER cannot be handled", "aor", d.AOR, "call_id", c.Message.CallID, "err", err)
		c.Refuse(500, "Server Internal Error")
		return
	}
	p.pending.add(r.keys)
	for i := range plan.Targets {
		plan.Targets[i][0].Edit = r.edit
	}
	plan.Answer, plan.Ended = r.answer, r.ended
	c.Forward(plan)
}

func (p *Proxy) newRegistration(c *relay.Context, d *route.Decision, policy setPolicy) (*registration, error) {
	asks, err := p.asks(c)
	if err != nil {
		return nil, err
	}
	r := &registration{
		proxy: p, asks: asks, set: d.Set, own: policy.own, path: policy.path, flow: c.Flow, source: guard.Source{Addr: c.Message.Source, Transport: c.Flow.Network()},
		agent: c.Message.Get(sipmsg.UserAgent), expires: c.Message.Get(sipmsg.Expires),
		supportsPath: c.Message.HasToken(sipmsg.Supported, "path"),
	}
	if r.credentials = c.Message.Get(sipmsg.Authorization); r.credentials == "" {
		r.credentials = c.Message.Get(sipmsg.ProxyAuthorization)
	}
	r.keys = keysOf(r.asks.AOR(), r.asks.Asked)
	for i := range r.asks.Asked {
		b := &r.asks.Asked[i]
		if !pathOfSender(b) {
			b.Path = ""
		}
		if b.Path == "" && p.direct(c.Message, b) {
			b.Flow.Remote = noAddr
		}
	}
	if !r.own && !r.path {
		return r, nil
	}
	if r.known, err = p.store.Lookup(context.Background(), r.asks.AOR()); err != nil {
		return nil, err
	}
	for i := range r.known {
		if k := &r.known[i]; k.Token != "" && !r.names(k) {
			r.unnamed = append(r.unnamed, k)
		}
	}
	for i := range r.asks.Asked {
		b := &r.asks.Asked[i]
		b.Token = r.tokenOf(b)
		r.masked = append(r.masked, mask{b.Contact, b.Token})
	}
	for i := range r.asks.Removed {
		b := r.asks.Removed[i]
		b.Flow = location.Flow{} // what is removed is named by itself
		r.masked = append(r.masked, mask{b.Contact, r.tokenOf(&b)})
	}
	return r, nil
}

// asks returns what a REGISTER asks for. The error may wrap
// [registrar.ErrMalformed].
func (p *Proxy) asks(c *relay.Context) (*registrar.Registration, error) {
	req, err := c.Message.SIPRequest(sipmsg.To, sipmsg.CallID, sipmsg.CSeq, sipmsg.Contact, sipmsg.Expires,
		sipmsg.UserAgent, sipmsg.Allow, sipmsg.Path) // what the registrar reads
	if err != nil {
		return nil, err
	}
	return p.registrar.Begin(req, location.Flow{Transport: c.Flow.Network(), Remote: c.Message.Source, Local: c.Flow.Local()})
}

// tokenOf returns what the PBX knows b by, or is to know it by: the token that
// the same phone has, as [location.Binding.Same] tells. Of a Contact that only
// came from the same socket, b inherits if it takes that one's place, so not if
// this REGISTER names it too, nor what another one has inherited.
func (r *registration) tokenOf(b *location.Binding) string {
	for i := range r.known {
		if k := &r.known[i]; k.Token != "" && sameItself(b, k) {
			return k.Token
		}
	}
	for _, k := range r.unnamed {
		if b.Same(*k) && !slices.ContainsFunc(r.masked, func(m mask) bool { return m.token == k.Token }) {
			return k.Token
		}
	}
	return r.proxy.seal.token(r.asks.AOR(), *b)
}

// names reports whether the REGISTER itself has something to say of k.
func (r *registration) names(k *location.Binding) bool {
	for _, list := range [...][]location.Binding{r.asks.Asked, r.asks.Removed} {
		for i := range list {
			if sameItself(&list[i], k) {
				return true
			}
		}
	}
	return false
}

// sameItself is [location.Binding.Same] by instance or Contact only.
func sameItself(b, k *location.Binding) bool {
	o := *b
	o.Flow = location.Flow{}
	return o.Same(*k)
}

// edit has the PBX know the phones by what it cannot mistake.
func (r *registration) edit(f transport.Flow, patch *sipmsg.Patch) {
	if len(r.masked) == 0 {
		return
	}
	user, _, _ := strings.Cut(r.asks.AOR().String(), "@") // escaped, so there is one @ only
	us := "sip:" + user + "@" + r.proxy.names.of(f)
	if f.Network() != "udp" {
		us += ";transport=" + f.Network()
	}
	if r.path {
		// If there are several Contacts, what is called tells them apart.
		patch.Prepend(sipmsg.Path, "Path: <"+us+";lr;"+route.TokenParam+"="+r.masked[0].token+">")
		if !r.supportsPath {
			patch.Prepend(sipmsg.Supported, "Supported: path") // else Asterisk refuses the Path, with 420
		}
	}
	if r.own {
		r.mask(us, patch)
	}
}

// mask puts our Contacts in place of the phone's.
func (r *registration) mask(us string, patch *sipmsg.Patch) {
	next := 0
	patch.ReplaceElements(sipmsg.Contact, func(element string) string {
		a, err := sipmsg.ParseNameAddr(element)
		if err != nil {
			return element
		}
		for i := range r.masked { // from next on: they are nearly in order
			m := r.masked[(next+i)%len(r.masked)]
			if m.contact == a.URI {
				next += i + 1
				a.Display = ""
				return a.With(us + ";" + route.TokenParam + "=" + m.token)
			}
		}
		return element
	})
}

// unmask puts the phone's Contacts back, those of the AOR's other phones too.
func (r *registration) unmask(patch *sipmsg.Patch) {
	patch.ReplaceElements(sipmsg.Contact, func(element string) string {
		a, err := sipmsg.ParseNameAddr(element)
		if err != nil {
			return element
		}
		u, err := location.ParseURI(a.URI)
		if err != nil {
			return element
		}
		token, ok := u.Param(route.TokenParam)
		if !ok {
			return element
		}
		for _, m := range r.masked {
			if m.token == token {
				return a.With(m.contact)
			}
		}
		for i := range r.known {
			if r.known[i].Token == token {
				return a.With(r.known[i].Contact)
			}
		}
		return element
	})
}

// answer implements the Answer of a [relay.Plan]: on a 2xx the bindings are
// stored before the phone is told.
func (r *registration) answer(t *relay.Target, m *sipmsg.Message, patch *sipmsg.Patch) (int, string) {
	if m.Status < 200 {
		return 0, ""
	}
	if m.Status < 300 && r.late() {
		return 403, reasonPhrase(403)
	}
	r.judge(m)
	res := sip.NewResponse(m.Status, m.Reason)
	if m.Status < 300 {
		if r.own {
			r.unmask(patch)
		}
		if d, ok := t.Context.(*dispatcher.Destination); ok {
			for i := range r.asks.Asked {
				r.asks.Asked[i].Registrar = d.URI
			}
		}
		for _, v := range patch.Values(sipmsg.Contact) {
			res.AppendHeader(sip.NewHeader("Contact", v))
		}
		if m.Has(sipmsg.Expires) {
			res.AppendHeader(sip.NewHeader("Expires", m.Get(sipmsg.Expires)))
		}
	}
	ctx := context.Background()
	var before []location.Binding
	if m.Status < 300 {
		r.proxy.registeredOn(r.flow, r.asks.AOR())
		before = r.bound()
	}
	if err := r.asks.Commit(ctx, res); err != nil {
		r.proxy.log.LogAttrs(ctx, slog.LevelError, "registration not stored", slog.Any("aor", r.asks.AOR()), slog.Any("err", err))
		return 500, "Server Internal Error"
	}
	if m.Status < 300 {
		r.tell(before)
	}
	return 0, ""
}

// bound returns the phones of the AOR, if the log hears of those that come or go.
func (r *registration) bound() []location.Binding {
	if p := r.proxy; !p.cfg.Log.Registrations || !p.log.Enabled(context.Background(), slog.LevelInfo) {
		return nil
	}
	all, _ := r.proxy.store.Lookup(context.Background(), r.asks.AOR()) // if it fails, so does Commit
	return all
}

// tell logs who has come or gone since before. Who stays registers again and again,
// which is worth no line.
func (r *registration) tell(before []location.Binding) {
	after := r.bound()
	line := func(text string, b *location.Binding, more ...any) {
		r.proxy.log.Info(text, append([]any{"aor", r.asks.AOR(), "contact", b.Contact, "src", r.source.Addr, "transport", r.source.Transport}, more...)...)
	}
	for i := range after {
		if b := &after[i]; !slices.ContainsFunc(before, b.Same) {
			line("phone registered", b, "expires", time.Until(b.Expires).Round(time.Second).String(), "user_agent", b.UserAgent, "pbx", b.Registrar)
		}
	}
	for i := range before {
		if b := &before[i]; !slices.ContainsFunc(after, b.Same) {
			line("phone unregistered", b)
		}
	}
}

// late reports whether others have had the last room since the PBX was asked, which
// may take its time, and counts that.
func (r *registration) late() bool {
	p := r.proxy
	over, full := errors.AsType[*guard.CeilingError](p.full(p.state.Load(), r.set))
	if !full || len(r.asks.Asked) == 0 || !p.unbound(r.asks.AOR()) {
		return false
	}
	p.metrics.Refused(over.Set, over.Resource)
	return true
}

// judge tells the guard what the PBX makes of who registers (P-43, P-83).
func (r *registration) judge(m *sipmsg.Message) {
	p, now := r.proxy, time.Now()
	result := guard.Registration{Status: m.Status, Credentials: r.credentials}
	switch {
	case m.Status == 401 || m.Status == 407:
		result.Challenges = append(m.Values(sipmsg.WWWAuthenticate), m.Values(sipmsg.ProxyAuthenticate)...)
	case m.Status < 300 && len(r.asks.Asked) > 0:
		result.Until = now.Add(p.cfg.Register.DefaultExpires) // about; what counts is in the store
	}
	if failure := p.guard.Registered(r.source, result, now); failure.Report {
		p.seclog.Registration(seclog.Registration{
			Time: now, User: r.asks.AOR().User(), Domain: r.asks.AOR().Domain(), Source: r.source.Addr,
			UserAgent: r.agent, Status: m.Status, Reason: m.Reason, Expires: r.expires, Attempts: failure.Attempts,
		})
		p.log.Info(failure.RegistrationLine(r.asks.AOR().String(), r.source.Addr, m.Status, m.Reason))
	}
}

// ended implements the Ended of a [relay.Plan].
func (r *registration) ended(relay.Result) { r.proxy.pending.done(r.keys) }
