package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

var (
	// ErrClosed is returned for a flow that was closed, and for a layer whose
	// Run has ended.
	ErrClosed = errors.New("transport: closed")
	// ErrOverflow closes a stream whose peer takes less than is sent to it.
	ErrOverflow = errors.New("transport: send queue is full")
	// ErrIdle closes a stream that was silent for [Limits].Idle.
	ErrIdle = errors.New("transport: idle stream")
	// ErrSlow closes a stream whose sender takes too long to finish a message,
	// or a handshake.
	ErrSlow = errors.New("transport: slow sender")
	// ErrHandshake closes an accepted stream that fails in the handshake of TLS
	// or WebSocket.
	ErrHandshake = errors.New("transport: handshake")
	// ErrGarbage closes a stream that does not carry SIP.
	ErrGarbage = errors.New("transport: not SIP")
	// ErrWebSocket closes a stream whose peer breaks RFC 6455.
	ErrWebSocket = errors.New("transport: WebSocket")
	// ErrDial ends a stream that could not be opened.
	ErrDial = errors.New("transport: no connection")
	// ErrReplaced closes an accepted stream when another comes with the same
	// addresses: the peer has lost the old one and opened a new one.
	ErrReplaced = errors.New("transport: the peer connected again")
	// ErrSelf is returned by [Layer.Dial] for an address of our own.
	ErrSelf = errors.New("transport: own address")
	// ErrNoListener is returned by [Layer.Dial] if no UDP listener fits.
	ErrNoListener = errors.New("transport: no such listener")
	// ErrNetwork is returned for a network that there is not, or that cannot do
	// what is asked.
	ErrNetwork = errors.New("transport: unknown network")
)

// Handler takes what arrives. Its methods are called without locks held and
// must not block. They may use the flow and the layer freely, also Close. A
// panic is recovered, counted and logged with its stack; the flow goes on.
//
// The calls for one flow follow each other. Calls for different flows may be
// concurrent.
type Handler interface {
	// Message takes a message that [sipmsg.Parse] accepts.
	Message(f Flow, m *sipmsg.Message)
	// Fault takes a message that it refuses, or that cannot be told from what
	// follows it on a stream. If m is Answerable, f may be sent the answer that
	// err, a [*sipmsg.Error], asks for. A stream is closed afterwards.
	Fault(f Flow, m *sipmsg.Message, err error)
	// Closed tells once that a stream is gone, and why: [io.EOF] if the peer
	// closed it. It is the last call for f, at which f cannot be found or sent on
	// any more; what was sent before may still be on its way. It comes for every
	// flow that Dial opened and every connection that was accepted, also for those
	// that carried no message. A new connection with the addresses of f, as after
	// a NAT has given the port to somebody else, is not found before Closed has
	// returned, and its messages come later.
	Closed(f Flow, err error)
}

// Config configures a [Layer]. Only Handler is required.
type Config struct {
	Handler Handler
	Logger  *slog.Logger // nil discards
	Limits  Limits
	// Readers is the number of sockets, each with a reading goroutine, that
	// Listen opens for one UDP address; 1 if 0. The kernel spreads the senders
	// over them (SO_REUSEPORT), so the order within a flow is kept. More than
	// one needs Linux.
	Readers int
	// ReadBuffer is the size of the receive buffer of UDP sockets in bytes;
	// 4 MiB if 0. Linux caps it at net.core.rmem_max without telling.
	ReadBuffer int
	// ServerTLS is for the listeners with TLS, which need it. It is used as it is
	// and must not be changed. [Certificate.Get] is a GetCertificate for it.
	ServerTLS *tls.Config
	// ClientTLS is for dialed connections with TLS; nil trusts the roots of the
	// system. It is copied.
	ClientTLS *tls.Config
	// ServerName returns the name that a server has to prove when it is dialed
	// with TLS: that of its URI (RFC 5922 section 4). If it returns "", or is nil,
	// that is the name in ClientTLS, or else the address. It must not block.
	ServerName func(remote netip.AddrPort) string
	// Origin reports whether scripts of a web page, such as "https://a.example",
	// may use our WebSockets; nil lets all. Clients that are no browsers need not
	// say where they come from, and are let in. It must not block.
	Origin func(origin string) bool
	// Accept reports whether a connection to a listener of network is let in; nil
	// lets all. It is asked before anything is done for that, handshakes included,
	// one connection of a listener after the other, and must not block.
	Accept func(network string, remote netip.AddrPort) bool
	// DialContext opens the connections of "tcp", its network, and "tls"; nil is
	// [DialContext], which uses [net.Dialer]. The address of local is the source address to use, its port is
	// 0; it is the zero AddrPort if the kernel shall choose.
	DialContext func(ctx context.Context, network string, local, remote netip.AddrPort) (net.Conn, error)
	// Trace is told of each message as it arrives, before it is read, so of what
	// Handler.Fault gets too; and of each just before it is written, on a stream once
	// that is open. Keepalives are no messages. nil: nobody, and nothing is spent on
	// it. It is called without locks held, for one flow by several goroutines, and must
	// neither block nor panic.
	Trace func(f Flow, sent bool, message string)
}

