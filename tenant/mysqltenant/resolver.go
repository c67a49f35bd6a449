package mysqltenant

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Resolver asks DNS, or whatever else knows host names. Both methods must end when
// ctx is done, and are called by several goroutines at once. The duration says for
// how long an answer counts; 0 if that is not known.
type Resolver interface {
	// LookupHost returns the addresses of a host, of either family.
	LookupHost(ctx context.Context, host string) ([]netip.Addr, time.Duration, error)

	// LookupSRV returns the SRV records (RFC 2782) of a name such as
	// "_sip._udp.pbx.example". That there are none is no records, or an error that
	// is a [net.DNSError] with IsNotFound.
	LookupSRV(ctx context.Context, name string) ([]*net.SRV, time.Duration, error)
}

// system is net.DefaultResolver, which does not tell for how long answers count.
type system struct{}

func (system) LookupHost(ctx context.Context, host string) ([]netip.Addr, time.Duration, error) {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	return addrs, 0, err
}

func (system) LookupSRV(ctx context.Context, name string) ([]*net.SRV, time.Duration, error) {
	_, records, err := net.DefaultResolver.LookupSRV(ctx, "", "", name)
	return records, 0, err
}

// Whoever answers for a name says how much there is, and all of it is watched and put
// in order with each request.
const (
	maxRecords = 32 // SRV records of a name that are followed; each is a lookup
	maxTargets = 64 // places that it leads to
)

// locate finds out where a name leads; old are the targets of its last answer. An
// Err beside Targets concerns a part of them.
func (n *Names) locate(ctx context.Context, name Name, old []Target) Answer {
	if name.Service == "" {
		return n.host(ctx, name.Host)
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var own Answer // asked for meanwhile: who knows no SRV records may say so late, or never
	wg.Go(func() { own = n.host(ctx, name.Host) })
	records, ttl, err := n.cfg.Resolver.LookupSRV(ctx, name.String())
	var dns *net.DNSError
	none := err == nil && len(records) == 0 || errors.As(err, &dns) && dns.IsNotFound
	switch {
	case none:
		wg.Wait()
	case len(records) > 0: // an error beside them is about others
		return n.follow(ctx, records, ttl, old)
	case slices.ContainsFunc(old, func(t Target) bool { return t.Host != "" }):
		return Answer{Err: err} // it is known to have records, which must be found again
	default:
		wg.Wait()
		if own.Err == nil {
			own.Err = fmt.Errorf("its addresses count, though it may have SRV records: %w", err)
		}
	}
	return own
}

// follow finds out where SRV records lead. What is not found is where it was.
func (n *Names) follow(ctx context.Context, records []*net.SRV, ttl time.Duration, old []Target) Answer {
	records = slices.Clone(records)
	for i, r := range records {
		c := *r
		c.Target = strings.ToLower(strings.TrimSuffix(c.Target, "."))
		records[i] = &c
	}
	records = slices.DeleteFunc(records, func(r *net.SRV) bool { return r.Target == "" })
	if len(records) == 0 {
		return Answer{Err: errors.New("its SRV record says that it is not there")}
	}
	slices.SortFunc(records, func(a, b *net.SRV) int { // each time the same
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Weight, a.Weight), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Port, b.Port))
	})
	records = records[:min(len(records), maxRecords)]
	hosts := make([]Answer, len(records))
	var wg sync.WaitGroup
	for i, r := range records {
		wg.Go(func() { hosts[i] = n.host(ctx, r.Target) })
	}
	wg.Wait()
	a := Answer{TTL: ttl}
	for i, r := range records {
		a.add(r, hosts[i], old)
	}
	return a
}

// add adds the target of an SRV record, which is where found says or, if it was
// not found, where it was.
func (a *Answer) add(r *net.SRV, found Answer, old []Target) {
	a.TTL = shorter(a.TTL, found.TTL)
	if found.Err != nil {
		who := r.Target
		for _, t := range old {
			if t.Host == r.Target {
				found.Targets = append(found.Targets, t)
				who = r.Target + ", its last answer counts"
			}
		}
		a.Err = errors.Join(a.Err, fmt.Errorf("%s: %w", who, found.Err))
	}
	for _, t := range found.Targets {
		if len(a.Targets) == maxTargets {
			return
		}
		t = Target{Addr: t.Addr, Port: r.Port, Host: r.Target, Priority: r.Priority, Weight: r.Weight}
		same := func(x Target) bool { return x.Addr == t.Addr && x.Port == t.Port }
		if !slices.ContainsFunc(a.Targets, same) {
			a.Targets = append(a.Targets, t)
		}
	}
}

// shorter returns the shorter one of two times for which answers count, of which
// either may not be known.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// host returns the addresses of a host as targets.
func (n *Names) host(ctx context.Context, host string) Answer {
	found, ttl, err := n.cfg.Resolver.LookupHost(ctx, host)
	if err != nil {
		return Answer{Err: err}
	}
	if len(found) > maxTargets { // each time the same
		found = slices.SortedFunc(slices.Values(found), netip.Addr.Compare)[:maxTargets]
	}
	a := Answer{TTL: ttl}
	for _, addr := range found {
		t := Target{Addr: addr.Unmap()}
		if t.Addr.IsValid() && !t.Addr.IsUnspecified() && t.Addr.Zone() == "" && !slices.Contains(a.Targets, t) {
			a.Targets = append(a.Targets, t)
		}
	}
	if len(a.Targets) == 0 {
		return Answer{Err: errors.New("no address")}
	}
	return a
}
