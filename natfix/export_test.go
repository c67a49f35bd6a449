package natfix

import (
	"context"
	"time"
)

// Failing returns for how many bindings k counts losses.
func (k *Keepalive) Failing() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.losses)
}

// Rounds returns a func that looks for the pings of k's next round.
func (k *Keepalive) Rounds(ctx context.Context) (next func() (pings int, err error)) {
	var r round
	var from time.Duration
	return func() (int, error) {
		err := r.fill(ctx, &k.cfg, from)
		from += roundTime
		return len(r.pings), err
	}
}
