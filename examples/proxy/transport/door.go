package transport

import (
	"context"
	"net"
)

// door is a listener for streams.
type door struct {
	layer    *Layer
	network  string
	addr     bound
	listener net.Listener
}

// accept lets connections in until ctx ends. It never waits for one of them,
// so that a slow client cannot keep others out.
func (d *door) accept(ctx context.Context) error {
	for failures := 0; ; {
		c, err := d.listener.Accept()
		if err == nil {
			failures = 0
			d.admit(c)
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		d.layer.count.acceptErrors.Add(1)
		if err := d.layer.tolerate(ctx, d.network, d.addr.AddrPort, err, failures); err != nil {
			return err
		}
		failures++
	}
}

// admit serves a connection, or closes it if it is not wanted or there are too
// many.
func (d *door) admit(c net.Conn) {
	l := d.layer
	if c, ok := c.(*net.TCPConn); ok {
		c.SetKeepAliveConfig(keepAlive)
	}
	s, err := newAccepted(l, d.network, c)
	if err != nil { // the peer is gone already
		l.count.acceptErrors.Add(1)
		c.Close()
		return
	}
	if !l.cfg.Accept(d.network, s.remote) {
		l.count.unwanted.Add(1)
		c.Close()
		return
	}
	switch l.table.admit(s) {
	case overTotal:
		l.count.refused.Add(1)
		c.Close()
		return
	case overPerIP:
		l.count.refusedIP.Add(1)
		c.Close()
		return
	}
	l.count.accepted.Add(1)
	if !l.launcher.launch(s.run) {
		l.table.remove(s)
		c.Close()
	}
}
