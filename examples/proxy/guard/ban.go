package guard

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"time"
)

var (
	// ErrTrusted is returned for a ban that a trusted address would be under.
	ErrTrusted = errors.New("guard: trusted addresses cannot be banned")
	// ErrFull is returned if there is no room for another ban set by hand.
	ErrFull = errors.New("guard: too many bans")
)

// Ban is a network that is not served for some time.
type Ban struct {
	Prefix netip.Prefix `json:"prefix"`
	Until  time.Time    `json:"until,omitzero"` // zero: until it is lifted
	Reason string       `json:"reason"`
	// Count is how often in a row the network has earned its ban, for a longer
	// time each time. A ban that was set by hand has 0. It holds for live flows
	// too, unlike the others.
	Count int `json:"count,omitempty"`
}

// Event tells that a ban begins, or that it is lifted before its time. Where
// bans are copied to a packet filter, that must end them itself.
type Event struct {
	Ban
	Lifted bool
}

// Ban bans p until then, or until [Guard.Unban] if until is zero. It replaces
// the ban of the same prefix. IPv6 prefixes beyond /64 are banned as the /64. The
// error wraps [ErrTrusted] or [ErrFull], or is about p itself.
func (g *Guard) Ban(p netip.Prefix, until time.Time, reason string, now time.Time) error {
	n, err := bannable(p)
	if until.Year() > 9999 { // which has no text form (RFC 3339 section 1)
		err = errors.New("beyond the year 9999; without an end it is for ever")
	}
	if err == nil {
		var events []Event
		events, err = g.bans.put(n, Ban{Until: until, Reason: reason}, g.since(now))
		g.tell(events)
	}
	if err != nil {
		return fmt.Errorf("ban %v: %w", p, err)
	}
	return nil
}

// Unban lifts the ban of p, and forgets that there ever was one. It reports
// whether one was in force.
func (g *Guard) Unban(p netip.Prefix, now time.Time) bool {
	n, err := bannable(p)
	if err != nil {
		return false
	}
	g.offenders.forget(n)
	events := g.bans.lift(g.since(now), func(r *record) bool { return r.network == n })
	g.tell(events)
	return len(events) > 0
}

// Banned returns the ban that keeps src from being served.
func (g *Guard) Banned(src Source, now time.Time) (Ban, bool) {
	if r := g.banned(src, g.hasher.address(src.Addr.Addr()), g.since(now)); r != nil {
		return r.Ban, true
	}
	return Ban{}, false
}

// banned needs the address of src.
func (g *Guard) banned(src Source, n hashed, now int64) *record {
	r := g.bans.find(src.Addr.Addr(), n, now)
	if r == nil || r.Count > 0 && g.cfg.Live(src) {
		return nil
	}
	return r
}

// Bans yields the bans in force, in the order of their prefixes.
func (g *Guard) Bans(now time.Time) iter.Seq[Ban] {
	at := g.since(now)
	return slices.Values(g.bans.all(func(r *record) bool { return r.end > at }))
}

// SetTrusted replaces the set of trusted addresses, and lifts the bans that have
// one of them. Prefixes that are not valid do not count.
func (g *Guard) SetTrusted(list []netip.Prefix, now time.Time) {
	g.tell(g.bans.trust(newPrefixes(list), g.since(now)))
}

// tell calls the hook, without a lock held.
func (g *Guard) tell(events []Event) {
	for _, e := range events {
		g.cfg.OnBan(e)
	}
}
