package simnet

import (
	"slices"
	"time"
)

// Link is what happens to packets between their sender and their receiver. The
// zero Link delivers everything at once, yet asynchronously. It works in one
// direction: what goes back is another packet.
type Link struct {
	Delay  time.Duration // one way
	Jitter time.Duration // up to so much more, evenly distributed
	// Reorder lets a packet arrive before or after others of its source and
	// destination, if its delay makes it. Otherwise it waits for those before it.
	Reorder bool
	// Loss is the probability that a packet vanishes, 0 to 1. A part of a
	// stream is sent again later, so that loss only delays it.
	Loss float64
	// Duplicate is the probability that a datagram arrives twice, 0 to 1. Each
	// copy has its own jitter.
	Duplicate float64
}

// Rule gives some packets another [Link] than the rest. The addresses that it
// matches are those on the wire; the event is Sent.
type Rule struct {
	Match Match // nil matches all
	Times int   // ends after so many packets; 0 never ends
	Link  Link
}

// AddRule adds a rule for packets sent from now on. Of several that match the
// one added last counts. It returns a function that takes the rule away again.
func (n *Network) AddRule(r Rule) (remove func()) {
	rule := &r
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rules = append(n.rules, rule)
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.removeRule(rule)
	}
}

// DropNext loses the next count packets that match; nil matches all.
func (n *Network) DropNext(count int, m Match) {
	n.AddRule(Rule{Match: m, Times: count, Link: Link{Loss: 1}})
}

// link returns the link that p takes and counts its use. The network is locked.
func (n *Network) link(p Packet) Link {
	for _, r := range slices.Backward(n.rules) {
		if r.Match != nil && !r.Match(p) {
			continue
		}
		if r.Times > 0 {
			if r.Times--; r.Times == 0 {
				n.removeRule(r)
			}
		}
		return r.Link
	}
	return n.cfg.Link
}

func (n *Network) removeRule(r *Rule) {
	n.rules = slices.DeleteFunc(n.rules, func(other *Rule) bool { return other == r })
}

// happens throws the dice.
func (n *Network) happens(probability float64) bool {
	return probability > 0 && n.random.Float64() < probability
}
