package simnet

import (
	"fmt"
	"net/netip"
	"time"
)

// Packet is one packet as a trace function or a [Match] sees it.
type Packet struct {
	Event  Event
	Reason Reason    // why it was Dropped; else empty
	Time   time.Time // of the event
	Kind   Kind
	// Src and Dst are the addresses on the wire: behind the sender's NAT,
	// before the receiver's.
	Src, Dst netip.AddrPort
	From     *Host // the host that sent it
	// To is the host that it is for. Before it is Delivered that is a guess,
	// from the addresses and NAT mappings at the time; nil if there is none.
	To   *Host
	Data []byte // of a Datagram or Data; must not be changed
}

// Network returns "udp" for a datagram and "tcp" for a part of a stream.
func (p Packet) Network() string {
	if p.Kind == Datagram {
		return "udp"
	}
	return "tcp"
}

// String returns a line for logs: event, addresses, kind and length.
func (p Packet) String() string {
	s := fmt.Sprintf("%v %v > %v: %v, %d bytes", p.Event, p.Src, p.Dst, p.Kind, len(p.Data))
	if p.Reason != "" {
		s += ": " + string(p.Reason)
	}
	return s
}

// Event is what happened to a packet.
type Event uint8

// Each packet is Sent and later either Delivered or Dropped; a duplicate is
// Delivered or Dropped on its own. A packet that cannot leave its host, or its
// host's NAT, is only Dropped. A dropped part of a stream is Sent again.
const (
	Sent Event = iota
	Delivered
	Dropped
)

// String returns the event in lower case.
func (e Event) String() string {
	return [...]string{Sent: "sent", Delivered: "delivered", Dropped: "dropped"}[e]
}

// Kind is the kind of a packet.
type Kind uint8

// Datagram is all there is in UDP; the others make a stream.
const (
	Datagram Kind = iota
	Syn           // a dial
	SynAck        // its acceptance
	Data          // bytes of the stream
	Fin           // no more bytes will follow
	Rst           // refusal of a dial, or the end of a stream with an error
)

// String returns the kind in lower case.
func (k Kind) String() string {
	return [...]string{Datagram: "datagram", Syn: "syn", SynAck: "syn-ack",
		Data: "data", Fin: "fin", Rst: "rst"}[k]
}

// Reason is why a packet was Dropped.
type Reason string

// The reasons.
const (
	LinkLoss   Reason = "lost on the link"    // [Link.Loss]
	NoRoute    Reason = "no such address"     // nobody has the destination, or a NAT has no outside address or port left
	NoSocket   Reason = "no such socket"      // datagrams only: a dial is refused instead
	Filtered   Reason = "not let in by NAT"   // no mapping, or one for other senders only
	HostDown   Reason = "host down"           // [Host.Down] of the sender or receiver
	Hole       Reason = "black hole"          // [Host.BlackHole] of the sender or receiver
	BufferFull Reason = "receive buffer full" // also: too many dials not yet accepted
)

// wire is a packet under way.
type wire struct {
	Packet                  // as traced; its addresses are those on the wire
	src, dst netip.AddrPort // as the sending host wrote them
	lan      *NAT           // the NAT that the packet stays behind; nil for all others
	seg      *segment       // of a stream; nil for a datagram
	at       time.Time      // when it is due
	order    uint64         // of sending, among those due at the same time
	tries    int            // how often it was dropped
	resend   bool           // due to be sent (again), not to arrive
}

// wirePair names what keeps the order of its packets.
type wirePair struct {
	src, dst netip.AddrPort
	stream   bool
}

func (w *wire) pair() wirePair { return wirePair{w.Src, w.Dst, w.seg != nil} }

// queue is a heap of packets by due time.
type queue []*wire

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q queue) Less(i, j int) bool {
	if q[i].at.Equal(q[j].at) {
		return q[i].order < q[j].order
	}
	return q[i].at.Before(q[j].at)
}

// Push implements [heap.Interface].
func (q *queue) Push(x any) { *q = append(*q, x.(*wire)) }

// Pop implements [heap.Interface].
func (q *queue) Pop() any {
	old := *q
	last := len(old) - 1
	w := old[last]
	old[last] = nil
	*q = old[:last]
	return w
}
