package main

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/location/mirror"
)

// tell logs what a decision has come to, and keeps it, if an operator may want to
// know why a request did not go where it should. That is bounded for each kind, so
// that a flood of packets makes no flood of lines. With a debug log all others are
// kept as well.
func (p *Proxy) tell(c *relay.Context, st *state, req *route.Request, src route.Source, d *route.Decision, o *outcome) {
	kind := kindOf(d, o)
	keep := kind != "" && p.recent.due(kind)
	if keep {
		p.warn(c, d, o)
	}
	if keep || p.debug {
		p.record(c, st, req, src, d, o, keep || kind == "")
	}
}

// warn logs a refusal that is not the sender's fault.
func (p *Proxy) warn(c *relay.Context, d *route.Decision, o *outcome) {
	request := []any{"method", c.Message.Method, "uri", c.RequestURI, "src", c.Message.Source, "call_id", c.Message.CallID}
	for _, l := range o.lost {
		if errors.Is(l.err, errForeign) {
			p.log.Warn("phone not called: its Contact is another tenant's phone", append(request, "aor", d.AOR, "contact", l.binding.Contact)...)
		}
	}
	switch {
	case errors.Is(d.Err, mirror.ErrUnknown): // which the log has been told, once
	case d.Err != nil:
		p.log.Error("bindings cannot be looked up", append(request, "err", d.Err)...)
	case d.Reason == route.Ambiguous:
		p.log.Warn("ambiguous request refused", request...)
	case o.over() != nil:
		p.log.Warn("tenant has all that it may have", append(request, "setid", o.over().Set, "limit", o.over().Resource, "err", o.err)...)
	case o.err != nil && d.Action == route.ToSet:
		p.log.Warn("no PBX for a request", append(request, "setid", d.Set, "err", o.err)...)
	}
}

// record is the part of tell that takes its time.
func (p *Proxy) record(c *relay.Context, st *state, req *route.Request, src route.Source, d *route.Decision, o *outcome, keep bool) {
	full := *d
	if full.Trail == nil {
		again, _ := p.decide(st, req, src, route.Explain)
		full.Trail = again.Trail
	}
	var health []dispatcher.Status
	if keep {
		health = p.sets.Status()
	}
	e := p.describe(c, st, src, &full, o, health)
	if p.debug {
		p.log.Debug("routed", "method", e.Method, "uri", e.URI, "src", src.Addr, "call_id", e.CallID, "decision", e)
	}
	if keep {
		p.recent.add(kindOf(d, o), e)
	}
}

// kindOf says in a word why a request does not go where it should; "" if it does, or
// if that is not known yet.
func kindOf(d *route.Decision, o *outcome) string {
	switch {
	case slices.ContainsFunc(o.lost, func(l lost) bool { return errors.Is(l.err, errForeign) }):
		return "foreign"
	case o.targets != nil || d.Action == route.Wait || d.Action == route.Local:
		return ""
	case o.err == nil:
		return d.Reason.String()
	case o.over() != nil:
		return "limit " + o.over().Resource.String()
	case d.Action == route.ToSet:
		return "unavailable"
	}
	return "unreachable"
}

// recent keeps the last requests of each kind, so that those of which there are
// many do not push out the others. The zero recent is empty.
type recent struct {
	mu    sync.Mutex
	kinds map[string]*lastOnes
}

const (
	// keptRefusals is how many are kept of a kind, and how many of them a second: an
	// attack must not cost more than it does without.
	keptRefusals = 10

	// keptRouted is how many are kept that went where they should.
	keptRouted = 100
)

// lastOnes are the last requests of a kind.
type lastOnes struct {
	kept []*explanation
	next int // the oldest, once it is full
}

func sizeOf(kind string) int {
	if kind == "" {
		return keptRouted
	}
	return keptRefusals
}

// due reports whether a refusal is to be kept.
func (r *recent) due(kind string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.kinds[kind]
	return of == nil || len(of.kept) < sizeOf(kind) || time.Since(of.kept[of.next].At) >= time.Second
}

func (r *recent) add(kind string, e *explanation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kinds == nil {
		r.kinds = map[string]*lastOnes{}
	}
	of := r.kinds[kind]
	if of == nil {
		of = &lastOnes{}
		r.kinds[kind] = of
	}
	if most := sizeOf(kind); len(of.kept) < most {
		of.kept = append(of.kept, e)
	} else {
		of.kept[of.next] = e
		of.next = (of.next + 1) % most
	}
}

// all returns what is kept, the latest first.
func (r *recent) all() []*explanation {
	all := []*explanation{}
	r.mu.Lock()
	for _, of := range r.kinds {
		all = append(all, of.kept...)
	}
	r.mu.Unlock()
	slices.SortFunc(all, func(a, b *explanation) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.CallID, b.CallID)) })
	return all
}
