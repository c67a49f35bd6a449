package mysqltenant

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	defaultLookupTimeout = 3 * time.Second

	// maxLookups is how many names may be asked for at once: so many that hang keep
	// nobody else from being asked, even at the first time.
	maxLookups = 128
)

// errNotAsked reports a name whose turn did not come in time.
var errNotAsked = errors.New("not asked, since others took all the time")

// Name is what to ask for to find a destination that is no address.
type Name struct {
	// Host is the canonical name of the host.
	Host string

	// Service is that of the SRV records which say where it is, "_sip._udp",
	// "_sip._tcp" or "_sips._tcp", unless it has none. Empty for a destination
	// with a port, which has its addresses and nothing else.
	Service string
}

// NameOf returns the name in the URI of a destination. It is false for an address,
// and for what is no SIP URI.
func NameOf(uri string) (name Name, ok bool) {
	e, err := parseDestination(uri)
	if err != nil || e.addr.IsValid() {
		return Name{}, false
	}
	return e.name, true
}

// String returns the name that the SRV records have, or that of the host.
func (n Name) String() string {
	if n.Service == "" {
		return n.Host
	}
	return n.Service + "." + n.Host
}

// Target is one of the places that a name leads to.
type Target struct {
	Addr netip.Addr

	// Port is that of the SRV record; 0 without one, which stands for the
	// destination's own or the default.
	Port uint16

	// Host is the name that the SRV record has, whose address it is. Empty without
	// one.
	Host string

	// Priority and Weight are those of the SRV record: the lowest priority first.
	Priority, Weight uint16
}

// At returns where the target is if a destination without SRV records has port.
func (t Target) At(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(t.Addr, cmp.Or(t.Port, port))
}

// NamesConfig configures a [Names]. The zero NamesConfig is ready to use.
type NamesConfig struct {
	// Resolver is whom to ask. Nil is net.DefaultResolver.
	Resolver Resolver

	// Timeout bounds all lookups of a call of Resolve together. What takes longer
	// has failed, and is asked for after all others the next time. 0 is 3 seconds,
	// which leaves time to a load of [tenant.Live].
	Timeout time.Duration
}

// Names finds out where names lead (RFC 3263, without NAPTR) and remembers the last
// answers, so that a PBX that is known by its name does not become a stranger when
// DNS fails. It is safe for concurrent use.
type Names struct {
	cfg NamesConfig

	mu   sync.Mutex
	last map[Name]Answer
}

// NewNames returns a Names that knows no answers.
func NewNames(cfg NamesConfig) *Names {
	if cfg.Resolver == nil {
		cfg.Resolver = system{}
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultLookupTimeout
	}
	return &Names{cfg: cfg}
}

// Answer is what is known of a name.
type Answer struct {
	// Targets are where it leads, 64 places at most, the same address and port once;
	// by SRV records the lowest priority first. They are of an earlier answer if there
	// is an Err that concerns them, and in the order of the last one as long as they
	// are the same. They are shared and must not be changed.
	Targets []Target

	// Err says what of the name was not resolved now. It wraps [ErrLookup].
	Err error

	// Asked is when the name was asked for. Zero if others took all the time.
	Asked time.Time

	// TTL says for how long the targets count from Asked on; 0 if that is not known.
	TTL time.Duration
}

// Resolve looks up names, but those whose last answer is one to keep, and forgets
// the answers of all others. Keep may be nil, which keeps none, or is told of each
// last answer. A name that fails, or does not exist anymore as a broken server
// likes to say, keeps its targets, and so does a host that its SRV records name.
func (n *Names) Resolve(ctx context.Context, names []Name, keep func(Answer) bool) map[Name]Answer {
	n.mu.Lock()
	last := n.last
	n.mu.Unlock()
	answers := make(map[Name]Answer, len(names))
	var ask []Name
	for _, name := range names {
		if a, known := last[name]; known && keep != nil && keep(a) {
			answers[name] = a
		} else {
			ask = append(ask, name)
		}
	}
	inTurn(ask, last)
	for i, a := range n.lookupAll(ctx, ask, last) {
		answers[ask[i]] = a
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last = answers
	return maps.Clone(answers)
}

// inTurn sorts names into the order in which to ask for them: those that were
// asked in vain come last, the one that has waited longest first.
func inTurn(names []Name, last map[Name]Answer) {
	failed := func(name Name) time.Time {
		if a := last[name]; a.Err != nil {
			return a.Asked
		}
		return time.Time{}
	}
	slices.SortFunc(names, func(a, b Name) int {
		return cmp.Or(failed(a).Compare(failed(b)), cmp.Compare(a.String(), b.String()))
	})
}

// lookupAll returns an answer for each name.
func (n *Names) lookupAll(ctx context.Context, names []Name, last map[Name]Answer) []Answer {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Timeout)
	defer cancel()
	answers := make([]Answer, len(names))
	slots := make(chan struct{}, maxLookups)
	var wg sync.WaitGroup
	for i, name := range names {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			answers[i] = n.lookup(ctx, name, last[name])
		})
	}
	wg.Wait()
	return answers
}

// lookup returns the answer for a name, after the last one.
func (n *Names) lookup(ctx context.Context, name Name, last Answer) Answer {
	var a Answer
	if err := ctx.Err(); err != nil {
		a.Err = fmt.Errorf("%w: %w", errNotAsked, err)
		if last.Err != nil {
			a.Asked = last.Asked // in vain, which still counts
		}
	} else {
		asked := time.Now()
		a = n.locate(ctx, name, last.Targets)
		a.Asked = asked
	}
	if a.Err != nil {
		a.TTL = 0
	}
	switch {
	case a.Err != nil && a.Targets == nil && last.Targets != nil:
		a.Targets = last.Targets
		a.Err = fmt.Errorf("%w: %s, its last answer counts: %w", ErrLookup, name.Host, a.Err)
	case a.Err != nil:
		a.Err = fmt.Errorf("%w: %s: %w", ErrLookup, name.Host, a.Err)
	}
	if sameTargets(a.Targets, last.Targets) {
		a.Targets = last.Targets
	}
	return a
}

// sameTargets reports whether two lists without duplicates differ in their order
// at most, which servers change with each answer.
func sameTargets(a, b []Target) bool {
	other := func(t Target) bool { return !slices.Contains(b, t) }
	return len(a) == len(b) && !slices.ContainsFunc(a, other)
}
