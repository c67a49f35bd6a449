package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// open makes the connection ready to be read and written: it dials it, if it was
// not accepted, and does the TLS handshake.
func (s *stream) open(ctx context.Context) error {
	opening, cancel := context.WithDeadline(ctx, s.openUntil())
	defer cancel()
	source, err := s.begin(cancel)
	if err != nil {
		return err
	}
	conn, state, err := s.connect(opening, source)
	switch {
	case err == nil:
		return s.connected(conn, state)
	case ctx.Err() != nil:
		return ErrClosed
	case s.dialed:
		return fmt.Errorf("%w: %w", ErrDial, err)
	case errors.Is(err, context.DeadlineExceeded):
		return ErrSlow
	}
	return fmt.Errorf("%w: %w", ErrHandshake, err)
}

// openUntil returns when opening is given up.
func (s *stream) openUntil() time.Time {
	limits := &s.layer.cfg.Limits
	if s.dialed {
		return time.Now().Add(limits.Dial)
	}
	return s.born.Add(limits.Handshake)
}

// begin lets shut cancel the opening. It returns the source address to use.
func (s *stream) begin(cancel context.CancelFunc) (netip.AddrPort, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel = cancel
	if !s.addr.IsValid() || s.addr.Addr().IsUnspecified() {
		return netip.AddrPort{}, s.err
	}
	return netip.AddrPortFrom(s.addr.Addr(), 0), s.err
}

// connect returns the connection, and its state if there is TLS.
func (s *stream) connect(ctx context.Context, source netip.AddrPort) (net.Conn, *tls.ConnectionState, error) {
	if s.dialed {
		c, err := s.layer.cfg.DialContext(ctx, "tcp", source, s.remote)
		if err != nil {
			return nil, nil, err
		}
		s.raw = c
	}
	if !isSecure(s.net) {
		return s.raw, nil, nil
	}
	var c *tls.Conn
	if s.dialed {
		c = tls.Client(s.raw, s.clientTLS())
	} else {
		c = tls.Server(s.raw, s.layer.cfg.ServerTLS)
	}
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, nil, err
	}
	state := c.ConnectionState()
	return c, &state, nil
}

// clientTLS returns the configuration of a dialed connection. The certificate
// must be for the name that the server is known by, else for its address.
func (s *stream) clientTLS() *tls.Config {
	cfg := new(tls.Config)
	if c := s.layer.cfg.ClientTLS; c != nil {
		cfg = c.Clone()
	}
	if f := s.layer.cfg.ServerName; f != nil {
		if name := f(s.remote); name != "" {
			cfg.ServerName = name
		}
	}
	if cfg.ServerName == "" {
		cfg.ServerName = s.remote.Addr().WithZone("").String()
	}
	return cfg
}

// connected notes the connection, unless shut was faster.
func (s *stream) connected(c net.Conn, state *tls.ConnectionState) error {
	local, err := addrPort(c.LocalAddr())
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.conn, s.state, s.addr, s.cancel = c, state, local, nil
	s.ready = !isWebSocket(s.net)
	return nil
}

// setReady lets an accepted WebSocket be found, now that its handshake is over.
func (s *stream) setReady() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = true
}

// DialContext is the default of [Config].DialContext. The error is that of
// [net.Dialer]. Concurrent calls are safe.
func DialContext(ctx context.Context, network string, local, remote netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: keepAlive, Control: controlTCP}
	if local.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(local)
	}
	return d.DialContext(ctx, network, remote.String())
}
