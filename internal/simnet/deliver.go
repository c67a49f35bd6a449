package simnet

import (
	"container/heap"
	"net"
	"net/netip"
	"time"
)

// send takes a packet from its host to the wire. The network is locked.
func (n *Network) send(w *wire) {
	if n.closed {
		return
	}
	h := w.From
	w.Time = time.Now()
	w.Src, w.Dst, w.To, w.lan = w.src, w.dst, nil, nil
	w.resend = false
	if r := h.unreachable(); r != "" {
		n.drop(w, r)
		return
	}
	switch {
	case h.nat == nil:
	case h.nat.isInside(w.dst.Addr()):
		w.lan = h.nat
	default:
		src, ok := h.nat.outbound(w.Kind != Datagram, w.src, w.dst)
		if !ok {
			n.drop(w, NoRoute)
			return
		}
		w.Src = src
	}
	w.To = n.expected(w)

	link := n.link(w.Packet)
	n.trace(w, Sent, "")
	if n.happens(link.Loss) {
		n.drop(w, LinkLoss)
		return
	}
	if w.seg == nil && n.happens(link.Duplicate) {
		twin := *w
		n.schedule(&twin, link)
	}
	n.schedule(w, link)
}

// schedule queues w for its arrival. The network is locked.
func (n *Network) schedule(w *wire, link Link) {
	w.at = w.Time.Add(link.Delay)
	if link.Jitter > 0 {
		w.at = w.at.Add(time.Duration(n.random.Int64N(int64(link.Jitter) + 1)))
	}
	if !link.Reorder {
		if last := n.last[w.pair()]; w.at.Before(last) {
			w.at = last
		}
		n.last[w.pair()] = w.at
	}
	n.push(w)
}

func (n *Network) push(w *wire) {
	n.order++
	w.order = n.order
	heap.Push(&n.queue, w)
	n.notify()
}

// expected returns the host that w would reach now if no NAT filtered it.
func (n *Network) expected(w *wire) *Host {
	if w.lan != nil {
		return w.lan.hosts[w.Dst.Addr()]
	}
	if nat := n.nats[w.Dst.Addr()]; nat != nil {
		return nat.peek(w.Kind != Datagram, w.Dst)
	}
	return n.hosts[w.Dst.Addr()]
}

// arrive takes a packet from the wire to its host's socket. The network is
// locked.
func (n *Network) arrive(w *wire) {
	w.Time = time.Now()
	host, dst, reason := n.locate(w)
	if reason == "" {
		w.To = host
		reason = host.unreachable()
	}
	if reason == "" {
		if w.seg != nil {
			reason = host.receiveSegment(w, dst)
		} else {
			reason = host.receiveDatagram(w, dst)
		}
	}
	if reason != "" {
		n.drop(w, reason)
		return
	}
	n.trace(w, Delivered, "")
}

// locate finds the host that w reaches, and the address it has there.
func (n *Network) locate(w *wire) (*Host, netip.AddrPort, Reason) {
	dst := w.Dst
	var host *Host
	if w.lan != nil {
		host = w.lan.hosts[dst.Addr()]
	} else if nat := n.nats[dst.Addr()]; nat != nil {
		inside, ok := nat.inbound(w)
		if !ok {
			return nil, dst, Filtered
		}
		dst, host = inside, nat.hosts[inside.Addr()]
	} else {
		host = n.hosts[dst.Addr()]
	}
	if host == nil {
		return nil, dst, NoRoute
	}
	return host, dst, ""
}

// drop ends a packet's way. A part of a stream is sent again after a while.
// The network is locked.
func (n *Network) drop(w *wire, r Reason) {
	n.trace(w, Dropped, r)
	if w.seg == nil || w.Kind == Rst || n.closed {
		return
	}
	if err := w.seg.from.err; err != nil && err != net.ErrClosed {
		return // nobody sends for a dead stream, but for a closed one
	}
	w.tries++
	if w.tries > maxTries {
		w.seg.from.giveUp()
		return
	}
	n.sendIn(w, resendAfter(w))
}

// sendIn sends w after d. Other than send, it may be called while a packet is
// arriving: the trace then has the answer behind its cause. The network is
// locked.
func (n *Network) sendIn(w *wire, d time.Duration) {
	w.resend = true
	w.at = time.Now().Add(d)
	n.push(w)
}
