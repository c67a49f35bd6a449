package main

import (
	"cmp"
	"context"
	"iter"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/tenant"
)

// ambiguity is what is known of users that have the same name in several domains of
// one PBX: what it wants of them must name the domain or the phone, by our token,
// and is refused else. So it is found before a call is.
type ambiguity struct {
	Domains  [][]string      `json:"domains"` // that have a PBX in common, the first ones
	Users    int             `json:"users"`
	Examples []ambiguousUser `json:"examples"` // the first ones by name
}

type ambiguousUser struct {
	User    string   `json:"user"`
	Domains []string `json:"domains"`
}

// keptExamples is how many of the users are named, and of the domains.
const keptExamples = 20

// ambiguities are looked for now and then, and at once when something has changed
// that can make many of them. The zero value looks for none.
type ambiguities struct {
	found atomic.Pointer[ambiguity]
	due   chan struct{} // has room for one
}

func (a *ambiguities) init() {
	a.due = make(chan struct{}, 1)
	a.found.Store(newAmbiguity(nil))
}

// look has them looked for.
func (a *ambiguities) look() {
	select {
	case a.due <- struct{}{}:
	default:
	}
}

// newAmbiguity returns one without users.
func newAmbiguity(groups [][]string) *ambiguity {
	a := &ambiguity{Domains: [][]string{}, Examples: []ambiguousUser{}}
	for _, domains := range groups[:min(len(groups), keptExamples)] {
		a.Domains = append(a.Domains, domains[:min(len(domains), keptExamples)])
	}
	return a
}

// sharedDomains returns the lists of domains that have a PBX in common.
func sharedDomains(table *tenant.Table) (groups [][]string) {
	add := func(tenants ...*tenant.Tenant) {
		var domains []string
		for _, tn := range tenants {
			domains = append(domains, tn.Domains...)
		}
		known := func(g []string) bool { return slices.Equal(g, domains) }
		if len(domains) > 1 && !slices.ContainsFunc(groups, known) {
			groups = append(groups, domains)
		}
	}
	for _, tenants := range table.SharedSources() {
		add(tenants...)
	}
	for tn := range table.SharedSets() {
		add(tn)
	}
	return groups
}

// findAmbiguity looks for users among entries that are in several domains of a
// group.
func findAmbiguity(groups [][]string, entries iter.Seq2[location.Entry, error]) (*ambiguity, error) {
	of := map[string][]int{} // the groups of a domain
	for i, domains := range groups {
		for _, domain := range domains {
			of[domain] = append(of[domain], i)
		}
	}
	type member struct {
		group int
		user  string
	}
	first := map[member]string{} // the domain in which the user was seen
	several := map[string][]string{}
	for e, err := range entries {
		if err != nil {
			return nil, err
		}
		user, domain := e.AOR.User(), e.AOR.Domain()
		for _, group := range of[domain] {
			m := member{group, user}
			switch other, seen := first[m]; {
			case !seen:
				first[m] = domain
			case other != domain:
				several[user] = append(several[user], other, domain)
			}
		}
	}
	a := newAmbiguity(groups)
	a.Users = len(several)
	for user, domains := range several {
		slices.Sort(domains)
		a.Examples = append(a.Examples, ambiguousUser{user, slices.Compact(domains)})
	}
	slices.SortFunc(a.Examples, func(x, y ambiguousUser) int { return cmp.Compare(x.User, y.User) })
	a.Examples = a.Examples[:min(len(a.Examples), keptExamples)]
	return a, nil
}

// watchAmbiguity looks for ambiguous users until ctx is done: when the tenants are
// others, when all bindings have been read, and every minute. It costs nothing
// where every PBX has one domain.
func (p *Proxy) watchAmbiguity(ctx context.Context) error {
	if p.mirror != nil {
		if stop := p.mirror.WhenLoaded(p.ambiguity.look); stop != nil {
			defer stop()
		}
	}
	const interval = time.Minute
	for {
		p.lookForAmbiguity(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-p.ambiguity.due:
		case <-time.After(interval):
		}
	}
}

func (p *Proxy) lookForAmbiguity(ctx context.Context) {
	groups := sharedDomains(p.state.Load().tenants)
	now := newAmbiguity(groups)
	if memory, ok := p.memory(); ok && len(groups) > 0 {
		var err error
		if now, err = findAmbiguity(groups, memory.All(ctx)); err != nil { // the end
			return
		}
	}
	before := p.ambiguity.found.Swap(now)
	if !reflect.DeepEqual(before.Domains, now.Domains) {
		p.log.Info("domains with a PBX in common: what it asks for must name the domain or the phone", "domains", now.Domains)
	}
	if before.Users != now.Users {
		p.log.Info("users of several domains of a PBX: a number alone does not tell which is meant", "users", now.Users, "examples", now.Examples)
	}
}
