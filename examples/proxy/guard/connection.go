package guard

import "time"

// AdmitConnection returns whether a connection that src opens is served: [Served],
// [Limited] or [Banned]. It is for each one that is accepted, before a handshake,
// which costs more than any message.
func (g *Guard) AdmitConnection(src Source, now time.Time) Verdict {
	at, addr := g.since(now), src.Addr.Addr()
	n := g.hasher.address(addr)
	switch {
	case g.trusted(src):
		return Served
	case g.banned(src, n, at) != nil:
		g.count.connectionsBanned.Add(1)
		return Banned
	}
	one, all := g.arrivals.of(g.hasher.around(addr)), g.newcomers
	if a := g.known.get(n.network, at); a != nil {
		one, all = tokens{g.arrivals.rate, &a.connections}, tokens{}
	}
	if draw(at, whole, one, all) {
		return Served
	}
	if one.left(at, whole) {
		g.count.connectionsOverAll.Add(1)
	} else {
		g.count.connectionsOverNetwork.Add(1)
	}
	return Limited
}
