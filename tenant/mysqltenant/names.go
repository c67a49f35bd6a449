package mysqltenant

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	defaultLookupTimeout = 3 * time.Second

	// maxLookups is how many lookups may run at once: so many names that hang keep
	// nobody else from being asked, even at the first time.
	maxLookups = 128
)

// errNotAsked reports a host whose turn did not come in time.
var errNotAsked = errors.New("not asked, since others took all the time")

// NamesConfig configures a [Names]. The zero NamesConfig is ready to use.
type NamesConfig struct {
	// LookupHost resolves the name of a host to addresses of either family. It
	// must end when ctx is done, and is called by several goroutines at once. Nil
	// is net.DefaultResolver.
	LookupHost func(ctx context.Context, host string) ([]netip.Addr, error)

	// Timeout bounds all lookups of a call of Resolve together. What takes longer
	// has failed, and is asked for after all others the next time. 0 is 3 seconds,
	// which leaves time to a load of [tenant.Live].
	Timeout time.Duration
}

// Names resolves host names and remembers the last answers, so that a PBX that
// is known by its name does not become a stranger when DNS fails. It is safe
// for concurrent use.
type Names struct {
	cfg NamesConfig

	mu     sync.Mutex
	last   map[string][]netip.Addr // by host
	failed map[string]time.Time    // when a host was asked in vain, if it has not answered since
}

// NewNames returns a Names that knows no answers.
func NewNames(cfg NamesConfig) *Names {
	if cfg.LookupHost == nil {
		cfg.LookupHost = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultLookupTimeout
	}
	return &Names{cfg: cfg}
}

// Answer is what is known of a host.
type Answer struct {
	// Addrs are its addresses, each once, of an earlier answer if there is an
	// Err, and in the order of the last answer as long as they are the same. It
	// is shared and must not be changed.
	Addrs []netip.Addr

	// Err says why the name was not resolved now. It wraps [ErrLookup].
	Err error
}

// Resolve looks up hosts, and forgets the answers of all others. A host that
// fails, or does not exist anymore as a broken server likes to say, keeps its
// last answer.
func (n *Names) Resolve(ctx context.Context, hosts []string) map[string]Answer {
	hosts = n.inTurn(hosts)
	fresh := n.lookupAll(ctx, hosts)
	n.mu.Lock()
	defer n.mu.Unlock()
	answers := make(map[string]Answer, len(hosts))
	last := make(map[string][]netip.Addr, len(hosts))
	failed, now := make(map[string]time.Time), time.Now()
	for i, host := range hosts {
		a := fresh[i]
		switch at, known := n.failed[host]; {
		case a.Err != nil && !errors.Is(a.Err, errNotAsked):
			failed[host] = now
		case a.Err != nil && known:
			failed[host] = at
		}
		switch old, known := n.last[host]; {
		case a.Err != nil && known:
			a = Answer{old, fmt.Errorf("%w: %s, its last answer counts: %w", ErrLookup, host, a.Err)}
		case a.Err != nil:
			a = Answer{nil, fmt.Errorf("%w: %s: %w", ErrLookup, host, a.Err)}
		case sameAddrs(a.Addrs, old):
			a.Addrs = old
		}
		answers[host] = a
		if a.Addrs != nil {
			last[host] = a.Addrs
		}
	}
	n.last, n.failed = last, failed
	return answers
}

// inTurn returns hosts in the order in which to ask for them: those that were
// asked in vain come last, the one that has waited longest first.
func (n *Names) inTurn(hosts []string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	hosts = slices.Clone(hosts)
	slices.SortStableFunc(hosts, func(a, b string) int { return n.failed[a].Compare(n.failed[b]) })
	return hosts
}

// sameAddrs reports whether two lists without duplicates differ in their order
// at most, which servers change with each answer.
func sameAddrs(a, b []netip.Addr) bool {
	other := func(addr netip.Addr) bool { return !slices.Contains(b, addr) }
	return len(a) == len(b) && !slices.ContainsFunc(a, other)
}

// lookupAll returns an answer for each host.
func (n *Names) lookupAll(ctx context.Context, hosts []string) []Answer {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Timeout)
	defer cancel()
	answers := make([]Answer, len(hosts))
	slots := make(chan struct{}, maxLookups)
	var wg sync.WaitGroup
	for i, host := range hosts {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			answers[i] = n.lookup(ctx, host)
		})
	}
	wg.Wait()
	return answers
}

func (n *Names) lookup(ctx context.Context, host string) Answer {
	if err := ctx.Err(); err != nil {
		return Answer{Err: fmt.Errorf("%w: %w", errNotAsked, err)}
	}
	found, err := n.cfg.LookupHost(ctx, host)
	if err != nil {
		return Answer{Err: err}
	}
	var addrs []netip.Addr // a new one: found may be the resolver's own
	for _, a := range found {
		a = a.Unmap()
		if a.IsValid() && !a.IsUnspecified() && a.Zone() == "" && !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) == 0 {
		return Answer{Err: errors.New("no address")}
	}
	return Answer{Addrs: addrs}
}
