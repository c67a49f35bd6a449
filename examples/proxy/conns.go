package main

import (
	"sync"

	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/location"
)

// conns knows who has registered on which connection. An address and port say
// only where a phone was: behind its NAT another one, of another tenant, can have
// them by now (R42).
type conns struct {
	mu   sync.Mutex
	aors map[uint64]map[location.AOR]struct{} // by connection
}

// registeredOn notes that a phone of aor has registered on f, unless that has
// ended meanwhile, in which case nobody would ever forget it.
func (p *Proxy) registeredOn(f transport.Flow, aor location.AOR) {
	p.conns.add(f, aor)
	if there, ok := p.transport.Find(f.Network(), f.Local(), f.Remote()); !ok || there != f {
		p.conns.remove(f)
	}
}

// add notes that a phone of aor has registered on f.
func (c *conns) add(f transport.Flow, aor location.AOR) {
	if !f.Stream() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aors == nil {
		c.aors = map[uint64]map[location.AOR]struct{}{}
	}
	there := c.aors[f.ID()]
	if there == nil {
		there = map[location.AOR]struct{}{}
		c.aors[f.ID()] = there
	}
	there[aor] = struct{}{}
	for old := range there {
		if len(there) <= maxOnConn {
			break
		}
		if old != aor { // any other, since most have gone by then; who has not is back when it refreshes
			delete(there, old)
		}
	}
}

// maxOnConn is far more than are behind a gateway. Who registers ever new users on a
// connection, and signs them off, must not make it remember all of them.
const maxOnConn = 10_000

// remove forgets a connection that has ended.
func (c *conns) remove(f transport.Flow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.aors, f.ID())
}

// has reports whether a phone of aor is at the far end of f. Over UDP the address
// is all there is to know.
func (c *conns) has(f transport.Flow, aor location.AOR) bool {
	if !f.Stream() {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.aors[f.ID()][aor]
	return ok
}
