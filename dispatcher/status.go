package dispatcher

import (
	"maps"
	"slices"
	"time"
)

// Status is a destination with what is known of it. Destinations of several
// sets with the same URI and Socket are one PBX, and all but the Destination
// itself is about that PBX.
type Status struct {
	Destination // with the state of now

	// Calls is the number of attempts that have begun and not ended: requests
	// without a final response, and calls if the program follows them, see
	// [Attempt.End]. Then a destination that an operator has switched off has
	// drained when it is 0. A destination that was gone and is back begins at 0.
	Calls int

	// Latency is how long it takes to the first response, of probes and
	// requests that do not fail, smoothed; 0 if there was none.
	Latency time.Duration

	// Failures is the number of probes and requests that have failed, whether
	// they counted for the health or not.
	Failures uint64

	// Since is when the PBX went down, came back, or was first loaded or
	// switched on or off by an operator.
	Since time.Time

	// Cause is that of the last [Event]; empty if an operator's doing, or
	// nothing, came after it.
	Cause string
}

// Status returns all destinations, usable or not, by set id and then as in
// Update.
func (d *Dispatcher) Status() []Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.table.Load()
	var all []Status
	for _, id := range slices.Sorted(maps.Keys(t.sets)) {
		set := t.set(id)
		for i, h := range set.health {
			all = append(all, Status{
				Destination: set.members[i],
				Calls:       int(h.calls.Load()),
				Latency:     time.Duration(h.latency.Load()),
				Failures:    h.failures.Load(),
				Since:       h.since,
				Cause:       h.cause,
			})
		}
	}
	return all
}
