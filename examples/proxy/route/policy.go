package route

// Policy is what an operator may choose. The zero Policy is a sensible one.
type Policy struct {
	Lookup

	// UnknownDomain is the answer to requests that are neither from a PBX nor
	// for a domain that is served; Silent if 0, because most are scans. A phone
	// that is registered where the request comes from gets 404, or 416, anyway.
	UnknownDomain Answer

	// RingUnique lets an INVITE ring a phone though no PBX sends from its
	// source, if it names a user at the proxy's own address and, in Request-URI,
	// To and From, no domain that is served, and if that user is bound in one
	// domain only of all that there are. The Reason is then [UniqueUser], which
	// should be logged each time: whoever knows a number can ring it. It costs a
	// lookup for each domain, 0.3 ms for a thousand in memory.
	RingUnique bool

	// Sets has the Lookup of dispatcher sets that want another one. It is
	// taken as a whole.
	Sets map[int]Lookup
}

// Lookup is the part of a [Policy] about requests from a PBX.
type Lookup struct {
	// Missing is the answer if the user is not bound; 404 if 0.
	Missing Answer
	// MissingOptions is Missing for OPTIONS; 404 if 0. Asterisk takes any
	// answer for a sign of life unless qualify_2xx_only is set; Silent then
	// makes the absent phone unreachable to it.
	MissingOptions Answer
	// Ambiguous is the answer if the request could mean several users; 404 if 0.
	Ambiguous Answer
	// Fork is for requests to a user with several phones. It does not count
	// for NOTIFY and MESSAGE, which go to all of them, nor for OPTIONS, which
	// asks one.
	Fork Fork
	// Hairpin lets the PBXes of the set send requests for a domain of another
	// tenant: they go to the PBXes of that tenant, as a stranger's would, and not
	// to its phones. Off, they are refused with 404. Two PBXes that send each
	// other what they do not know make a loop that no Via shows.
	Hairpin bool
}

// lookup returns what counts for a set, -1 for requests of several.
func (p *Policy) lookup(set int) Lookup {
	if l, ok := p.Sets[set]; ok {
		return l
	}
	return p.Lookup
}

// Missing returns the answer to a request of a PBX for a user who is not bound,
// or cannot be reached. Set is that of the PBX, -1 if it is one of several. The
// zero Answer stands for 404.
func (p *Policy) Missing(set int, method string) Answer {
	l := p.lookup(set)
	if method == "OPTIONS" {
		return l.MissingOptions
	}
	return l.Missing
}

// Answer is a final status from 400 to 699, or [Silent]. The zero Answer
// stands for the default of the field it is in.
type Answer int

// Silent means no answer at all.
const Silent Answer = -1

// Fork is how a request goes to a user with several phones.
type Fork uint8

// The ways to fork.
const (
	Parallel Fork = iota // to all at once
	Serial               // one after the other, the best first
	Newest               // to the one registered last
)

var forkNames = [...]string{"parallel", "serial", "newest"}

// String returns the name of f as configurations have it.
func (f Fork) String() string { return forkNames[f] }
