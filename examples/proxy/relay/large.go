package relay

import (
	"errors"
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/sipward/sipward/examples/proxy/transport"
)

// wider returns the connection on which n bytes go to t that are too many for a
// datagram (RFC 3261 section 18.1.1); none if t has to get them as one.
func (r *Relay) wider(t *Target, n int) (transport.Flow, bool) {
	if !t.TCP || t.Network != "udp" || r.cfg.UDPMTU == 0 || n <= r.cfg.UDPMTU || r.refusers.has(t.Remote) {
		return transport.Flow{}, false
	}
	f, err := r.cfg.Network.Dial("tcp", t.Local, t.Remote)
	return f, err == nil
}

// refusedTCP reports whether a request to t has failed since it was too large for a
// datagram and there is no connection: then it has not arrived, and may be sent as
// one. Nothing is tried over TCP for a while.
func (r *Relay) refusedTCP(t *Target, err error) bool {
	if t.Network != "udp" || !errors.Is(err, transport.ErrDial) {
		return false
	}
	r.refusers.add(t.Remote)
	return true
}

// refusers are targets that take no TCP. To find that out can take as long as a
// connection may take to open, which not every call is to wait for.
type refusers struct {
	mu    sync.Mutex
	until map[netip.AddrPort]time.Time
}

const refusalTime = 10 * time.Minute

func (r *refusers) has(a netip.AddrPort) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Before(r.until[a])
}

func (r *refusers) add(a netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(r.until, func(_ netip.AddrPort, until time.Time) bool { return !now.Before(until) })
	r.until[a] = now.Add(refusalTime)
}
