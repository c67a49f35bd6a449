package main

import (
	"github.com/sipward/sipward/examples/proxy/guard"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/natfix"
)

// setPolicy is what the proxy does for the phones of a set beyond routing, and how
// much it does.
type setPolicy struct {
	own   bool // the PBX gets Contacts of ours in place of theirs
	path  bool // the PBX gets a Path of ours
	sdp   natfix.SDPPolicy
	pings pings
	most  guard.Ceiling
}

func setPolicyOf(p config.Policy) setPolicy {
	return setPolicy{
		own:   p.Register.Contact != config.ContactPreserve,
		path:  p.Register.Path,
		sdp:   sdpPolicy(p.NAT.SDP),
		pings: pings{p.NAT.Ping, p.NAT.PingInterval},
		most:  ceilingOf(p.Limits),
	}
}

func sdpPolicy(s config.SDP) natfix.SDPPolicy {
	switch s {
	case config.SDPAuto:
		return natfix.SDPAuto
	case config.SDPForce:
		return natfix.SDPForce
	}
	return natfix.SDPOff
}

// setPolicies are those of the sets that the file has, and that of all others.
type setPolicies struct {
	others setPolicy
	sets   map[int]setPolicy
}

func setPoliciesOf(cfg *config.Config) setPolicies {
	all := setPolicies{others: setPolicyOf(cfg.Common()), sets: map[int]setPolicy{}}
	for i := range cfg.Tenants {
		all.sets[cfg.Tenants[i].SetID] = setPolicyOf(cfg.Tenants[i].Policy)
	}
	return all
}

// of returns the policy of a set.
func (s *setPolicies) of(set int) setPolicy {
	if own, ok := s.sets[set]; ok {
		return own
	}
	return s.others
}
