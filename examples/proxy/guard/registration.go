package guard

import (
	"slices"
	"strings"
	"time"
)

// Registration is what became of a REGISTER.
type Registration struct {
	// Status is the answer of the PBX.
	Status int
	// Credentials are the value of Authorization or Proxy-Authorization in the
	// request; "" if it has none.
	Credentials string
	// Challenges are the values of WWW-Authenticate and Proxy-Authenticate in the
	// answer.
	Challenges []string
	// Until is when the last of the bindings ends that a 2xx grants; zero if it
	// grants none.
	Until time.Time
}

// Registered notes what became of a REGISTER from src. One that is accepted
// makes the address known, gives back what it took of the limits, and lifts the
// ban that the address has earned. It is a failure if the credentials are
// refused, by 403 or 404 or by another challenge, unless that says that only the
// nonce was stale. The first challenge is none, nor is any other answer: it is
// not the sender's fault.
func (g *Guard) Registered(src Source, r Registration, now time.Time) Failure {
	at, n := g.since(now), g.hasher.address(src.Addr.Addr())
	proven := !src.forgeable() || g.challenges.answers(n.network, r.Credentials, at)
	for _, c := range r.Challenges {
		g.challenges.note(n.network, c, at)
	}
	switch r.Status {
	case 401, 407:
		if r.Credentials == "" || slices.ContainsFunc(r.Challenges, stale) {
			return Failure{}
		}
		return g.failed(src, FailedRegistration, proven, at)
	case 403, 404:
		return g.failed(src, FailedRegistration, proven, at)
	}
	if r.Status/100 != 2 || !r.Until.After(now) {
		return Failure{}
	}
	// A PBX that asks for no credentials knows what it does. Those for an old
	// challenge may come from a customer who forges the address of another.
	if proven || r.Credentials == "" || g.known.get(n.network, at) != nil {
		g.welcome(src, n, g.since(r.Until), at)
	}
	return Failure{}
}

func stale(challenge string) bool { return strings.EqualFold(authParam(challenge, "stale"), "true") }

// registrationCost is what a registration takes of a limit: the REGISTER and the
// one with credentials, each of them sent twice.
const registrationCost = 4

// welcome notes that a phone is registered from n, the address of src.
func (g *Guard) welcome(src Source, n hashed, until, now int64) {
	a := g.known.add(n.network, until)
	tokens{g.addresses.rate, &a.bucket}.giveBack(now, registrationCost)
	g.addresses.of(n).giveBack(now, registrationCost)
	g.networks.of(g.hasher.around(src.Addr.Addr())).giveBack(now, registrationCost)
	if src.forgeable() {
		g.strangers.giveBack(now, registrationCost)
	}
	g.offenders.forget(n.network)
	if g.bans.find(src.Addr.Addr(), n, now) != nil {
		g.tell(g.bans.lift(now, func(r *record) bool { return r.network == n.network && r.Count > 0 }))
	}
}
