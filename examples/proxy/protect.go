package main

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sipward/sipward/examples/proxy/guard"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/examples/proxy/internal/seclog"
	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/location"
)

// newGuard returns what keeps strangers from doing harm.
func (p *Proxy) newGuard() (*guard.Guard, error) {
	// A transaction is kept for 32 s, so that a busy proxy has many of them.
	gc := guard.Config{Live: p.live, OnBan: p.onBan, Transactions: 1_000_000}
	if !p.cfg.Security.Rate {
		none := guard.Limit{Rate: -1}
		gc.PerAddress, gc.PerNetwork, gc.Strangers = none, none, none
		gc.ConnectionsPerNetwork, gc.Connections = none, none
	}
	return guard.New(gc)
}

func sourceOf(f transport.Flow) guard.Source {
	return guard.Source{Addr: f.Remote(), Transport: f.Network()}
}

// live reports whether a phone is registered over this flow.
func (p *Proxy) live(s guard.Source) bool {
	there, err := p.flows.HasFlow(context.Background(), location.Flow{Transport: s.Transport, Remote: s.Addr}, nil)
	return err == nil && there
}

func (p *Proxy) onBan(e guard.Event) {
	word := "source banned"
	if e.Lifted {
		word = "ban lifted"
	}
	p.log.Info(word, "prefix", e.Prefix, "until", e.Until, "reason", e.Reason)
}

// trust exempts the PBXes of st, ourselves and whom the operator trusts.
func (p *Proxy) trust(st *state) {
	var list []netip.Prefix
	for tn := range st.tenants.Tenants() {
		for _, s := range tn.Sources {
			list = append(list, s.Prefix)
		}
	}
	for _, l := range p.cfg.Listen {
		a := config.Reachable(l.Addr).Addr().Unmap().WithZone("")
		list = append(list, netip.PrefixFrom(a, a.BitLen()))
	}
	p.guard.SetTrusted(append(list, p.cfg.Security.Trusted...), time.Now())
}

// accept is the Accept of the transport.
func (p *Proxy) accept(network string, remote netip.AddrPort) bool {
	return p.guard.AdmitConnection(guard.Source{Addr: remote, Transport: network}, time.Now()) == guard.Served
}

// admit reports whether a message is served at all. It ends the connection of
// whoever is banned or over a limit, and answers a scanner if it is to.
func (p *Proxy) admit(f transport.Flow, m *sipmsg.Message) bool {
	src, now := sourceOf(f), time.Now()
	if p.guard.Admit(src, now) != guard.Served {
		f.Close() // which UDP does not have
		return false
	}
	if !m.IsRequest() || !p.Symmetric(f) || !p.scans(m) {
		return true
	}
	p.knock(src, m, guard.Scanner, now)
	if status := int(p.state.Load().scanner); status != 0 {
		p.relay.Refuse(f, m, status, reasonPhrase(status))
	}
	return false
}

// scans reports whether a request is that of a scanner, by what it calls itself.
func (p *Proxy) scans(m *sipmsg.Message) bool {
	from, _ := sipmsg.ParseNameAddr(m.Get(sipmsg.From)) // what cannot be read has no name
	return p.guard.IsScanner(m.Get(sipmsg.UserAgent), strings.Trim(from.Display, `"`))
}

// malformed notes a message that cannot be read.
func (p *Proxy) malformed(f transport.Flow, err error) {
	if fault, ok := errors.AsType[*sipmsg.Error](err); ok && fault.Status == 513 {
		p.counters.oversize.Add(1)
	}
	p.knock(sourceOf(f), nil, guard.Malformed, time.Now())
}

// knock notes that somebody was turned away, with a request or, if m is nil, with
// what cannot be read. The line in the log stays as it is for programs that read
// it.
func (p *Proxy) knock(src guard.Source, m *sipmsg.Message, reason guard.Reason, now time.Time) {
	failure := p.guard.Failed(src, reason, now)
	if !failure.Report {
		return
	}
	k := seclog.Knock{Time: now, Source: src.Addr, Reason: reason.String(), Attempts: failure.Attempts}
	if m != nil {
		k.Domain, k.UserAgent, k.Method, k.RequestURI = domainOf(m), m.Get(sipmsg.UserAgent), m.Method, m.RequestURI
	}
	p.seclog.Knock(k)
	p.log.Info(failure.KnockLine(k.Domain, src.Addr, reason))
}

// domainOf returns the host that a request is for.
func domainOf(m *sipmsg.Message) string {
	u, err := location.ParseURI(m.RequestURI)
	if err != nil {
		return ""
	}
	return u.Host
}

// turnedAway handles a request that begins something new and that there is no
// room for, or no time. It reports false if there is.
func (p *Proxy) turnedAway(c *relay.Context) bool {
	m := c.Message
	if m.InDialog() || m.Method == "ACK" || c.Retried {
		return false
	}
	switch v := p.guard.AdmitNew(sourceOf(c.Flow), m.CallID, time.Now()); {
	case v == guard.Overloaded, v == guard.Served && p.draining.Load() && lasts(m.Method) && p.served(c):
		c.Refuse(503, "Service Unavailable", "Retry-After: "+strconv.Itoa(guard.RetryAfter()))
	case v == guard.Served:
		return false
	default:
		c.Drop()
	}
	return true
}

// served reports whether a request is of a PBX or for a domain of ours: what is of
// neither is turned away as it always is, and not told more.
func (p *Proxy) served(c *relay.Context) bool {
	_, ok := p.state.Load().tenants.Domain(strings.ToLower(domainOf(c.Message)))
	return ok || !p.Symmetric(c.Flow)
}

// lasts reports whether a request of that method, outside a dialog, asks for more
// than its answer.
func lasts(method string) bool {
	return method == "INVITE" || method == "REGISTER" || method == "SUBSCRIBE"
}

// noteDecision counts what a stranger asked for in vain.
func (p *Proxy) noteDecision(c *relay.Context, d *route.Decision) {
	if d.Class == route.Unknown && d.Reason == route.UnknownDomain {
		p.knock(sourceOf(c.Flow), c.Message, guard.UnknownDomain, time.Now())
	}
}

// observe tells the guard how busy the proxy is, until ctx is done. That something
// ran late once, as on any machine that others use too, is no sign of it: the
// least of the last delays is.
func (p *Proxy) observe(ctx context.Context) error {
	const interval = 250 * time.Millisecond
	var delays [4]time.Duration
	overloaded := false
	for i := 0; ; i++ {
		due := time.Now().Add(interval)
		if !sleep(ctx, interval) {
			return nil
		}
		now, s := time.Now(), p.relay.Stats().Transactions
		delays[i%len(delays)] = now.Sub(due)
		if p.guard.Observe(int(s.Servers+s.Clients), slices.Min(delays[:]), now) != overloaded {
			overloaded = !overloaded
			p.log.Warn("overload", "now", overloaded, "transactions", s.Servers+s.Clients)
		}
	}
}
