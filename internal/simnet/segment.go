package simnet

import (
	"net/netip"
	"syscall"
	"time"
)

// How often and when a lost part of a stream is sent again. It resembles
// Linux, which tries for a quarter of an hour.
const (
	maxTries       = 15
	firstResend    = 200 * time.Millisecond
	firstSynResend = time.Second
	lastResend     = 2 * time.Minute
)

// resendAfter returns how long after its latest loss w is sent again.
func resendAfter(w *wire) time.Duration {
	first := firstResend
	if w.Kind == Syn {
		first = firstSynResend
	}
	return min(first<<(w.tries-1), lastResend)
}

// connID names a stream at one of its ends.
type connID struct {
	local, remote netip.AddrPort
}

// segment is a part of a stream. Its kind and data are in the packet.
type segment struct {
	number uint64 // in order of sending
	from   *Conn  // nil if a host without such a stream refuses one
}

// transmit sends the next segment of c. The network is locked.
func (c *Conn) transmit(k Kind, data []byte) { c.host.net.send(c.next(k, data)) }

// next returns the next segment of c.
func (c *Conn) next(k Kind, data []byte) *wire {
	w := &wire{
		Packet: Packet{Kind: k, From: c.host, Data: data},
		src:    c.id.local,
		dst:    c.id.remote,
		seg:    &segment{number: c.sent, from: c},
	}
	c.sent++
	return w
}

// receiveSegment hands w to its stream or listener. The network is locked.
func (h *Host) receiveSegment(w *wire, dst netip.AddrPort) Reason {
	id := connID{local: dst, remote: w.Src}
	c := h.conns[id]
	switch {
	case c != nil && w.Kind != Syn:
		c.receive(w)
	case w.Kind == Syn:
		return h.receiveSyn(w, id)
	case w.Kind == Data || w.Kind == SynAck:
		h.refuse(id)
	}
	return ""
}

// receiveSyn makes the stream that a dial asks for, or refuses it.
func (h *Host) receiveSyn(w *wire, id connID) Reason {
	l := socketAt(h.listeners, id.local)
	if l == nil || h.conns[id] != nil {
		h.refuse(id)
		return ""
	}
	if len(l.backlog) == cap(l.backlog) {
		return BufferFull
	}
	c := newConn(h, id)
	c.received = w.seg.number + 1
	close(c.established)
	h.net.sendIn(c.next(SynAck, nil), 0)
	l.backlog <- c
	return ""
}

// refuse answers a segment of a stream that h does not have.
func (h *Host) refuse(id connID) {
	h.net.sendIn(&wire{
		Packet: Packet{Kind: Rst, From: h},
		src:    id.local,
		dst:    id.remote,
		seg:    new(segment),
	}, 0)
}

// receive takes a segment, which may be early, and then all that are in order.
func (c *Conn) receive(w *wire) {
	if w.Kind == Rst {
		c.fail(c.resetError())
		return
	}
	c.early[w.seg.number] = w
	for {
		w := c.early[c.received]
		if w == nil {
			return
		}
		delete(c.early, c.received)
		c.received++
		switch w.Kind {
		case SynAck:
			close(c.established)
		case Data:
			c.unread = append(c.unread, chunk{w.Data, w.seg.from})
		case Fin:
			c.ended = true
		}
		signal(c.readable)
	}
}

// resetError is what an Rst means to c.
func (c *Conn) resetError() error {
	if isClosed(c.established) {
		return syscall.ECONNRESET
	}
	return syscall.ECONNREFUSED
}

// giveUp ends a stream whose segments do not get through.
func (c *Conn) giveUp() { c.fail(syscall.ETIMEDOUT) }
