package guard

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Snapshot returns the bans, with those that have ended and are remembered, as
// JSON for [Guard.Restore]: a list of [Ban].
func (g *Guard) Snapshot(now time.Time) ([]byte, error) {
	at := g.since(now)
	return json.Marshal(g.bans.all(func(r *record) bool { return r.end > at-memory }))
}

// maxCount is more often than anybody can have earned a ban.
const maxCount = 1_000_000

// Restore adds the bans of a snapshot, and replaces those of the same prefix.
// Bans with a trusted address are left out, so trust must be set before. The
// error joins what is wrong with data; nothing has changed then.
func (g *Guard) Restore(data []byte, now time.Time) error {
	var list []Ban
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("guard: snapshot: %w", err)
	}
	if len(list) > maxBans {
		return fmt.Errorf("guard: snapshot: %d bans are too many", len(list))
	}
	networks := make([]network, len(list))
	var errs []error
	for i, b := range list {
		var err error
		if networks[i], err = bannable(b.Prefix); err != nil {
			errs = append(errs, fmt.Errorf("guard: snapshot: ban %v: %w", b.Prefix, err))
		}
		if b.Count < 0 || b.Count > maxCount || b.Count > 0 && b.Until.IsZero() {
			errs = append(errs, fmt.Errorf("guard: snapshot: ban %v: nobody has earned that", b.Prefix))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	at := g.since(now)
	for i, b := range list {
		events, _ := g.bans.put(networks[i], b, at) // trusted, or no room: left out
		g.tell(events)
	}
	return nil
}
