package relay

import (
	"cmp"
	"errors"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/location"
)

// What is left free in the header of a request for what is added to it, here and
// by the policy. What grew beyond what can be read would have no ACK and no CANCEL.
const (
	roomFields = 16
	roomBytes  = 4 << 10
)

// check validates a request (RFC 3261 section 16.3) and takes our own Routes
// off (section 16.4). It reports false if it answered.
func (c *Context) check() bool {
	m, r := c.Message, c.relay
	c.readRoutes()
	if fields, bytes := m.Room(); fields < roomFields || bytes < roomBytes {
		c.Refuse(513, reasonOf(513))
		return false
	}
	if _, err := location.ParseURI(c.RequestURI); err != nil && !errors.Is(err, location.ErrScheme) { // step 1
		c.Refuse(400, reasonOf(400)+" (Request-URI)")
		return false
	}
	if m.MaxForwards == 0 && !c.keepalive() {
		c.Refuse(483, "Too Many Hops")
		return false
	}
	if m.Has(sipmsg.ProxyRequire) && c.server != nil { // step 5: we support no extension that must be asked for
		c.Refuse(420, "Bad Extension", "Unsupported: "+strings.Join(m.Values(sipmsg.ProxyRequire), ", "))
		return false
	}
	if c.looped() {
		r.counters.loops.Add(1)
		c.Refuse(482, "Loop Detected")
		return false
	}
	if c.server != nil && c.server.Merged && !c.spiral() {
		r.counters.merged.Add(1)
		c.Refuse(482, "Request Merged")
		return false
	}
	return true
}

// keepalive reports whether the request is an OPTIONS that asks the proxy
// itself, which is answered whatever Max-Forwards says (section 16.3 step 3).
func (c *Context) keepalive() bool {
	if c.Message.Method != "OPTIONS" {
		return false
	}
	u, err := location.ParseURI(c.RequestURI)
	return err == nil && u.User == "" && c.relay.cfg.Own(u.Host, u.Port)
}

// readRoutes finds which Routes are ours, adjacent or not, and repairs what a
// strict router did (section 16.4).
func (c *Context) readRoutes() {
	m := c.Message
	c.RequestURI = m.RequestURI
	if !m.Has(sipmsg.Route) {
		return
	}
	for i := range m.All(sipmsg.Route) {
		for rest := m.Value(i); rest != ""; {
			var e string
			e, rest = sipmsg.CutElement(rest)
			if uri, own := c.relay.ownAddress(e); own {
				c.OwnRoutes = append(c.OwnRoutes, uri)
			} else if uri != "" {
				c.routes = append(c.routes, e)
			}
		}
	}
	c.repair()
	if len(c.routes) > 0 {
		c.NextRoute = c.routes[0]
	}
}

// repair undoes what a strict router before us did: our Record-Route is in the
// Request-URI, and that is the last Route.
func (c *Context) repair() {
	last := len(c.routes) - 1
	if last < 0 {
		return
	}
	u, err := location.ParseURI(c.RequestURI)
	if err != nil || u.User != "" || !hasLR(u) || !c.relay.cfg.Own(u.Host, u.Port) {
		return
	}
	a, err := sipmsg.ParseNameAddr(c.routes[last])
	if err != nil {
		return
	}
	if _, err := location.ParseURI(a.URI); err != nil {
		return
	}
	c.OwnRoutes = slices.Insert(c.OwnRoutes, 0, c.RequestURI)
	c.RequestURI, c.routes = a.URI, c.routes[:last]
}

// ownAddress returns the URI of a Route or Record-Route element, and whether
// that is ours. It is empty if the element cannot be read.
func (r *Relay) ownAddress(element string) (uri string, own bool) {
	a, err := sipmsg.ParseNameAddr(element)
	if err != nil {
		return "", false
	}
	u, err := location.ParseURI(a.URI)
	return a.URI, err == nil && r.cfg.Own(u.Host, u.Port)
}

func hasLR(u location.URI) bool { _, ok := u.Param("lr"); return ok }

// loopHash stands for what makes a request the same one (section 16.6 step 8):
// a request that comes by again with the same hash is in a loop, with another
// it is a spiral.
func (c *Context) loopHash() uint32 {
	m := c.Message
	var h maphash.Hash
	h.SetSeed(c.relay.seed)
	for _, s := range [...]string{m.CallID, m.FromTag, m.ToTag, c.RequestURI, c.NextRoute} {
		h.WriteString(s)
		h.WriteByte(0)
	}
	h.Write([]byte{byte(m.CSeq), byte(m.CSeq >> 8), byte(m.CSeq >> 16), byte(m.CSeq >> 24)})
	return uint32(h.Sum64())
}

const cookie = "z9hG4bK"

// newBranch returns a branch that nobody can guess and that carries the hash.
func (c *Context) newBranch() string {
	b := make([]byte, 0, 40)
	b = append(b, cookie...)
	b = strconv.AppendUint(b, rand.Uint64(), 36)
	b = append(b, '.')
	b = strconv.AppendUint(b, uint64(c.loopHash()), 36)
	return string(b)
}

// looped reports whether the request has been here before, unchanged.
func (c *Context) looped() bool {
	hash := ""
	return c.ownVia(func(branch string) bool {
		if hash == "" {
			hash = "." + strconv.FormatUint(uint64(c.loopHash()), 36)
		}
		return strings.HasSuffix(branch, hash)
	})
}

// spiral reports whether the request has been here before, changed.
func (c *Context) spiral() bool { return c.ownVia(func(string) bool { return true }) }

