package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/examples/proxy/internal/sd"
)

// adopt takes what whoever has started the process has for it. The environment is
// read by env.
func (p *Proxy) adopt(env func(string) string) (err error) {
	if p.manager, err = sd.NewManager(env); err != nil {
		return err
	}
	p.sockets, err = sd.Sockets(env)
	return err
}

// listen opens the listeners, but for those whose sockets are open already: of
// them, addresses and kinds say which is which.
func (p *Proxy) listen(ctx context.Context) error {
	for _, l := range p.cfg.Listen {
		var err error
		s, ok := p.handedOver(l)
		switch {
		case !ok:
			err = p.transport.Listen(ctx, string(l.Transport), l.Addr)
		case s.Packet != nil:
			err = p.transport.ServePacket(s.Packet)
		default:
			err = p.transport.ServeStream(string(l.Transport), s.Stream)
		}
		if err != nil {
			return fmt.Errorf("listen %v: %w", l, err)
		}
	}
	if len(p.sockets) > 0 { // phones would be served at some addresses only
		return fmt.Errorf("listen: nothing is configured for the socket %v that was handed over", p.sockets[0].Addr)
	}
	return nil
}

// handedOver takes the socket for l out of those that are open already.
func (p *Proxy) handedOver(l config.Listener) (sd.Socket, bool) {
	i := slices.IndexFunc(p.sockets, func(s sd.Socket) bool {
		return s.Addr == l.Addr && (s.Packet != nil) == (l.Transport == config.UDP)
	})
	if i < 0 {
		return sd.Socket{}, false
	}
	s := p.sockets[i]
	p.sockets = slices.Delete(p.sockets, i, i+1)
	return s, true
}

// notify tells whoever has started the process how it does.
func (p *Proxy) notify(state string) {
	if err := p.manager.Notify(state); err != nil {
		p.log.Warn("the service manager is not told", "state", state, "err", err)
	}
}

// readyStep is how often it is looked whether the tenants are there.
const readyStep = 100 * time.Millisecond

// supervised tells the service manager that the proxy is ready, once it has its
// tenants, and then that it is alive, until ctx is done.
func (p *Proxy) supervised(ctx context.Context) error {
	for !p.source.Stats().Ready {
		if !sleep(ctx, readyStep) {
			return nil
		}
	}
	p.notify(sd.Ready)
	if limit := p.manager.Watchdog(); limit > 0 {
		p.heartbeat(ctx, limit, p.answers, func() { p.notify(sd.Alive) })
	} else {
		<-ctx.Done()
	}
	return nil
}

// heartbeat calls alive for a manager that waits for limit, as long as answers has no
// error, until ctx is done. A round is a quarter of limit, so that one that fails
// leaves time for another one.
func (p *Proxy) heartbeat(ctx context.Context, limit time.Duration, answers func(ctx context.Context, timeout time.Duration) error, alive func()) {
	every := limit / 4
	for {
		next := time.Now().Add(every)
		if err := answers(ctx, every); err == nil {
			alive()
		} else if ctx.Err() == nil {
			p.log.Error("the proxy does not answer itself", "err", err)
		}
		if !sleep(ctx, time.Until(next)) {
			return
		}
	}
}

// answers asks the first listener for UDP or TCP something that every proxy
// answers itself: what a request is told that may not be forwarded (RFC 3261
// section 16.3 step 3). It goes by the socket, the transactions and the relay, and
// by neither the tenants nor the database. Listeners for TLS and WebSocket only are
// not asked: that the proxy runs is all that is known then.
func (p *Proxy) answers(ctx context.Context, timeout time.Duration) error {
	for _, network := range []string{"udp", "tcp"} {
		if addrs := p.transport.Addrs(network); len(addrs) > 0 {
			return ask(ctx, network, config.Reachable(addrs[0]), timeout)
		}
	}
	return nil
}

// askAgain is after which time a request is sent again over UDP, unless there is
// little time for the answer.
const askAgain = 500 * time.Millisecond

// ask sends a request that may not be forwarded, and waits for its answer. Over UDP,
// where either may be lost, the same request is sent again in between.
func ask(ctx context.Context, network string, to netip.AddrPort, timeout time.Duration) error {
	var sending sync.WaitGroup
	defer sending.Wait()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, network, to.String())
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Now()) })
	defer stop()
	request := []byte(question(network))
	if _, err := c.Write(request); err != nil {
		return err
	}
	if network == "udp" {
		sending.Go(func() {
			for sleep(ctx, min(askAgain, timeout/4)) {
				c.Write(request) // if that fails, no answer comes
			}
		})
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

// question is a request that may not be forwarded.
func question(network string) string {
	id := rand.Text()
	return "OPTIONS sip:proxy@watchdog.invalid SIP/2.0\r\n" +
		"Via: SIP/2.0/" + strings.ToUpper(network) + " watchdog.invalid;branch=z9hG4bK" + id + ";rport\r\n" +
		"Max-Forwards: 0\r\n" +
		"From: <sip:watchdog@watchdog.invalid>;tag=" + id + "\r\n" +
		"To: <sip:proxy@watchdog.invalid>\r\n" +
		"Call-ID: " + id + "\r\n" +
		"CSeq: 1 OPTIONS\r\n" +
		"Content-Length: 0\r\n\r\n"
}