// Limits bounds what peers can take of us. A zero field takes the default.
type Limits struct {
	// Message is the largest message on a stream in bytes; 64 KiB if 0.
	// Datagrams have the bounds of UDP, 65,507 bytes.
	Message int
	// Queue is how many bytes may wait to be written on one stream; 256 KiB if
	// 0. Beyond that the stream is closed with [ErrOverflow], so it should hold
	// some of the largest messages.
	Queue int
	// Connections is how many accepted streams may be open; 10,000 if 0. What
	// comes on top is closed at once. Dialed streams do not count.
	Connections int
	// PerIP is how many of them may come from one IPv4 address, or from one
	// IPv6 /64; 1,000 if 0, as many phones may share a NAT.
	PerIP int
	// Handshake is how long an accepted stream may take to complete the
	// handshakes of TLS and WebSocket; 5 s if 0.
	Handshake time.Duration
	// FirstMessage is how long an accepted stream may take to complete its
	// first message, handshakes included; 10 s if 0.
	FirstMessage time.Duration
	// Slow is how long a message may take from its first byte to its last;
	// 10 s if 0.
	Slow time.Duration
	// Idle is how long a stream may send us nothing, keepalives included, before
	// it is closed; 70 min if 0, to outlast a registration of an hour.
	Idle time.Duration
	// Write is how long a peer may block our writing, and how long a stream
	// that we close may take to write what is queued; 5 s if 0.
	Write time.Duration
	// Dial is how long a connection may take to be opened; 3 s if 0.
	Dial time.Duration
}

// Layer is the transport layer of a proxy. It is safe for concurrent use.
type Layer struct {
	cfg      Config // defaults filled in
	count    counters
	ids      atomic.Uint64
	table    table
	ports    atomic.Pointer[[]*port] // UDP, in the order of opening
	doors    atomic.Pointer[[]*door] // stream listeners, likewise
	launcher launcher
	seats    *atomic.Int32 // see lingerSocket
	warned   atomic.Int64  // when warnSeldom did, in Unix seconds
	mu       sync.Mutex    // serializes adding to ports and doors
}

// New returns a Layer without listeners. It does no I/O. The error joins all
// faults of cfg.
func New(cfg Config) (*Layer, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	l := &Layer{cfg: cfg, seats: newSeats()}
	l.ids.Store(uint64(time.Now().UnixMicro())) // no process opens so many
	l.table.init(cfg.Limits)
	l.ports.Store(new([]*port))
	l.doors.Store(new([]*door))
	return l, nil
}

// complete fills in the defaults.
func (c *Config) complete() error {
	var errs []error
	if c.Handler == nil {
		errs = append(errs, errors.New("transport: no Handler"))
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Accept == nil {
		c.Accept = func(string, netip.AddrPort) bool { return true }
	}
	if c.DialContext == nil {
		c.DialContext = DialContext
	}
	l := &c.Limits
	errs = append(errs,
		complete("Readers", &c.Readers, 1),
		complete("ReadBuffer", &c.ReadBuffer, 4<<20),
		complete("Limits.Message", &l.Message, 64<<10),
		complete("Limits.Queue", &l.Queue, 256<<10),
		complete("Limits.Connections", &l.Connections, 10_000),
		complete("Limits.PerIP", &l.PerIP, 1_000),
		complete("Limits.Handshake", &l.Handshake, 5*time.Second),
		complete("Limits.FirstMessage", &l.FirstMessage, 10*time.Second),
		complete("Limits.Slow", &l.Slow, 10*time.Second),
		complete("Limits.Idle", &l.Idle, 70*time.Minute),
		complete("Limits.Write", &l.Write, 5*time.Second),
		complete("Limits.Dial", &l.Dial, 3*time.Second))
	return errors.Join(errs...)
}

func complete[T int | time.Duration](name string, v *T, byDefault T) error {
	if *v < 0 {
		return fmt.Errorf("transport: %s is negative", name)
	}
	if *v == 0 {
		*v = byDefault
	}
	return nil
}
