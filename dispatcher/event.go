package dispatcher

import (
	"slices"
	"time"
)

// Event is that a destination went down or came back. There is one for each set
// that has the PBX and where no operator has switched it off, by set id.
//
// Config.OnTransition is told one event after the other, in the order in which
// they happened, by whoever reported what caused it or by [Dispatcher.Run], with
// no lock held. It may use the Dispatcher, but must not block: that keeps the
// reporter, and the next event, waiting. So what writes states back, as
// SetState of package mysqldisp does, or calls a webhook, does that elsewhere.
type Event struct {
	// Destination is as in [Dispatcher.Update], its State is To.
	Destination

	From, To State // one of them Active, the other Probing

	// Cause says why in words, "request: 503" or "probe: " and an error.
	Cause string

	At time.Time
}

// rebuild replaces the sets that have h, after it went down or came back, and
// notes the events.
func (d *Dispatcher) rebuild(h *health) {
	t := d.table.Load()
	for _, id := range t.in[h] {
		old := t.set(id)
		i := slices.Index(old.health, h)
		set := d.newSet(id, old.members, t.health, old)
		t.sets[id].Store(set)
		if from, to := old.members[i].State, set.members[i]; from != Inactive {
			d.events = append(d.events, Event{to, from, to.State, h.cause, h.since})
		}
	}
}

// deliver tells all events that there are, unless somebody does already.
func (d *Dispatcher) deliver() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.delivering {
		return
	}
	d.delivering = true
	defer func() { d.delivering = false }() // even if OnTransition panics
	for len(d.events) > 0 {
		e := d.events[0]
		d.events = d.events[1:]
		d.tell(e)
	}
}

// tell calls OnTransition, for deliver, with mu unlocked.
func (d *Dispatcher) tell(e Event) {
	d.mu.Unlock()
	defer d.mu.Lock()
	d.cfg.OnTransition(e)
}
