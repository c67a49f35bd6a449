package main

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sipward/sipward/examples/proxy/relay"
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
	loading bool // what only all bindings can tell was asked for, before there are all
}

// Lookup implements [route.Bindings].
func (f *fresh) Lookup(ctx context.Context, aor location.AOR) ([]location.Binding, error) {
	stale, unknown := f.mirror.Check(aor)
	if stale && !slices.Contains(f.stale, aor) {
		f.stale = append(f.stale, aor)
	}
	bs, err := f.store.Lookup(ctx, aor)
	if err == nil && len(bs) == 0 && unknown != nil {
		return nil, unknown
	}
	for i := range bs {
		// Whose phone is at its Contact is not known before all are.
		f.loading = f.loading || !bs[i].Flow.Remote.IsValid() && !f.mirror.Loaded()
	}
	return bs, err
}

// LookupContact implements [route.Bindings].
func (f *fresh) LookupContact(ctx context.Context, contact location.AOR) ([]location.Entry, error) {
	es, err := f.contacts.LookupContact(ctx, contact)
	if err == nil && !f.mirror.Loaded() {
		f.loading = true
		if len(es) == 0 {
			return nil, mirror.ErrUnknown
		}
	}
	return es, err
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
	retry := sync.OnceFunc(func() { p.retryRegistered(c, f.stale) })
	timer := time.AfterFunc(holdTime, retry)
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
	if f.loading {
		if missing.Add(1); !p.mirror.WhenLoaded(done) {
			missing.Add(-1)
		}
	}
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
