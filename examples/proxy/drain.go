package main

import (
	"context"
	"time"

	"github.com/sipward/sipward/examples/proxy/internal/sd"
)

// drainStep is how often it is looked whether all has ended.
const drainStep = 50 * time.Millisecond

// drain waits for stop, is not ready any more from then on, and waits until nobody
// waits for an answer, for as long as is configured. After a time in which others can
// see that it is not ready, what begins something new is turned away, and what is in
// progress goes on: a proxy holds requests, not calls, so calls do not matter here. It
// ends with ctx in any case.
func (p *Proxy) drain(ctx context.Context, stop <-chan struct{}) error {
	select {
	case <-ctx.Done():
		return nil
	case <-stop:
	}
	p.stopping.Store(true)
	p.notify(sd.Stopping)
	if duck := p.cfg.LameDuck; duck > 0 {
		p.log.Info("stopping", "lame_duck", duck.String())
		if !sleep(ctx, duck) {
			return nil
		}
	}
	p.draining.Store(true)
	p.log.Info("draining", "transactions", p.open(), "limit", p.cfg.Drain.String())
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Drain)
	defer cancel()
	for p.open() > 0 {
		if !sleep(ctx, drainStep) {
			p.log.Warn("not all transactions have ended", "transactions", p.open())
			return nil
		}
	}
	p.log.Info("drained")
	return nil
}

// open returns how many transactions somebody waits for the end of.
func (p *Proxy) open() int64 { return p.relay.Stats().Transactions.Open }
