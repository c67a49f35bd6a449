package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// Listen opens a listener on addr, whose port may be 0, and serves it: for
// "udp" as many sockets as [Config].Readers says. Network may also be "tcp",
// "tls", "ws" or "wss"; those with TLS need [Config].ServerTLS. Ctx bounds the
// opening only.
//
// Listeners may be added before [Layer.Run] and while it runs. Run closes them,
// even if it is called with a context that has already ended.
func (l *Layer) Listen(ctx context.Context, network string, addr netip.AddrPort) error {
	addr = unmap(addr)
	if !addr.IsValid() {
		return fmt.Errorf("transport: listen %s: no address", network)
	}
	switch {
	case network == "udp":
		conns, err := openUDP(ctx, addr, l.cfg.Readers)
		if err != nil {
			return fmt.Errorf("transport: %w", err)
		}
		return l.addPort(conns)
	case isStream(network):
		lc := net.ListenConfig{KeepAlive: -1} // admit does that
		lc.SetMultipathTCP(false)             // it has no TCP_USER_TIMEOUT
		listener, err := lc.Listen(ctx, "tcp"+family(addr), addr.String())
		if err != nil {
			return fmt.Errorf("transport: %w", err)
		}
		return l.ServeStream(network, listener)
	}
	return fmt.Errorf("%w %q", ErrNetwork, network)
}

// ServePacket serves a UDP socket that was opened elsewhere, by systemd or a
// test. The layer owns it from then on, also if there is an error: it may close
// it and go on with a copy. A socket that is bound to all addresses must be of
// one family.
func (l *Layer) ServePacket(pc net.PacketConn) error { return l.addPort([]net.PacketConn{pc}) }

// ServeStream serves a listener that was opened elsewhere, for any network but
// "udp". Its connections are those below TLS and WebSocket. The layer owns it
// from then on, also if there is an error.
func (l *Layer) ServeStream(network string, listener net.Listener) error {
	addr, err := addrPort(listener.Addr())
	switch {
	case !isStream(network):
		err = fmt.Errorf("%w %q", ErrNetwork, network)
	case isSecure(network) && l.cfg.ServerTLS == nil:
		err = fmt.Errorf("transport: listen %s: no Config.ServerTLS", network)
	}
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	if err := limitUnacked(listener); err != nil {
		l.cfg.Logger.Warn("TCP_USER_TIMEOUT of a listener", "local", addr, "err", err)
	}
	d := &door{layer: l, network: network, addr: newBound(addr), listener: listener}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.launcher.launch(d.accept) {
		return errors.Join(ErrClosed, listener.Close())
	}
	doors := append(slices.Clip(*l.doors.Load()), d)
	l.doors.Store(&doors)
	return nil
}

// addPort serves sockets that are bound to one address.
func (l *Layer) addPort(conns []net.PacketConn) error {
	addr, err := addrPort(conns[0].LocalAddr())
	if err != nil {
		return errors.Join(err, closeAll(conns))
	}
	p := &port{layer: l, number: l.ids.Add(1), addr: newBound(addr)}
	for i, pc := range conns {
		if c, ok := pc.(*net.UDPConn); ok {
			pc = lingering(c, l.seats)
			conns[i] = pc
		}
		if c, ok := pc.(interface{ SetReadBuffer(int) error }); ok {
			if err := c.SetReadBuffer(l.cfg.ReadBuffer); err != nil {
				l.cfg.Logger.Warn("read buffer of a listener", "local", addr, "err", err)
			}
		}
		p.socks = append(p.socks, asPacketConn(pc))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range p.socks {
		if !l.launcher.launch(func(ctx context.Context) error { return p.read(ctx, c) }) {
			return errors.Join(ErrClosed, closeAll(conns))
		}
	}
	ports := append(slices.Clip(*l.ports.Load()), p)
	l.ports.Store(&ports)
	return nil
}

// openUDP opens n sockets on one address. Only the first bind is exclusive, so
// that a second proxy on the same address fails rather than taking a share of
// the packets.
func openUDP(ctx context.Context, addr netip.AddrPort, n int) ([]net.PacketConn, error) {
	network := "udp" + family(addr)
	first, err := new(net.ListenConfig).ListenPacket(ctx, network, addr.String())
	if err != nil {
		return nil, err
	}
	conns := []net.PacketConn{first}
	if n > 1 {
		err = share(first)
	}
	lc := net.ListenConfig{Control: controlShare}
	for err == nil && len(conns) < n {
		var pc net.PacketConn
		if pc, err = lc.ListenPacket(ctx, network, first.LocalAddr().String()); err == nil {
			conns = append(conns, pc)
		}
	}
	if err != nil {
		return nil, errors.Join(err, closeAll(conns))
	}
	return conns, nil
}

func closeAll(conns []net.PacketConn) error {
	var errs []error
	for _, pc := range conns {
		errs = append(errs, pc.Close())
	}
	return errors.Join(errs...)
}

// keepAlive finds dead peers of silent streams in 90 s (R53).
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 10 * time.Second, Count: 3}

// Addrs returns the addresses of the listeners of a network in the order of
// opening, with the ports that were chosen for them.
func (l *Layer) Addrs(network string) []netip.AddrPort {
	var addrs []netip.AddrPort
	if network == "udp" {
		for _, p := range *l.ports.Load() {
			addrs = append(addrs, p.addr.AddrPort)
		}
	}
	for _, d := range *l.doors.Load() {
		if d.network == network {
			addrs = append(addrs, d.addr.AddrPort)
		}
	}
	return addrs
}
