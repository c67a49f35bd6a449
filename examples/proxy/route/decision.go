package route

import (
	"fmt"
	"strings"

	"github.com/sipward/sipward/location"
)

// Decision is what to do with a request.
type Decision struct {
	Action Action
	Reason Reason // why, as a word for metrics
	Class  Class  // who sent the request

	// Status is the answer of a [Reply], and 200 of a [Local].
	Status int

	// Set is the dispatcher set of [ToSet]. Of other decisions it is the set
	// that the request was found to belong to, or -1.
	Set int

	// AOR is whose phones the Targets of [ToPhones] are, and whose REGISTER to
	// wait for with [Wait]. Of [ToSet] it is the caller, or the AOR that
	// registers, if that belongs to the set, and with the Reason [Hairpin] who is
	// called. With the Reason [Ambiguous] it is one of the users that a PBX could
	// mean, and Rival is another.
	AOR   location.AOR
	Rival location.AOR

	// Targets of ToPhones are complete bindings of one AOR, the best first, at
	// least one and at most [MaxTargets]. They share no memory with the store.
	// The Request-URI for each is its Contact, byte for byte.
	Targets []location.Binding
	Fork    Fork // how to try them: Parallel or Serial

	// Registered tells with ToSet that the AOR has a phone registered from the
	// source of the request, and Registrar which upstream granted that, if it
	// is known. The dispatcher should prefer it.
	Registered bool
	Registrar  string

	// ToDiffers tells that Request-URI and To name different hosts, which is
	// no fault but worth a counter.
	ToDiffers bool

	// Err is the error of the store if the Reason is [StoreFailed].
	Err error

	Trail []Step // of [Explain]
}

// AffinityKey returns what [ToSet] should choose the destination by, so that
// an AOR stays with the PBX that knows it: the AOR, or the address of src if
// there is none. Ports of phones change too often to be part of it.
func (d *Decision) AffinityKey(src Source) string {
	if d.AOR.IsValid() {
		return d.AOR.String()
	}
	return src.Addr.Addr().Unmap().String()
}

// String returns the decision in one line.
func (d *Decision) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", d.Class)
	switch d.Action {
	case ToPhones:
		fmt.Fprintf(&b, "to %s", d.AOR)
		if len(d.Targets) > 1 {
			fmt.Fprintf(&b, ", %d phones, %s", len(d.Targets), d.Fork)
		}
	case ToSet:
		fmt.Fprintf(&b, "to set %d", d.Set)
		if d.AOR.IsValid() {
			fmt.Fprintf(&b, " for %s", d.AOR)
		}
		if d.Registered {
			b.WriteString(", registered")
		}
		if d.Registrar != "" {
			fmt.Fprintf(&b, " by %s", d.Registrar)
		}
	case Reply, Local:
		fmt.Fprintf(&b, "answer %d", d.Status)
	case Wait:
		fmt.Fprintf(&b, "wait for the REGISTER of %s", d.AOR)
	default:
		b.WriteString(d.Action.String())
	}
	fmt.Fprintf(&b, " (%s)", d.Reason)
	if d.Rival.IsValid() {
		fmt.Fprintf(&b, ": %s or %s", d.AOR, d.Rival)
	}
	if d.Err != nil {
		fmt.Fprintf(&b, ": %v", d.Err)
	}
	return b.String()
}

// Action is what a [Decision] says to do.
type Action uint8

// The actions. The zero Action is Drop, so that a decision not taken does no
// harm.
const (
	// Drop does nothing: no answer is sent.
	Drop Action = iota
	// Reply answers with the Status.
	Reply
	// Local answers 200, the request being for the proxy itself.
	Local
	// ToPhones sends the request to the Targets.
	ToPhones
	// ToSet sends it to a PBX of the Set.
	ToSet
	// ToURI sends it on in its dialog: to the NextRoute of the [Request] if it
	// has one, else to its Alias, else to its Request-URI.
	ToURI
	// Wait holds the request until the REGISTER of the AOR has been answered,
	// or a moment at most, and then decides again, if need be with nothing
	// Pending so that there is an end.
	Wait
)

