package tenant

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
)

// Errors of a [Resolver]. All three mean that the request must be refused.
var (
	// ErrUnknown reports a request that belongs to no tenant.
	ErrUnknown = errors.New("tenant: unknown")

	// ErrAmbiguous reports a request of a PBX that could be meant for several
	// domains. The error is an [*AmbiguousError], which has them.
	ErrAmbiguous = errors.New("tenant: ambiguous")

	// ErrForeign reports a request of a PBX that names a domain of a set which
	// the PBX does not belong to.
	ErrForeign = errors.New("tenant: foreign domain")
)

// Query is what is known of a request before it is routed.
type Query struct {
	// Source is where the packet came from: the peer's address and port, never
	// what a header says.
	Source netip.AddrPort

	// Domain is the host of the Request-URI (of To for a REGISTER), in any
	// spelling. It should be empty if the host is a name of the proxy's own,
	// which a Table does not know. An IP address that is not the domain of a
	// tenant names no tenant, exactly as if Domain were empty.
	Domain string
}

// Match is the answer to a [Query].
type Match struct {
	Tenant  *Tenant
	Domain  string // one of Tenant.Domains
	FromPBX bool   // the request came from a PBX of Tenant
}

// Resolver finds the tenant of a request. If the lookup itself worked, its
// error is [ErrUnknown], [ErrForeign] or [ErrAmbiguous], or wraps one of these.
// Implementations must be safe for concurrent use and must not guess.
type Resolver interface {
	Resolve(ctx context.Context, q Query) (Match, error)
}

// ResolverFunc makes a function a [Resolver].
type ResolverFunc func(ctx context.Context, q Query) (Match, error)

// Resolve returns f(ctx, q).
func (f ResolverFunc) Resolve(ctx context.Context, q Query) (Match, error) { return f(ctx, q) }

// AmbiguousError is [ErrAmbiguous] with the answers there could have been. The
// caller may find the right one by other evidence, such as the only candidate
// where the called user is registered, and must refuse the request if that
// does not leave exactly one.
type AmbiguousError struct {
	Query   Query
	Tenants []*Tenant // the candidates, by set id; shared, must not be changed
}

// Candidates returns all pairs of a tenant and one of its domains. A tenant
// without domains is in none.
func (e *AmbiguousError) Candidates() iter.Seq[Match] {
	return func(yield func(Match) bool) {
		for _, tn := range e.Tenants {
			for _, domain := range tn.Domains {
				if !yield(Match{Tenant: tn, Domain: domain, FromPBX: true}) {
					return
				}
			}
		}
	}
}

// Error names the source and the first of the candidates.
func (e *AmbiguousError) Error() string {
	const limit = 4
	var b strings.Builder
	fmt.Fprintf(&b, "%v: %v may mean", ErrAmbiguous, e.Query.Source)
	n := 0
	for m := range e.Candidates() {
		if n++; n > limit {
			b.WriteString(", …")
			break
		}
		if n > 1 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %s of set %d", m.Domain, m.Tenant.SetID)
	}
	return b.String()
}

// Is reports whether target is [ErrAmbiguous].
func (e *AmbiguousError) Is(target error) bool { return target == ErrAmbiguous }

// Resolve finds the tenant of a request:
//
//   - From a PBX that names a domain of a set it belongs to: that domain.
//   - From a PBX that names a domain of another set: [ErrForeign].
//   - From a PBX that names no tenant: the domain of the PBX if there is just
//     one, [ErrUnknown] if its only set has none, else an [*AmbiguousError].
//   - From elsewhere: the named domain, with FromPBX false.
//   - Everything else, such as a name that nobody serves: [ErrUnknown].
//
// A phone that shares its public address with a PBX cannot be told from it and
// counts as the PBX. Resolve never blocks and does not use ctx.
func (t *Table) Resolve(_ context.Context, q Query) (Match, error) {
	candidates := t.Candidates(q.Source)
	named, names := t.named(q.Domain)
	switch {
	case len(candidates) == 0 && named.Tenant != nil:
		return named, nil
	case len(candidates) == 0:
		return Match{}, ErrUnknown
	case !names:
		return onlyDomain(q, candidates)
	case named.Tenant == nil:
		return Match{}, ErrUnknown
	case !slices.Contains(candidates, named.Tenant):
		return Match{}, fmt.Errorf("%w: %v named %q of set %d",
			ErrForeign, q.Source, named.Domain, named.Tenant.SetID)
	}
	named.FromPBX = true
	return named, nil
}

// named looks up the domain of a query. names is false if it is empty, or an
// address that is nobody's domain, and so does not say whose the request is.
func (t *Table) named(domain string) (m Match, names bool) {
	if domain == "" {
		return Match{}, false
	}
	canonical, err := canonicalDomain(domain)
	if err != nil {
		return Match{}, true
	}
	m, ok := t.domains[canonical]
	return m, ok || !isAddr(canonical)
}

// onlyDomain resolves a request of a PBX that names no tenant.
func onlyDomain(q Query, candidates []*Tenant) (Match, error) {
	if len(candidates) == 1 {
		switch tn := candidates[0]; len(tn.Domains) {
		case 0:
			return Match{}, ErrUnknown
		case 1:
			return Match{Tenant: tn, Domain: tn.Domains[0], FromPBX: true}, nil
		}
	}
	return Match{}, &AmbiguousError{Query: q, Tenants: candidates}
}

var _ Resolver = (*Table)(nil)
