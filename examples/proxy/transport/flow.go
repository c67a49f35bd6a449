package transport

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/sipward/sipward/location"
)

// Flow is a path to a peer: a UDP listener with a remote address, or one
// stream connection. It is a small value, to be copied and compared with ==:
// equal flows are the same path. A UDP flow holds no state and never ends; a
// stream that was closed stays closed.
//
// The zero Flow is no path. It has no addresses and sends nothing.
type Flow struct {
	end    endpoint
	remote netip.AddrPort
}

// endpoint is our end of a flow, a [*port] or a [*stream]. All flows to it
// share it, so it is what makes them comparable.
type endpoint interface {
	id() uint64
	network() string
	local() netip.AddrPort
	tls() *tls.ConnectionState
	send(b []byte, to netip.AddrPort) error
	ping(to netip.AddrPort) error
	close()
}

// Network returns "udp", "tcp", "tls", "ws" or "wss", and "" for the zero Flow.
func (f Flow) Network() string {
	if f.end == nil {
		return ""
	}
	return f.end.network()
}

// Stream reports whether f is a connection.
func (f Flow) Stream() bool {
	_, ok := f.end.(*stream)
	return ok
}

// Local returns our address. It is that of the listener, or of the connection.
// For a stream that is still being dialed it is the address that it was asked
// to use, if any.
func (f Flow) Local() netip.AddrPort {
	if f.end == nil {
		return netip.AddrPort{}
	}
	return f.end.local()
}

// Remote returns the peer's address as seen from here, so the outside of its
// NAT.
func (f Flow) Remote() netip.AddrPort { return f.remote }

// TLS returns the state of the connection, nil if it has no TLS. It must not
// be changed.
func (f Flow) TLS() *tls.ConnectionState {
	if f.end == nil {
		return nil
	}
	return f.end.tls()
}

// ID returns the number of the connection, or of the UDP listener. No other of
// the [Layer] has it, nor of one before it in another process, unless the clock
// was set back. It is 0 for the zero Flow.
func (f Flow) ID() uint64 {
	if f.end == nil {
		return 0
	}
	return f.end.id()
}

// Send sends one message. It does not keep b.
//
// Over UDP the datagram is written at once, which waits for the network card at
// most, and the error is the kernel's verdict. On a stream the message is
// queued, and nil says no more than that the stream was open: that it broke
// later comes as [Handler].Closed. A full queue closes the stream and gives
// [ErrOverflow], a closed one [ErrClosed].
func (f Flow) Send(b []byte) error {
	if f.end == nil {
		return ErrClosed
	}
	return f.end.send(b, f.remote)
}

// Ping sends a keepalive, which holds a NAT between us and the peer open: on a
// WebSocket a Ping frame (RFC 7118 section 6), elsewhere CRLFCRLF (RFC 5626
// section 3.5.1). An answer is not waited for and does not show: that a stream
// is dead shows by its being closed. Errors are as for Send.
func (f Flow) Ping() error {
	if f.end == nil {
		return ErrClosed
	}
	return f.end.ping(f.remote)
}

// Close closes a stream once what is queued is written. It does not wait, and
// does nothing to UDP and zero flows. The handler is told [ErrClosed].
func (f Flow) Close() {
	if f.end != nil {
		f.end.close()
	}
}

// Location returns f in the form that a location store keeps.
func (f Flow) Location() location.Flow {
	return location.Flow{Transport: f.Network(), Remote: f.remote, Local: f.Local()}
}

// String returns f for logs, such as "udp 192.0.2.1:5060 198.51.100.7:5062
// #1764086400000001": network, local, remote and ID.
func (f Flow) String() string {
	if f.end == nil {
		return "none"
	}
	return fmt.Sprintf("%s %v %v #%d", f.Network(), f.Local(), f.remote, f.ID())
}

// LogValue makes slog write String, and only if the record is wanted.
func (f Flow) LogValue() slog.Value { return slog.StringValue(f.String()) }
