// Package resolver asks the system's resolver, and tells for how long its answers
// count.
//
// The resolver of Go does not tell that, but lets its caller open the connections to
// the servers: so the answers are read as they pass by. All else is as the system
// has it: its hosts file, its search list, its servers, and whom it asks instead if
// the program is built with cgo; then how long an answer counts is not known.
package resolver

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Resolver is a resolver. The zero Resolver is that of the system. It is safe for
// concurrent use.
type Resolver struct {
	// Dial opens connections to the servers; nil is that of a [net.Dialer].
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// LookupHost returns the addresses of a host, of either family, and for how long
// they count; 0 if that is not known, as of what is in the hosts file. The error
// is that of [net.Resolver.LookupNetIP].
func (r Resolver) LookupHost(ctx context.Context, host string) ([]netip.Addr, time.Duration, error) {
	o := observer{dial: r.Dial}
	addrs, err := o.resolver().LookupNetIP(ctx, "ip", host)
	return addrs, o.ttl(), err
}

// LookupSRV returns the SRV records of a name, and for how long they count; 0 if
// that is not known. The error is that of [net.Resolver.LookupSRV].
func (r Resolver) LookupSRV(ctx context.Context, name string) ([]*net.SRV, time.Duration, error) {
	o := observer{dial: r.Dial}
	_, records, err := o.resolver().LookupSRV(ctx, "", "", name)
	return records, o.ttl(), err
}

// observer looks at the answers to one lookup.
type observer struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu    sync.Mutex
	known bool
	least uint32 // of the TTLs of all answers, in seconds
}

// resolver returns a resolver of one lookup: those of others see nothing of it.
func (o *observer) resolver() *net.Resolver { return &net.Resolver{Dial: o.open} }

// ttl returns for how long the answer counts. That is a second at least, since 0 is
// for what is not known.
func (o *observer) ttl() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.known {
		return 0
	}
	return time.Duration(max(o.least, 1)) * time.Second
}

// open opens a connection to a server.
func (o *observer) open(ctx context.Context, network, address string) (net.Conn, error) {
	dial := o.dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	c, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if u, ok := c.(*net.UDPConn); ok { // by its type Go knows that it need not look for the length
		return &packets{u, o}, nil
	}
	return &stream{Conn: c, observer: o}, nil
}

// message notes how long a response counts. What is no response says nothing.
func (o *observer) message(b []byte) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || !h.Response || h.RCode != dnsmessage.RCodeSuccess || p.SkipAllQuestions() != nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		a, err := p.AnswerHeader()
		if err != nil {
			return
		}
		if !o.known || a.TTL < o.least {
			o.known, o.least = true, a.TTL
		}
		if p.SkipAnswer() != nil {
			return
		}
	}
}

// packets is a connection with a message in each packet.
type packets struct {
	*net.UDPConn
	observer *observer
}

// Read implements [net.Conn].
func (c *packets) Read(b []byte) (int, error) {
	n, err := c.UDPConn.Read(b)
	if err == nil {
		c.observer.message(b[:n])
	}
	return n, err
}

// stream is a connection for one message, with its length before it.
type stream struct {
	net.Conn
	observer *observer
	got      []byte
}

// Read implements [net.Conn].
func (c *stream) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.got = append(c.got, b[:n]...)
	if len(c.got) >= 2 {
		if length := 2 + int(c.got[0])<<8 + int(c.got[1]); n > 0 && len(c.got) >= length {
			c.observer.message(c.got[2:length])
		}
	}
	return n, err
}
