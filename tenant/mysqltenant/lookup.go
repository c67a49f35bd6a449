package mysqltenant

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
)

// maxLookups is how many lookups may run at once.
const maxLookups = 16

// answer is what is known of a host. With an error there may be addresses of
// an earlier answer.
type answer struct {
	addrs []netip.Addr
	err   error
}

// lookup resolves hosts, and forgets the answers of all others. A host that
// fails, or does not exist anymore as a broken server likes to say, keeps its
// last answer.
func (l *Loader) lookup(ctx context.Context, hosts []string) map[string]answer {
	fresh := l.lookupAll(ctx, hosts)
	l.mu.Lock()
	defer l.mu.Unlock()
	answers := make(map[string]answer, len(hosts))
	last := make(map[string][]netip.Addr, len(hosts))
	for i, host := range hosts {
		a := fresh[i]
		switch old, known := l.answers[host]; {
		case a.err != nil && known:
			a = answer{old, fmt.Errorf("%w: %s, its last answer counts: %w", ErrLookup, host, a.err)}
		case a.err != nil:
			a = answer{nil, fmt.Errorf("%w: %s: %w", ErrLookup, host, a.err)}
		}
		answers[host] = a
		if a.addrs != nil {
			last[host] = a.addrs
		}
	}
	l.answers = last
	return answers
}

// lookupAll returns an answer for each host.
func (l *Loader) lookupAll(ctx context.Context, hosts []string) []answer {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.LookupTimeout)
	defer cancel()
	answers := make([]answer, len(hosts))
	slots := make(chan struct{}, maxLookups)
	var wg sync.WaitGroup
	for i, host := range hosts {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			answers[i] = l.lookupHost(ctx, host)
		})
	}
	wg.Wait()
	return answers
}

func (l *Loader) lookupHost(ctx context.Context, host string) answer {
	if err := ctx.Err(); err != nil {
		return answer{err: err}
	}
	addrs, err := l.cfg.LookupHost(ctx, host)
	if err != nil {
		return answer{err: err}
	}
	// The slice may be the resolver's own.
	addrs = slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool {
		return !a.IsValid() || a.IsUnspecified() || a.Zone() != ""
	})
	if len(addrs) == 0 {
		return answer{err: errors.New("no address")}
	}
	return answer{addrs: addrs}
}
