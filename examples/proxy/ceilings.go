package main

import (
	"context"
	"errors"
	"time"

	"github.com/sipward/sipward/examples/proxy/guard"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/location"
)

// ceilingOf returns limits as the guard takes them.
func ceilingOf(l config.Limits) guard.Ceiling {
	return guard.Ceiling{Registrations: l.Registrations, Calls: l.Calls, Rate: guard.Limit{Rate: float64(l.CallRate)}}
}

// limit holds the sets to what st lets them have.
func (p *Proxy) limit(st *state) {
	own := map[int]guard.Ceiling{}
	for set, policy := range st.phones.sets {
		own[set] = policy.most
	}
	if err := p.ceilings.Set(st.phones.others.most, own); err != nil { // which the configuration has ruled out
		p.log.Error("limits stay as they were", "err", err)
	}
}

// room returns nil if a request may go on that d has a way for, else a
// [guard.CeilingError]: it would begin what its tenant has enough of. Nothing is
// taken yet.
func (p *Proxy) room(c *relay.Context, st *state, d *route.Decision, src route.Source) error {
	switch m := c.Message; {
	case m.Method == "REGISTER":
		if err := p.full(st, d.Set); err != nil && p.unbound(d.AOR) {
			if asks, fault := p.asks(c); fault == nil && len(asks.Asked) > 0 { // no removal or query
				return err
			}
		}
	case beginsCall(m):
		tn := st.tenantOf(c, d, false)
		if tn == nil {
			return nil
		}
		now := time.Now()
		err := p.ceilings.Call(tn.SetID, false, now)
		if err != nil && (d.Class == route.PBX || p.live(guard.Source{Addr: src.Addr, Transport: src.Transport})) {
			err = p.ceilings.Call(tn.SetID, true, now)
		}
		return err
	}
	return nil
}

func beginsCall(m *sipmsg.Message) bool { return m.Method == "INVITE" && m.ToTag == "" }

// full returns why nobody new may register in a set; nil if there is room, or if
// not everybody is known yet who is registered.
func (p *Proxy) full(st *state, set int) error {
	if p.mirror != nil && !p.mirror.Loaded() {
		return nil
	}
	return p.ceilings.Register(set, func() (n int) {
		memory, _ := p.memory()
		if tn, ok := st.tenants.Set(set); ok {
			for _, domain := range tn.Domains {
				n += memory.AORs(domain)
			}
		}
		return n
	})
}

// unbound reports whether a user has no binding, so that one would be his first.
func (p *Proxy) unbound(aor location.AOR) bool {
	bound, err := p.store.Lookup(context.Background(), aor)
	return err == nil && len(bound) == 0
}

// tooMuch is the outcome for who would go beyond a ceiling.
func tooMuch(over *guard.CeilingError) outcome {
	switch over.Resource {
	case guard.Registrations:
		return outcome{err: over, status: 403, fields: []string{`Warning: 399 sipward "too many registrations"`}}
	case guard.Calls:
		return outcome{err: over, status: 503, fields: []string{"Retry-After: 10", `Warning: 399 sipward "too many calls"`}}
	}
	return outcome{err: over, status: 503, fields: []string{"Retry-After: 10", `Warning: 399 sipward "too many calls a second"`}}
}

// over returns the ceiling that o has to do with, nil if it is none.
func (o *outcome) over() *guard.CeilingError {
	over, _ := errors.AsType[*guard.CeilingError](o.err)
	return over
}

// takeCall counts a call that goes on, until its INVITE has failed or it is hung up:
// for its set, if that has a ceiling, and where PBXes are chosen by their calls for
// the one that answers it.
func (p *Proxy) takeCall(c *relay.Context, st *state, d *route.Decision) {
	if !beginsCall(c.Message) {
		return
	}
	tn := st.tenantOf(c, d, false)
	if tn == nil {
		return
	}
	seat := p.ceilings.Begin(tn.SetID, time.Now())
	byCalls := st.byCalls && d.Action == route.ToSet
	if seat == nil && !byCalls {
		return
	}
	taken := p.tally.begin(dialogID{p.seal.domain(d.AOR.Domain()), c.Message.CallID}, seat)
	f, ok := c.Follower.(*call)
	if !ok { // no record is made of it
		f = &call{}
		c.Follower = f
	}
	f.settled = func(r relay.Result) {
		switch {
		case r.Status/100 != 2:
			if r.Status == 401 || r.Status == 407 {
				seat.Challenged(time.Now())
			}
			p.tally.end(taken)
		case byCalls: // the attempt of its INVITE has ended
			p.tally.answered(taken, p.attempt(r.Target))
		}
	}
}

// inDialog notes a request in a dialog that is proved to be ours.
func (p *Proxy) inDialog(c *relay.Context, said *reading) {
	p.calls.inDialog(c.Message)
	id := dialogID{said.began.domain, c.Message.CallID}
	if c.Message.Method == "BYE" {
		p.tally.hungUp(id)
		return
	}
	p.tally.alive(id)
}
