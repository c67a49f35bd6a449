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
	sets    map[string][]int     // by host name: those that have it
	named   map[netip.Addr][]int // those whose names lead there now
	written *tenant.Table        // whose an address is if no name counts
	before  *tenant.Table        // whose it was until now
	own     func(netip.Addr) bool
}

// newFleet returns what file and db, which may be nil, say together, with as much
// of answers, those for the host names of both, as counts after before. Own
// tells the addresses of the proxy.
func newFleet(file *config.Config, db *rows, answers map[string]mysqltenant.Answer, before fleet, own func(netip.Addr) bool) (fleet, []problem, error) {
	c := claims{sets: hostsOf(file, db), named: map[netip.Addr][]int{}, own: own}
	for host, a := range answers {
		for _, addr := range a.Addrs {
			c.named[addr] = append(c.named[addr], c.sets[host]...)
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

// hostsOf returns the host names of file and db, each with the sets that have it.
func hostsOf(file *config.Config, db *rows) map[string][]int {
	hosts := file.Hosts()
	if db != nil {
		for host, sets := range db.tenants.Hosts() {
			hosts[host] = append(hosts[host], sets...)
		}
	}
	return hosts
}

// admit returns answers without what does not count, which is one problem a
// host, however many addresses there are.
func (c *claims) admit(answers map[string]mysqltenant.Answer) (map[string]mysqltenant.Answer, []problem) {
	admitted := make(map[string]mysqltenant.Answer, len(answers))
	var problems []problem
	for host, a := range answers {
		var text string
		n := 0
		a.Addrs = slices.DeleteFunc(slices.Clone(a.Addrs), func(addr netip.Addr) bool {
			why := c.against(host, addr)
			if why == "" {
				return false
			}
			if n++; n == 1 {
				text = fmt.Sprintf("%s leads to %v, which is left out: %s", host, addr, why)
			}
			return true
		})
		if n > 1 {
			text += fmt.Sprintf("; and to %d more like that", n-1)
		}
		if n > 0 {
			problems = append(problems, problem{Kind: problemConflict, Text: text})
		}
		admitted[host] = a
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
