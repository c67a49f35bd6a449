package main

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/tenant"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

// claims are what host names say in DNS: that addresses are those of PBXes of
// their sets. Whoever answers for a name is not the operator, so he must be able
// neither to make another set's PBX one of his, nor to take it from that set:
//
//   - An address that is written for a set, by itself or in a network, is that
//     set's, whatever names say and have said.
//   - An address that was a set's until now, and that a name of that set still
//     leads to, stays that set's.
//   - What is no host of a network, and what is the proxy, must be written.
//
// All else is who claims it: sets whose names have led to the same address from
// the beginning share it, as those do that have the same name or address.
type claims struct {
	sets    map[string][]int     // by host name: those that have it, with or without a port
	named   map[netip.Addr][]int // those whose names lead there now
	written *tenant.Table        // whose an address is if no name counts
	before  *tenant.Table        // whose it was until now
	own     func(netip.Addr) bool
}

// newFleet returns what file and db, which may be nil, say together, with as much
// of answers, those for the names of both, as counts after before. Own tells the
// addresses of the proxy.
func newFleet(file *config.Config, db *rows, answers map[mysqltenant.Name]mysqltenant.Answer, before fleet, own func(netip.Addr) bool) (fleet, []problem, error) {
	c := claims{sets: map[string][]int{}, named: map[netip.Addr][]int{}, own: own}
	for name, sets := range hostNames(file, db) {
		c.sets[name.Host] = append(c.sets[name.Host], sets...)
	}
	for name, a := range answers {
		for _, t := range a.Targets {
			c.named[t.Addr] = append(c.named[t.Addr], c.sets[name.Host]...)
		}
	}
	written, _ := merge(file, db, nil)
	var err error
	if c.written, err = tenant.NewTable(written.tenants); err != nil {
		return fleet{}, nil, err
	}
	if c.before, err = tenant.NewTable(before.tenants); err != nil {
		return fleet{}, nil, err
	}
	admitted, refused := c.admit(answers)
	f, problems := merge(file, db, admitted)
	return f, append(problems, refused...), nil
}

// hostNames returns the names of file and db, each with the sets that have it.
func hostNames(file *config.Config, db *rows) map[mysqltenant.Name][]int {
	names := file.Names()
	if db != nil {
		for name, sets := range db.tenants.Names() {
			names[name] = append(names[name], sets...)
		}
	}
	return names
}

// admit returns answers without what does not count, which is one problem a
// name, however many addresses there are.
func (c *claims) admit(answers map[mysqltenant.Name]mysqltenant.Answer) (map[mysqltenant.Name]mysqltenant.Answer, []problem) {
	admitted := make(map[mysqltenant.Name]mysqltenant.Answer, len(answers))
	var problems []problem
	for name, a := range answers {
		var text string
		n := 0
		a.Targets = slices.DeleteFunc(slices.Clone(a.Targets), func(t mysqltenant.Target) bool {
			why := c.against(name.Host, t.Addr)
			if why == "" {
				return false
			}
			if n++; n == 1 {
				text = fmt.Sprintf("%s leads to %v, which is left out: %s", name.Host, t.Addr, why)
			}
			return true
		})
		if n > 1 {
			text += fmt.Sprintf("; and to %d more like that", n-1)
		}
		if n > 0 {
			problems = append(problems, problem{Kind: problemConflict, Text: text})
		}
		admitted[name] = a
	}
	return admitted, problems
}

// against returns why the sets of host do not get addr, "" if they do. That is
// asked for all ports at once, since connections come from any.
func (c *claims) against(host string, addr netip.Addr) string {
	if !addr.IsGlobalUnicast() || c.own(addr) {
		return "such an address counts only if it is written"
	}
	sets, anyPort := c.sets[host], netip.AddrPortFrom(addr, 0)
	if owners := c.written.Candidates(anyPort); len(owners) > 0 {
		if strangers(sets, owners) {
			return "it is written for " + setsOf(owners)
		}
		return ""
	}
	owners := slices.DeleteFunc(slices.Clone(c.before.Candidates(anyPort)), func(tn *tenant.Tenant) bool {
		return !slices.Contains(c.named[addr], tn.SetID)
	})
	if strangers(sets, owners) {
		return "it was there before for " + setsOf(owners)
	}
	return ""
}

// strangers reports whether sets would get, by a name that is theirs alone, what
// only owners have. It is false if each of sets is an owner, or if each owner has
// the name too.
func strangers(sets []int, owners []*tenant.Tenant) bool {
	isOwner := func(id int) bool {
		return slices.ContainsFunc(owners, func(tn *tenant.Tenant) bool { return tn.SetID == id })
	}
	return slices.ContainsFunc(owners, func(tn *tenant.Tenant) bool { return !slices.Contains(sets, tn.SetID) }) &&
		slices.ContainsFunc(sets, func(id int) bool { return !isOwner(id) })
}
