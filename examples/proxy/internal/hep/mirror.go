// Package hep mirrors SIP messages to a collector such as Homer, in packets of HEP
// version 3 (EEP) over UDP.
//
// A packet has a message as it is on the wire, less what proves in it who somebody
// is: with that, and some patience, whoever reads it has a password. Nothing that
// handles messages waits for the mirror: what does not fit into its queue is lost,
// and counted.
package hep

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"time"
)

const (
	maxQueue = 4096    // messages that wait,
	maxBytes = 8 << 20 // and how much of them

	lifetime = 30 * time.Second // of a look-up of the collector
	patience = 2 * time.Second  // for one
	quiet    = time.Minute      // between two lines in the log
)

// Config configures a [Mirror].
type Config struct {
	To    string // the collector, as "host:port"
	Agent uint32 // by which the collector knows us
	Key   string // goes with each packet, in the clear; at most 255 bytes; empty: none
	// Dial opens a way to the collector; nil: that is [Dial]. It is called again from
	// time to time, as a name may have got another address.
	Dial   func(ctx context.Context, to string) (io.WriteCloser, error)
	Logger *slog.Logger // nil discards
}

// Mirror sends messages to a collector. Its methods may be called concurrently. Get
// one from [New].
type Mirror struct {
	cfg           Config
	queue         chan Packet
	waiting       atomic.Int64 // bytes of the messages in queue
	sent, dropped atomic.Uint64

	// Of Run.
	conn   io.WriteCloser // nil: there is none
	opened time.Time      // when that was last tried
	warned time.Time
	buf    []byte
}

// New returns a Mirror, which sends once it runs.
func New(cfg Config) *Mirror {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Dial == nil {
		cfg.Dial = Dial
	}
	return &Mirror{cfg: cfg, queue: make(chan Packet, maxQueue)}
}

// Dial opens a UDP socket whose datagrams go to an address, "host:port".
func Dial(ctx context.Context, to string) (io.WriteCloser, error) {
	return new(net.Dialer).DialContext(ctx, "udp", to)
}

// Add has p sent. It does not block.
func (m *Mirror) Add(p Packet) {
	size := int64(len(p.Message))
	if m.waiting.Add(size) <= maxBytes {
		select {
		case m.queue <- p:
			return
		default:
		}
	}
	m.waiting.Add(-size)
	m.dropped.Add(1)
}

// Stats are counted since the start.
type Stats struct {
	Waiting int    `json:"waiting"` // in the queue, now
	Sent    uint64 `json:"sent"`    // packets that the kernel took
	Dropped uint64 `json:"dropped"` // no room in the queue, no address of the collector, or the kernel did not
}

// Stats returns the present numbers.
func (m *Mirror) Stats() Stats { return Stats{len(m.queue), m.sent.Load(), m.dropped.Load()} }

// Run sends until ctx is done, and then what is left. It can be called once. The
// error is always nil.
func (m *Mirror) Run(ctx context.Context) error {
	defer func() {
		if m.conn != nil {
			m.conn.Close()
		}
	}()
	for {
		select {
		case p := <-m.queue:
			m.send(ctx, &p)
			continue
		default:
		}
		select {
		case p := <-m.queue:
			m.send(ctx, &p)
		case <-ctx.Done():
			return nil
		}
	}
}

func (m *Mirror) send(ctx context.Context, p *Packet) {
	m.waiting.Add(-int64(len(p.Message)))
	m.open(ctx)
	if m.conn == nil {
		m.dropped.Add(1)
		return
	}
	m.buf = encode(m.buf[:0], m.cfg.Agent, m.cfg.Key, p)
	if _, err := m.conn.Write(m.buf); err != nil { // such as that nobody listens there
		m.dropped.Add(1)
		m.warn(err)
		return
	}
	m.sent.Add(1)
}

// open opens the way to the collector, if that is due. If it cannot be opened, the
// one before it stays.
func (m *Mirror) open(ctx context.Context) {
	now := time.Now()
	if !m.opened.IsZero() && now.Sub(m.opened) < lifetime {
		return
	}
	m.opened = now
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := m.cfg.Dial(ctx, m.cfg.To)
	if err != nil {
		m.warn(err)
		return
	}
	if m.conn != nil {
		m.conn.Close()
	}
	m.conn = conn
}

// warn logs that the collector is not reached. The error may come for every packet.
func (m *Mirror) warn(err error) {
	now := time.Now()
	if m.warned.IsZero() || now.Sub(m.warned) >= quiet {
		m.warned = now
		m.cfg.Logger.Warn("the HEP collector is not reached", "to", m.cfg.To, "err", err)
	}
}
