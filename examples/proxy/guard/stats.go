package guard

import "sync/atomic"

// Stats are counts since [New].
type Stats struct {
	// Messages that [Guard.Admit] refused.
	OverAddress uint64 // their address was over its limit
	OverNetwork uint64 // the network around it was
	Banned      uint64

	// Requests that [Guard.AdmitNew] refused.
	OverStrangers uint64
	Overloaded    uint64

	// Connections that [Guard.AdmitConnection] refused.
	ConnectionsOverNetwork uint64 // their network, or known address, was over its limit
	ConnectionsOverAll     uint64
	ConnectionsBanned      uint64

	Failures map[Reason]uint64 // each Reason is there
	Unproven uint64            // of all Failures: not held against anybody
	Earned   uint64            // bans that were not set by hand
}

// counters is what Stats is made of. What is served is not counted here: all
// would wait for one another at that counter.
type counters struct {
	overAddress, overNetwork, banned, overStrangers, overloaded, unproven, earned atomic.Uint64
	connectionsOverNetwork, connectionsOverAll, connectionsBanned                 atomic.Uint64
	failures                                                                      [256]atomic.Uint64 // by Reason
}

// Stats returns the counts.
func (g *Guard) Stats() Stats {
	c := &g.count
	s := Stats{
		OverAddress:            c.overAddress.Load(),
		OverNetwork:            c.overNetwork.Load(),
		Banned:                 c.banned.Load(),
		OverStrangers:          c.overStrangers.Load(),
		Overloaded:             c.overloaded.Load(),
		ConnectionsOverNetwork: c.connectionsOverNetwork.Load(),
		ConnectionsOverAll:     c.connectionsOverAll.Load(),
		ConnectionsBanned:      c.connectionsBanned.Load(),
		Failures:               make(map[Reason]uint64, reasons),
		Unproven:               c.unproven.Load(),
		Earned:                 c.earned.Load(),
	}
	for r := range Reason(reasons) {
		s.Failures[r] = c.failures[r].Load()
	}
	return s
}
