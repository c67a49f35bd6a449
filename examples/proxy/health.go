package main

import (
	"context"
	"errors"
	"slices"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/examples/proxy/relay"
)

// newDispatcher returns the dispatcher that cfg asks for.
func (p *Proxy) newDispatcher() *dispatcher.Dispatcher {
	c := p.cfg.Dispatcher
	dc := dispatcher.Config{
		Policy:       dispatcher.PolicyFunc(p.order),
		Fall:         c.Fall,
		Rise:         c.Rise,
		SlowStart:    c.Interval,
		TryIfAllDown: c.AllDown == config.AllDownTry,
		Interval:     c.Interval,
		Timeout:      c.Timeout,
		OnTransition: p.transitions.add,
	}
	if len(c.Alive) > 0 {
		dc.Alive = func(status int) bool {
			return slices.ContainsFunc(c.Alive, func(r config.Reply) bool { return r.Has(status) })
		}
	}
	if c.Probe != config.ProbeNever && c.Interval > 0 {
		dc.Ping = p.metrics.Probe(p.ping)
	}
	return dispatcher.New(dc)
}

// ping asks a PBX if it is alive, from the socket that its requests come from.
func (p *Proxy) ping(ctx context.Context, d dispatcher.Destination) (status int, err error) {
	hop, ok := p.state.Load().hops[d.URI]
	if !ok {
		return 0, errors.New("no address")
	}
	type answer struct {
		status int
		err    error
	}
	answers := make(chan answer, 1)
	abandon := p.relay.OptionsTo(hop.network, p.names.bySocket(d.Socket).addr, hop.remote, d.URI,
		func(status int, err error) { answers <- answer{status, err} })
	select {
	case a := <-answers:
		return a.status, a.err
	case <-ctx.Done():
		abandon()
		return 0, ctx.Err()
	}
}

// begin implements the Begin of a [relay.Plan] for targets that are PBXes.
func (p *Proxy) begin(t *relay.Target) relay.Attempt { return p.attempt(t) }

// attempt begins to count something for the PBX that t is.
func (p *Proxy) attempt(t *relay.Target) *dispatcher.Attempt {
	return p.sets.Begin(*t.Context.(*dispatcher.Destination))
}
