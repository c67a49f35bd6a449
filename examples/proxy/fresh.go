package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/mirror"
)

// fresh is what one decision sees of the bindings while memory does not have all
// of the database, or must not be trusted for so long. It notes what should be
// read before: a phone of another tenant that is not known yet could make two
// candidates of one.
type fresh struct {
	*Proxy
	stale   []location.AOR
	loading bool   // what only all bindings can tell was asked for, before there are all
	unknown error  // there may be bindings that were not seen
	domain  string // the last one that was asked for
	several bool   // there were others
}

// Lookup implements [route.Bindings].
func (f *fresh) Lookup(ctx context.Context, aor location.AOR) ([]location.Binding, error) {
	f.ask(aor)
	stale, unknown := f.mirror.Check(aor)
	if stale && !slices.Contains(f.stale, aor) {
		f.stale = append(f.stale, aor)
	}
	bs, err := f.store.Lookup(ctx, aor)
	if len(bs) == 0 && (stale || unknown != nil) && !f.mirror.Loaded() {
		f.unknown = errors.Join(mirror.ErrUnknown, unknown)
	}
	for i := range bs {
		// Whose phone is at its Contact is not known before all are.
		f.loading = f.loading || !bs[i].Flow.Remote.IsValid() && !f.mirror.Loaded()
	}
	return bs, err
}

// LookupContact implements [route.Bindings].
func (f *fresh) LookupContact(ctx context.Context, contact location.AOR) ([]location.Entry, error) {
	f.ask(contact)
	if !f.mirror.Loaded() {
		f.loading, f.unknown = true, mirror.ErrUnknown
	}
	return f.contacts.LookupContact(ctx, contact)
}

// ask notes which domains were asked for.
func (f *fresh) ask(aor location.AOR) {
	f.several = f.several || f.domain != "" && f.domain != aor.Domain()
	f.domain = aor.Domain()
}

// settle replaces a decision about a phone that bindings which were not seen
// could change. Without the database nobody knows when they will be seen; then
// the phone is called that is known, if it can be no other tenant's.
func (f *fresh) settle(req *route.Request, d *route.Decision) {
	if f.unknown == nil || d.Class != route.PBX && d.Action != route.ToPhones || req.InDialog || d.Action == route.Local {
		return
	}
	if d.Action == route.ToPhones && !f.several && !f.mirror.Healthy() {
		return
	}
	*d = route.Decision{Action: route.Reply, Status: 503, Reason: route.StoreFailed, Class: d.Class, Set: -1, Err: f.unknown, Trail: d.Trail}
}

// certain reports whether memory alone tells where phones are.
func (b *bindings) certain() bool { return b.mirror == nil || b.mirror.Certain() }

// refreshed lets the request wait, once and not for long, until what was asked
// for is read, and for a REGISTER of one of these that is on its way. It reports
// false if there is nothing to wait for.
func (p *Proxy) refreshed(c *relay.Context, f *fresh) bool {
	if c.Retried || len(f.stale) == 0 && !f.loading {
		return false
	}
	var missing atomic.Int32
	missing.Store(1) // ours, until all reads are begun
	// A read can know done for longer than the request waits; the Once does not
	// know the request by then.
	retry := sync.OnceFunc(func() { p.retryRegistered(c, f.stale) })
	var timer *time.Timer
	done := func() {
		if missing.Add(-1) == 0 && timer.Stop() {
			retry()
		}
	}
	for _, aor := range f.stale {
		if missing.Add(1); !p.mirror.Refresh(aor, done) {
			missing.Add(-1)
		}
	}
	late := retry
	if f.loading {
		missing.Add(1)
		if stop := p.mirror.WhenLoaded(done); stop != nil {
			late = func() { stop(); retry() }
		} else {
			missing.Add(-1)
		}
	}
	timer = time.AfterFunc(holdTime, late) // ours is missing: nobody has stopped it yet
	done()
	return true
}

// retryRegistered decides on the request again, or when a REGISTER that it has
// overtaken is through.
func (p *Proxy) retryRegistered(c *relay.Context, aors []location.AOR) {
	for _, aor := range aors {
		bs, err := p.store.Lookup(context.Background(), aor)
		if err == nil && len(bs) == 0 && p.pending.wait(aor, c.Retry) {
			return
		}
	}
	c.Retry()
}
