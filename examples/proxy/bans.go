package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/sipward/sipward/examples/proxy/guard"
)

// serveBans answers with the bans in force, a list of [guard.Ban].
func (p *Proxy) serveBans(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, append([]guard.Ban{}, slices.Collect(p.guard.Bans(time.Now()))...))
}

// maxBanReason is how many bytes the reason of a ban may have: there may be many
// of them.
const maxBanReason = 255

// serveBan bans a prefix, by the parameters prefix, for and reason. Without for it
// is until it is lifted. It answers with the ban.
func (p *Proxy) serveBan(w http.ResponseWriter, r *http.Request) {
	q, now := r.URL.Query(), time.Now()
	b := guard.Ban{Reason: q.Get("reason")}
	var err error
	if len(b.Reason) > maxBanReason {
		http.Error(w, "the reason is too long", http.StatusBadRequest)
		return
	}
	if b.Prefix, err = parseBanned(q.Get("prefix")); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if q.Has("for") {
		d, err := time.ParseDuration(q.Get("for"))
		if err != nil || d <= 0 {
			http.Error(w, fmt.Sprintf("%q is no time for a ban", q.Get("for")), http.StatusBadRequest)
			return
		}
		b.Until = now.Add(d).Round(time.Second)
	}
	switch err := p.guard.Ban(b.Prefix, b.Until, b.Reason, now); {
	case errors.Is(err, guard.ErrTrusted):
		http.Error(w, err.Error(), http.StatusConflict)
	case errors.Is(err, guard.ErrFull):
		http.Error(w, err.Error(), http.StatusInsufficientStorage)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		writeJSON(w, b)
	}
}

// serveUnban lifts the ban of the parameter prefix, and answers with that. That
// there is none is 404.
func (p *Proxy) serveUnban(w http.ResponseWriter, r *http.Request) {
	prefix, err := parseBanned(r.URL.Query().Get("prefix"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !p.guard.Unban(prefix, time.Now()) {
		http.Error(w, fmt.Sprintf("no ban of %v is in force", prefix), http.StatusNotFound)
		return
	}
	writeJSON(w, guard.Ban{Prefix: prefix})
}

// parseBanned reads a prefix, or an address alone, as the guard has it in a ban.
func parseBanned(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if a, addrErr := netip.ParseAddr(s); addrErr == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	if err != nil || p.Addr().Is4In6() {
		return p, fmt.Errorf("%q is neither a prefix nor an address", s)
	}
	if p.Addr().Is6() { // whoever has an address of a /64 has all of them
		p = netip.PrefixFrom(p.Addr(), min(p.Bits(), 64))
	}
	return p.Masked(), nil
}
