package dispatcher

import "time"

// leastCalls puts first who has the fewest calls for its weight.
type leastCalls struct{}

func (leastCalls) Append(buf []Destination, set *Set, _ string) []Destination {
	turn := mix(set.Next())
	for i := range set.byWeight {
		buf = set.byWeight[i].appendLeastCalls(buf, turn)
	}
	return buf
}

func (g *group) appendLeastCalls(buf []Destination, turn uint64) []Destination {
	return g.appendBy(buf, func(i int) float64 {
		// With the call to come, so that weights count while nobody has calls.
		load := float64(g.health[i].calls.Load()+1) * g.shares[i]
		const draw = 1e-9 // decides among equals and no others
		return load * (1 + draw*unit(mix(turn^g.hashes[i])))
	})
}

// leastLatency puts first who answers soonest.
type leastLatency struct{}

func (leastLatency) Append(buf []Destination, set *Set, _ string) []Destination {
	turn := mix(set.Next())
	for i := range set.byWeight {
		buf = set.byWeight[i].appendLeastLatency(buf, turn)
	}
	return buf
}

func (g *group) appendLeastLatency(buf []Destination, turn uint64) []Destination {
	fastest := g.health[0].latency.Load()
	for _, h := range g.health[1:] {
		fastest = min(fastest, h.latency.Load())
	}
	// Noise must not decide: it would give one all requests.
	same := fastest + fastest/4 + int64(time.Millisecond)
	return g.appendBy(buf, func(i int) float64 {
		latency := g.health[i].latency.Load()
		if latency <= same { // a score that is less than that of any latency above
			return arrival(mix(turn^g.hashes[i])) * g.shares[i]
		}
		return float64(latency)
	})
}
