package main

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/natfix"
)

// pings is how the phones of a set are kept alive.
type pings struct {
	kind  config.Ping
	every time.Duration
}

// ping returns how the phones of a domain are kept alive.
func (st *state) ping(domain string) pings {
	tn, ok := st.tenants.Domain(domain)
	if !ok {
		return pings{kind: config.PingOff}
	}
	return st.phones.of(tn.SetID).pings
}

// pinging reports whether any phone is to be kept alive.
func (st *state) pinging() bool {
	if st.phones.others.pings.kind != config.PingOff {
		return true
	}
	for _, p := range st.phones.sets {
		if p.pings.kind != config.PingOff {
			return true
		}
	}
	return false
}

// keepAlive pings phones until ctx is done.
func (p *Proxy) keepAlive(ctx context.Context) error {
	k, err := natfix.NewKeepalive(natfix.KeepaliveConfig{
		Entries:  p.pinged,
		Interval: p.pingInterval,
		Ping:     p.metrics.Keepalive(p.pingPhone),
		Streams:  true,
		Public:   true, // a phone that has learned its public address shows no sign of its NAT
		Lost:     p.phoneLost,
		Logger:   p.log,
	})
	if err != nil {
		return err
	}
	return k.Run(ctx)
}

// pinged enumerates the bindings of phones that are ours to ping, if there is any
// to be pinged.
func (p *Proxy) pinged(ctx context.Context) iter.Seq2[location.Entry, error] {
	memory, ok := p.memory()
	if !ok || !p.state.Load().pinging() {
		return func(func(location.Entry, error) bool) {}
	}
	return func(yield func(location.Entry, error) bool) {
		for e, err := range memory.All(ctx) {
			if (err != nil || p.ours(e.Binding.Flow)) && !yield(e, err) {
				return
			}
		}
	}
}

// ours reports whether a phone has registered with this proxy: at one of its
// listeners, or on a connection that is here, since a host may get addresses after
// a listener for all of them was opened. Whoever else writes to the database pings
// phones of his own: from us their NATs let nothing in, so their silence says
// nothing. That 0.0.0.0 over UDP is another proxy's cannot be seen.
func (p *Proxy) ours(f location.Flow) bool {
	if !f.Local.IsValid() {
		return false
	}
	if p.transport.Own(f.Transport, f.Local) {
		return true
	}
	_, here := p.transport.Find(f.Transport, f.Local, f.Remote)
	return here
}

func (p *Proxy) pingInterval(e location.Entry) time.Duration {
	how := p.state.Load().ping(e.AOR.Domain())
	if how.kind == config.PingOff {
		return 0
	}
	return how.every
}

// pingPhone pings a phone on its flow. Whether it answers to CRLF nobody can see,
// so over UDP it is not forgotten; that its connection has gone shows by itself.
func (p *Proxy) pingPhone(e location.Entry, result func(alive bool)) {
	f, ok := p.find(e.Binding.Flow)
	if !ok || !p.conns.has(f, e.AOR) {
		result(false)
		return
	}
	if p.state.Load().ping(e.AOR.Domain()).kind == config.PingCRLF {
		if f.Ping() != nil {
			result(false)
		}
		return
	}
	p.relay.Options(f, e.Binding.Contact, func(_ int, err error) { result(err == nil) })
}

// phoneLost forgets a phone that has not answered for a while, though others have,
// unless it has registered again: its PBX gets 404 then, and not silence. P-15.
func (p *Proxy) phoneLost(e location.Entry) {
	ctx := context.Background()
	stored, err := p.store.Lookup(ctx, e.AOR)
	if err != nil {
		return
	}
	for i := range stored {
		b := &stored[i]
		if b.Contact != e.Binding.Contact || b.Instance != e.Binding.Instance || !b.Updated.Equal(e.Binding.Updated) {
			continue
		}
		err := p.store.Apply(ctx, e.AOR, location.Change{CallID: b.CallID, CSeq: b.CSeq, Remove: stored[i : i+1]})
		switch {
		case errors.Is(err, location.ErrStale): // it has registered again by now
		case err != nil:
			p.log.Warn("lost phone not removed", "aor", e.AOR, "err", err)
		default:
			p.counters.lost.Add(1)
			p.log.Info("phone is lost: it answers no ping", "aor", e.AOR)
		}
		return
	}
}