// ownVia reports whether match holds for the branch of any Via that is ours.
// The top Via, the sender's, may be ours too: nothing keeps a proxy from being
// its own next hop but this.
func (c *Context) ownVia(match func(branch string) bool) bool {
	for i := range c.Message.All(sipmsg.Via) {
		for rest := c.Message.Value(i); rest != ""; {
			var e string
			e, rest = sipmsg.CutElement(rest)
			if v, ok := sipmsg.ParseVia(e); ok && c.relay.cfg.Own(v.Host, v.Port) && match(v.Branch) {
				return true
			}
		}
	}
	return false
}

var patches = sync.Pool{New: func() any { return new(sipmsg.Patch) }}

// maxBreadth is how many branches at a time a request may have, here and behind us
// together (RFC 5393 section 5.3.3).
const maxBreadth = 60

// breadth returns how many those of this request may be. A branch that has ended
// gives back what it had (section 5.3.3.1), and when a group of targets begins all
// those before it have: each group has all there is.
func (c *Context) breadth() int {
	if n := c.Message.MaxBreadth; n >= 0 {
		return min(n, maxBreadth)
	}
	return maxBreadth
}

// share returns what branch i of n gets of a breadth that is at least n.
func share(breadth, i, n int) int {
	s := breadth / n
	if i < breadth%n {
		s++
	}
	return s
}

// request builds what goes to t on f (section 16.6).
func (c *Context) request(t *Target, f transport.Flow, branch string, breadth int) []byte {
	p := patches.Get().(*sipmsg.Patch)
	defer patches.Put(p)
	p.Init(c.Message)
	p.Prepend(sipmsg.Via, c.relay.via(f, branch))
	if c.plan.RecordRoute {
		c.recordRoute(p, t, f)
	}
	if n := c.Message.MaxForwards; n < 0 {
		p.SetMaxForwards(70)
	} else {
		p.SetMaxForwards(max(n-1, 0))
	}
	p.SetMaxBreadth(breadth)
	uri := c.RequestURI
	if t.RequestURI != "" {
		uri = t.RequestURI
	}
	c.writeRoutes(p, t, uri)
	if t.Edit != nil {
		t.Edit(f, p)
	}
	return p.Bytes()
}

// via returns our Via for what goes out on f.
func (r *Relay) via(f transport.Flow, branch string) string {
	return "Via: SIP/2.0/" + strings.ToUpper(f.Network()) + " " + r.cfg.SentBy(f) + ";branch=" + branch
}

// writeRoutes sets the Request-URI, removes our own Routes, and puts the
// target's on top.
func (c *Context) writeRoutes(p *sipmsg.Patch, t *Target, uri string) {
	if len(c.routes) > 0 || t.Route != "" {
		if next, rest, ok := c.strictRouter(t, uri); ok {
			p.SetRequestURI(next)
			p.Prepend(sipmsg.Route, "Route: "+rest)
			p.ReplaceElements(sipmsg.Route, func(string) string { return "" })
			return
		}
	}
	p.SetRequestURI(uri)
	if t.Route != "" { // first, as an insertion must stand before what is removed at the same place
		p.Prepend(sipmsg.Route, "Route: "+t.Route)
	}
	if len(c.OwnRoutes) > 0 {
		kept := 0 // of c.routes; they are in order
		p.ReplaceElements(sipmsg.Route, func(e string) string {
			if kept < len(c.routes) && e == c.routes[kept] {
				kept++
				return e
			}
			return ""
		})
	}
}

// strictRouter reports whether the next hop is a strict router, and returns the
// Request-URI and the Routes that such a one wants (section 16.6 step 6): its
// own address, and the rest with the true Request-URI as the last.
func (c *Context) strictRouter(t *Target, uri string) (next, routes string, ok bool) {
	first, rest := t.Route, ""
	all := c.routes
	if first == "" {
		first, all = all[0], all[1:]
	}
	first, rest = sipmsg.CutElement(first)
	a, err := sipmsg.ParseNameAddr(first)
	if err != nil {
		return "", "", false
	}
	if u, err := location.ParseURI(a.URI); err != nil || hasLR(u) {
		return "", "", false
	}
	if rest != "" {
		all = append([]string{strings.TrimSpace(rest)}, all...)
	}
	return a.URI, strings.Join(append(slices.Clip(all), "<"+uri+">"), ", "), true
}

// recordRoute keeps the dialog on us (section 16.6 step 4): with one entry, or
// with two if the two sides differ in transport or listener (RFC 5658).
func (c *Context) recordRoute(p *sipmsg.Patch, t *Target, out transport.Flow) {
	params := cmp.Or(t.RouteParams, c.plan.RouteParams)
	uri := c.routeURI(out, params)
	if out.Network() != c.Flow.Network() || out.Local() != c.Flow.Local() {
		if in := c.routeURI(c.Flow, params); in != uri {
			p.Prepend(sipmsg.RecordRoute, "Record-Route: "+uri)
			uri = in
		}
	}
	p.Prepend(sipmsg.RecordRoute, "Record-Route: "+uri)
}

func (c *Context) routeURI(f transport.Flow, params string) string {
	transport := ""
	if n := f.Network(); n != "udp" {
		transport = ";transport=" + n
	}
	return "<sip:" + c.relay.cfg.SentBy(f) + transport + ";lr" + params + ">"
}

// newTag returns a To tag.
func (r *Relay) newTag() string { return strconv.FormatUint(rand.Uint64(), 36) }
