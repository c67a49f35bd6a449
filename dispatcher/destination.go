package dispatcher

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// State tells whether a destination may be selected. The numbers are those of
// the state column of OpenSIPS' dispatcher table.
type State int

// The states. Only Active destinations are selected, but see
// Config.TryIfAllDown.
const (
	// Active is in service.
	Active State = 0

	// Inactive has been switched off by an operator: never selected, never
	// probed. Its calls go on, so that it drains; see Calls of [Status].
	Inactive State = 1

	// Probing was found dead: not selected until it has been found alive.
	Probing State = 2
)

// String returns the name of the state in lower case.
func (s State) String() string {
	switch s {
	case Active:
		return "active"
	case Inactive:
		return "inactive"
	case Probing:
		return "probing"
	}
	return fmt.Sprintf("State(%d)", int(s))
}

// Destination is a PBX as a member of a set. Within its set it is identified
// by URI and Socket, as they are written. Destinations of several sets with the
// same URI and Socket are the same PBX: they share their health and their calls.
type Destination struct {
	// SetID is the number of the set, 0 or more.
	SetID int

	// URI is the SIP or SIPS URI, "sip:10.0.1.10:5060;transport=tcp".
	URI string

	// Socket is the local socket to send from. Empty is any.
	Socket string

	// State is what the operator, or whoever ran before us, says of it; in
	// what a Dispatcher returns it is the state of now.
	State State

	// Weight is the share of the requests, in proportion to the other weights.
	// 0 drains: no requests while other destinations of the set are usable. If
	// all that are usable have 0, they share equally.
	Weight int

	// Priority orders Set.Destinations and the algorithm Priority, the highest
	// first. The other algorithms give no preference to a higher one.
	Priority int

	// Tier is 0, or more for a stand-in, as SRV records of a lower preference are
	// (RFC 3263): whatever the algorithm, it comes after the destinations of all
	// lower tiers that have a weight, but with the algorithm Priority before
	// those of a lower priority.
	Tier int

	// ProbeDown has [Dispatcher.Run] probe it only while it is [Probing], as OpenSIPS
	// does with 0 in the column probe_mode: requests must find out that it is dead.
	// A PBX of several sets is probed in any state unless all of them say so.
	ProbeDown bool

	// Attrs and Description are for the caller.
	Attrs, Description string
}

// maxWeight keeps sums of weights far from overflow.
const maxWeight = math.MaxInt32

// address is what identifies a destination within its set.
type address struct{ uri, socket string }

func (d *Destination) address() address { return address{d.URI, d.Socket} }

// validate returns all faults of dst, joined.
func validate(dst []Destination) error {
	type identity struct {
		setID int
		at    address
	}
	seen := make(map[identity]bool, len(dst))
	var faults []error
	for _, d := range dst {
		errs := d.faults()
		id := identity{d.SetID, d.address()}
		if seen[id] {
			errs = append(errs, errors.New("twice in the set"))
		}
		seen[id] = true
		for _, err := range errs {
			faults = append(faults, fmt.Errorf("dispatcher: set %d: destination %q: %w", d.SetID, d.URI, err))
		}
	}
	return errors.Join(faults...)
}

// faults returns what is wrong with d by itself.
func (d Destination) faults() (faults []error) {
	if d.SetID < 0 {
		faults = append(faults, errors.New("set id is negative"))
	}
	if !isSIPURI(d.URI) {
		faults = append(faults, errors.New("not a SIP URI"))
	}
	if d.State < Active || d.State > Probing {
		faults = append(faults, fmt.Errorf("unknown state %d", int(d.State)))
	}
	if d.Weight < 0 || d.Weight > maxWeight {
		faults = append(faults, fmt.Errorf("weight %d is not between 0 and %d", d.Weight, maxWeight))
	}
	return faults
}

// isSIPURI tells apart a URI from what gets into such a field by mistake: a
// bare address, a name-addr, text with spaces. Who sends there parses it.
func isSIPURI(s string) bool {
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok || !strings.EqualFold(scheme, "sip") && !strings.EqualFold(scheme, "sips") {
		return false
	}
	unfit := func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`<>"`, r) }
	return rest != "" && !strings.HasPrefix(rest, "//") && !strings.ContainsFunc(rest, unfit)
}
