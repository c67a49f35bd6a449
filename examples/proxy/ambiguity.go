package main

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/tenant"
)

// ambiguity is what is known of users that have the same name in several domains of
// one PBX: what it wants of them must name the domain or the phone, by our token,
// and is refused else. So it is found before a call is.
type ambiguity struct {
	Users    int             `json:"users"`
	Examples []ambiguousUser `json:"examples"` // the first ones by name
}

type ambiguousUser struct {
	User    string   `json:"user"`
	Domains []string `json:"domains"`
}

// keptExamples is how many of the users are named.
const keptExamples = 20

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
	a := &ambiguity{Users: len(several), Examples: []ambiguousUser{}}
	for user, domains := range several {
		slices.Sort(domains)
		a.Examples = append(a.Examples, ambiguousUser{user, slices.Compact(domains)})
	}
	slices.SortFunc(a.Examples, func(x, y ambiguousUser) int { return cmp.Compare(x.User, y.User) })
	a.Examples = a.Examples[:min(len(a.Examples), keptExamples)]
	return a, nil
}

// watchAmbiguity looks for ambiguous users now and then, until ctx is done. It costs
// nothing where every PBX has one domain.
func (p *Proxy) watchAmbiguity(ctx context.Context) error {
	const interval = time.Minute
	for sleep(ctx, interval) {
		memory, ok := p.memory()
		groups := sharedDomains(p.state.Load().tenants)
		if !ok || len(groups) == 0 {
			p.ambiguity.Store(new(ambiguity))
			continue
		}
		now, err := findAmbiguity(groups, memory.All(ctx))
		if err != nil { // the end
			continue
		}
		if before := p.ambiguity.Swap(now); before.Users != now.Users {
			p.log.Info("users of several domains of a PBX: a number alone does not tell which is meant", "users", now.Users, "examples", now.Examples)
		}
	}
	return nil
}
