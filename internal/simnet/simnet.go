// Package simnet is a packet network in memory, for tests under
// [testing/synctest].
//
// A [Network] carries datagrams and streams between hosts. A [Host] has
// addresses and opens sockets that behave like those of package net; hosts
// made by a [NAT] sit behind it, with private addresses that other NATs may
// repeat. Delay, jitter, loss, duplication and reordering belong to a [Link]
// and are set for all packets or, by a [Rule], for some. [Network.Trace] and
// [Network.Record] show what was on the wire.
//
// All waiting is done in channels and timers of package time. A network that
// is made inside a synctest bubble is therefore durably blocked while nothing
// happens, and hours of it pass in no time. Even without any delay, packets
// arrive asynchronously and in the order of their sending: call
// [synctest.Wait] before looking at the effect of one.
//
//	synctest.Test(t, func(t *testing.T) {
//		network := simnet.New(simnet.Config{Link: simnet.Link{Delay: 20 * time.Millisecond}})
//		defer network.Close()
//		proxy := network.NewHost(netip.MustParseAddr("192.0.2.1"))
//		home := network.NewNAT(simnet.NATConfig{
//			Type:    simnet.PortRestricted,
//			Outside: []netip.Addr{netip.MustParseAddr("203.0.113.7")},
//		})
//		phone := home.NewHost(netip.MustParseAddr("192.168.1.10"))
//		…
//	})
//
// Mistakes in the setup, such as two hosts with one address, panic; everything
// that a program under test can do wrong is an error like that of package net.
package simnet

import (
	"container/heap"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// Defaults of [Config].
const (
	defaultReceiveBuffer = 512
	defaultStreamBuffer  = 64 << 10
)

// Config configures a [Network]. Its zero value is a network that loses
// nothing and needs no time.
type Config struct {
	// Link is what happens to packets that no [Rule] matches.
	Link Link
	// Seed seeds jitter, loss and duplication. The same seed and the same
	// order of sending give the same fate to each packet.
	Seed uint64
	// ReceiveBuffer is how many datagrams a socket holds until they are read;
	// more are dropped. 0 means 512.
	ReceiveBuffer int
	// StreamBuffer is how many bytes one direction of a stream holds until
	// they are read; then Write blocks. 0 means 64 KiB.
	StreamBuffer int
}

// Network is a set of hosts and NATs and the packets between them. Its methods
// and those of all that belongs to it are safe for concurrent use.
type Network struct {
	cfg Config

	// mu guards what follows, and all that is said to be guarded by it in
	// hosts, NATs and sockets. Nothing blocks while holding it.
	mu      sync.Mutex
	closed  bool
	random  *rand.Rand
	queue   queue
	order   uint64                 // of the last packet put into queue
	last    map[wirePair]time.Time // latest arrival in queue, for order
	rules   []*Rule                // oldest first
	hosts   map[netip.Addr]*Host   // outside of all NATs
	nats    map[netip.Addr]*NAT    // by outside address
	all     []*Host                // inside ones too
	tracers []func(Packet)         // called by run only
	events  []Packet               // not yet traced

	wake chan struct{} // queue or events have news
	stop chan struct{} // closed by Close
	done chan struct{} // closed at the end of run
}

// New returns a running network. Under synctest it must be called inside the
// bubble. The caller must Close it.
func New(cfg Config) *Network {
	if cfg.ReceiveBuffer == 0 {
		cfg.ReceiveBuffer = defaultReceiveBuffer
	}
	if cfg.StreamBuffer == 0 {
		cfg.StreamBuffer = defaultStreamBuffer
	}
	n := &Network{
		cfg:    cfg,
		random: rand.New(rand.NewPCG(cfg.Seed, 0)),
		last:   make(map[wirePair]time.Time),
		hosts:  make(map[netip.Addr]*Host),
		nats:   make(map[netip.Addr]*NAT),
		wake:   make(chan struct{}, 1),
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
	}
	go n.run()
	return n
}

// Close closes all sockets and forgets the packets under way. It returns when
// the network's goroutine has ended and the last packet has been traced. It
// must not be called by a trace function. Closing twice is fine.
func (n *Network) Close() {
	n.mu.Lock()
	first := !n.closed
	n.closed = true
	if first {
		for _, h := range n.all {
			h.closeSockets()
		}
		n.queue = nil
		close(n.stop)
	}
	n.mu.Unlock()
	<-n.done
}

// run delivers packets when they are due and calls the trace functions, until
// Close. It is the network's only goroutine.
func (n *Network) run() {
	defer close(n.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		next := n.step()
		var due <-chan time.Time
		if !next.IsZero() {
			timer.Reset(time.Until(next))
			due = timer.C
		}
		select {
		case <-n.wake:
		case <-due:
		case <-n.stop:
			n.step()
			return
		}
	}
}

// step delivers what is due, traces what happened since the last step, and
// returns when the next packet is due: the zero time if there is none.
func (n *Network) step() (next time.Time) {
	n.mu.Lock()
	for now := time.Now(); len(n.queue) > 0 && !n.queue[0].at.After(now); {
		w := heap.Pop(&n.queue).(*wire)
		if w.resend {
			n.send(w)
		} else {
			n.arrive(w)
		}
	}
	if len(n.queue) > 0 {
		next = n.queue[0].at
	} else {
		clear(n.last)
	}
	events, tracers := n.events, n.tracers
	n.events = nil
	n.mu.Unlock()

	for _, p := range events {
		for _, trace := range tracers {
			trace(p)
		}
	}
	return next
}

// notify makes run take a step. It never blocks.
func (n *Network) notify() { signal(n.wake) }

// signal leaves a token in c, which has room for one, if there is none yet.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
