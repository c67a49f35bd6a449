package main

import (
	"context"
	"io"
	"time"

	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/examples/proxy/internal/hep"
	"github.com/sipward/sipward/examples/proxy/transport"
)

// newTrace makes the mirror that the configuration asks for, and returns what tells
// it of messages; nil if there is none, so that then they cost nothing.
func (p *Proxy) newTrace() func(f transport.Flow, sent bool, message string) {
	c := p.cfg.HEP
	if c.To == (config.Collector{}) {
		return nil
	}
	p.hep = hep.New(hep.Config{
		To: c.To.String(), Agent: uint32(c.ID), Key: string(c.Key), Logger: p.log,
		Dial: func(ctx context.Context, to string) (io.WriteCloser, error) { return p.dialHEP(ctx, to) },
	})
	return func(f transport.Flow, sent bool, message string) {
		from, to := f.Remote(), p.names.addrOf(f)
		if sent {
			from, to = to, from
		}
		p.hep.Add(hep.Packet{Time: time.Now(), Source: from, Destination: to, Stream: f.Stream(), Message: message})
	}
}
