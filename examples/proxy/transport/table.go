package transport

import (
	"net/netip"
	"slices"
	"sync"
)

// table holds the streams of a layer and counts the accepted ones.
type table struct {
	perIP, total int

	mu       sync.Mutex
	streams  map[*stream]struct{}
	remotes  map[target][]*stream // the same; those to one remote differ in their local address, or all but the last are ending
	accepted int
	sources  map[netip.Prefix]int // accepted, by the unit of Limits.PerIP
}

// target is what a stream is found by: never by the local address alone, which
// all connections of a listener share (R42).
type target struct {
	network string
	remote  netip.AddrPort
}

func (t *table) init(limits Limits) {
	t.total, t.perIP = limits.Connections, limits.PerIP
	t.streams = make(map[*stream]struct{})
	t.remotes = make(map[target][]*stream)
	t.sources = make(map[netip.Prefix]int)
}

// admission is the answer of admit.
type admission int

const (
	admitted  admission = iota
	overTotal           // Limits.Connections
	overPerIP           // Limits.PerIP
)

// admit adds an accepted stream, if there is room, and notes whom it succeeds.
func (t *table) admit(s *stream) admission {
	t.mu.Lock()
	defer t.mu.Unlock()
	source := sourceOf(s.remote)
	if t.accepted >= t.total {
		return overTotal
	}
	if t.sources[source] >= t.perIP {
		return overPerIP
	}
	for _, o := range t.remotes[s.target()] {
		if !o.dialed && o.local() == s.addr {
			s.before = o
		}
	}
	t.accepted++
	t.sources[source]++
	t.add(s)
	return admitted
}

// findOrAdd returns the open stream to a remote address, or adds the one that
// make returns. Two callers get the same stream (R53). With TLS it must be one
// that was dialed: a peer that connects does not prove that it is the server
// (RFC 5923 section 3).
func (t *table) findOrAdd(to target, local netip.AddrPort, make func() *stream) (s *stream, added bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.search(to, local, isSecure(to.network)); s != nil {
		return s, false
	}
	s = make()
	t.add(s)
	return s, true
}

// find returns the open stream to a remote address, from a local one if that
// is valid, or nil.
func (t *table) find(to target, local netip.AddrPort) *stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.search(to, local, false)
}

func (t *table) search(to target, local netip.AddrPort, dialed bool) *stream {
	for _, s := range t.remotes[to] {
		if s.uses(local) && (s.dialed || !dialed) {
			return s
		}
	}
	return nil
}

func (t *table) add(s *stream) {
	to := s.target()
	t.streams[s] = struct{}{}
	t.remotes[to] = append(t.remotes[to], s)
}

// remove forgets s, whose connection is closed.
func (t *table) remove(s *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.streams, s)
	to := s.target()
	t.remotes[to] = slices.DeleteFunc(t.remotes[to], func(o *stream) bool { return o == s })
	if len(t.remotes[to]) == 0 {
		delete(t.remotes, to)
	}
	if s.dialed {
		return
	}
	source := sourceOf(s.remote)
	t.accepted--
	if t.sources[source]--; t.sources[source] == 0 {
		delete(t.sources, source)
	}
}

func (t *table) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.streams)
}

func (t *table) all() []*stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]*stream, 0, len(t.streams))
	for s := range t.streams {
		all = append(all, s)
	}
	return all
}

// sourceOf returns what counts as one source of connections. An IPv6 site has
// a /64, so its single addresses mean nothing.
func sourceOf(remote netip.AddrPort) netip.Prefix {
	bits := 32
	if remote.Addr().Is6() {
		bits = 64
	}
	p, _ := remote.Addr().Prefix(bits)
	return p
}