var actionNames = [...]string{"drop", "answer", "answer here", "to phones", "to a set", "along its dialog", "wait"}

// String returns the action in plain words.
func (a Action) String() string { return actionNames[a] }

// Class is the kind of peer that a request came from.
type Class uint8

// The classes.
const (
	// Unknown is whoever names nothing that is served here.
	Unknown Class = iota
	// Phone is whoever names a domain or PBX that is served here, truthfully or
	// not: to authenticate it is up to the PBX.
	Phone
	// PBX is a source of a dispatcher set.
	PBX
)

var classNames = [...]string{"unknown", "phone", "pbx"}

// String returns the class as a metric label.
func (c Class) String() string { return classNames[c] }

// Reason is why a decision was taken. There are few and they do not change
// their names, so a counter may have them as a label.
type Reason uint8

// The reasons, first those of requests that go on.
const (
	Token          Reason = iota // the token in our own Contact names the phone
	Domain                       // the Request-URI (To of a REGISTER) names the domain
	ToDomain                     // To names the domain
	FromDomain                   // From names it
	AssertedDomain               // P-Asserted-Identity names it
	ContactMatch                 // one AOR has a phone at the address in the Request-URI
	OnlyCandidate                // the user is bound in one domain of the PBX only
	UniqueUser                   // a stranger's INVITE for the only user of that name; see Policy.RingUnique
	PBXAlias                     // the Request-URI has the address of a PBX of the set
	Hairpin                      // a PBX calls a domain of another tenant; see Lookup.Hairpin
	InDialog                     // the dialog is ours
	KeepAlive                    // OPTIONS to the proxy itself

	Pending         // not bound, but a REGISTER is on its way
	Missing         // not bound
	UnknownToken    // no live binding has the token
	Ambiguous       // several domains or AORs could be meant
	NoDomain        // the sets of the PBX serve no domain
	ForeignDomain   // the PBX names a domain of somebody else
	UnknownDomain   // nobody here serves the host of the Request-URI (To of a REGISTER)
	DomainMismatch  // Request-URI and To of a REGISTER name different domains
	OwnAddress      // a user at the proxy's own address, or a dialog that would loop
	ForeignTarget   // a phone wants to go to something that is no PBX, in a dialog
	UntrustedDialog // no Route of ours proves the dialog
	NoUser          // the URI has no user, or none that could exist
	BadURI          // the Request-URI (To of a REGISTER) is no SIP or SIPS URI
	StrayACK        // an ACK that belongs to nothing
	StoreFailed     // the location store did not answer
	numReasons
)

var reasonNames = [numReasons]string{
	"token", "domain", "to_domain", "from_domain", "asserted_domain", "contact_match", "only_candidate",
	"unique_user", "pbx_alias", "hairpin", "in_dialog", "keepalive",
	"pending", "missing", "unknown_token", "ambiguous", "no_domain", "foreign_domain", "unknown_domain", "domain_mismatch",
	"own_address", "foreign_target", "untrusted_dialog", "no_user", "bad_uri", "stray_ack", "store_failed",
}

// String returns the reason as a metric label.
func (r Reason) String() string { return reasonNames[r] }

// Reasons returns all reasons, for counters that must exist from the start.
func Reasons() []Reason {
	all := make([]Reason, numReasons)
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}

func drop(why Reason) Decision { return Decision{Action: Drop, Reason: why, Set: -1} }

func reply(status int, why Reason) Decision {
	return Decision{Action: Reply, Status: status, Reason: why, Set: -1}
}

// answer is the decision that a policy asks for, fallback being its default.
func answer(a, fallback Answer, why Reason) Decision {
	if a == 0 {
		a = fallback
	}
	if a == Silent {
		return drop(why)
	}
	return reply(int(a), why)
}

// storeFailed refuses instead of deciding on half of the bindings.
func (d *decider) storeFailed(err error) Decision {
	dec := reply(500, StoreFailed)
	dec.Err = err
	return dec
}
