package simnet

import (
	"net/netip"
	"slices"
	"sync"
)

// Match selects packets. It is called with the network locked: it must decide
// by the packet alone and must not call the network, its hosts or sockets.
type Match func(Packet) bool

// Path matches packets by their addresses on the wire. The zero Addr stands
// for any.
func Path(src, dst netip.Addr) Match {
	return func(p Packet) bool {
		return (!src.IsValid() || p.Src.Addr() == src) && (!dst.IsValid() || p.Dst.Addr() == dst)
	}
}

// Trace has f called for all packets from now on, one at a time and in order,
// by the network's goroutine and without locks held. While f runs, nothing is
// delivered.
func (n *Network) Trace(f func(Packet)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tracers = append(slices.Clone(n.tracers), f)
}

// Record returns a log of all events from now on whose packet matches; nil
// matches all. As the network writes it asynchronously, call [synctest.Wait]
// before reading it.
func (n *Network) Record(m Match) *Log {
	l := new(Log)
	n.Trace(func(p Packet) {
		if m == nil || m(p) {
			l.add(p)
		}
	})
	return l
}

// Log is a record of packets, made by [Network.Record]. It is safe for
// concurrent use.
type Log struct {
	mu      sync.Mutex
	packets []Packet
}

func (l *Log) add(p Packet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.packets = append(l.packets, p)
}

// Packets returns a copy of the log, oldest first.
func (l *Log) Packets() []Packet {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.packets)
}

// trace notes an event of w. The network is locked.
func (n *Network) trace(w *wire, e Event, r Reason) {
	if len(n.tracers) == 0 {
		return
	}
	p := w.Packet
	p.Event, p.Reason = e, r
	n.events = append(n.events, p)
	n.notify()
}
