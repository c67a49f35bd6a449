package transport

import "sync/atomic"

// Stats are counts since [New], but for Connections.
type Stats struct {
	Received   uint64 // messages given to Handler.Message
	Faults     uint64 // messages given to Handler.Fault
	Sent       uint64 // messages that the kernel took
	SendErrors uint64 // messages that it did not, or that were lost with their stream
	Panics     uint64 // of the handler, or in a handshake

	// Datagrams that are no message, and streams closed for the last reason or
	// with ErrWebSocket.
	Keepalives uint64 // empty, or nothing but CR and LF
	STUN       uint64 // Binding requests are answered
	NUL        uint64 // nothing but NUL
	Garbage    uint64 // anything else that is not SIP

	ReadErrors   uint64 // of UDP sockets
	AcceptErrors uint64

	Connections uint64 // streams that are open now, those being dialed included
	Accepted    uint64 // streams
	Refused     uint64 // accepted streams over Limits.Connections
	RefusedIP   uint64 // accepted streams over Limits.PerIP
	Unwanted    uint64 // streams that Config.Accept did not let in
	Handshakes  uint64 // accepted streams closed with ErrHandshake
	Dialed      uint64 // streams, successful or not
	DialErrors  uint64
	Pongs       uint64 // keepalives answered on streams
	Idle        uint64 // streams closed with ErrIdle
	Slow        uint64 // streams closed with ErrSlow
	Overflows   uint64 // streams closed with ErrOverflow
	WriteErrors uint64 // streams closed because the peer took nothing or was gone
}

// counters is what Stats is made of.
type counters struct {
	received, faults, sent, sendErrors, panics               atomic.Uint64
	dropped                                                  [numKinds]atomic.Uint64
	readErrors, acceptErrors                                 atomic.Uint64
	accepted, refused, refusedIP, dialed, dialErrors, pongs  atomic.Uint64
	unwanted, handshakes, idle, slow, overflows, writeErrors atomic.Uint64
}

// Stats returns the counts. Taken while messages flow, they need not add up.
func (l *Layer) Stats() Stats {
	c := &l.count
	return Stats{
		Received:     c.received.Load(),
		Faults:       c.faults.Load(),
		Sent:         c.sent.Load(),
		SendErrors:   c.sendErrors.Load(),
		Panics:       c.panics.Load(),
		Keepalives:   c.dropped[keepalive].Load(),
		STUN:         c.dropped[stun].Load(),
		NUL:          c.dropped[nul].Load(),
		Garbage:      c.dropped[garbage].Load(),
		ReadErrors:   c.readErrors.Load(),
		AcceptErrors: c.acceptErrors.Load(),
		Connections:  uint64(l.table.len()),
		Accepted:     c.accepted.Load(),
		Refused:      c.refused.Load(),
		RefusedIP:    c.refusedIP.Load(),
		Unwanted:     c.unwanted.Load(),
		Handshakes:   c.handshakes.Load(),
		Dialed:       c.dialed.Load(),
		DialErrors:   c.dialErrors.Load(),
		Pongs:        c.pongs.Load(),
		Idle:         c.idle.Load(),
		Slow:         c.slow.Load(),
		Overflows:    c.overflows.Load(),
		WriteErrors:  c.writeErrors.Load(),
	}
}
