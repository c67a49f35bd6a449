package mysqltenant

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/sipward/sipward/tenant"
)

// builder makes tenants out of rows: first all destinations, then all domains.
type builder struct {
	domainTable, dispatcherTable string

	answers  map[Name]Answer
	sets     map[int]*tenant.Tenant
	served   map[int]bool   // sets with a destination
	owners   map[string]int // sets by canonical domain
	problems []Problem
}

func newBuilder(domainTable, dispatcherTable string, answers map[Name]Answer) *builder {
	return &builder{
		domainTable:     domainTable,
		dispatcherTable: dispatcherTable,
		answers:         answers,
		sets:            make(map[int]*tenant.Tenant),
		served:          make(map[int]bool),
		owners:          make(map[string]int),
	}
}

func (b *builder) report(origin Problem, err error) {
	origin.Err = err
	b.problems = append(b.problems, origin)
}

func (b *builder) set(id int) *tenant.Tenant {
	t := b.sets[id]
	if t == nil {
		t = &tenant.Tenant{SetID: id}
		b.sets[id] = t
	}
	return t
}

// addDestination enters what a row of the table dispatcher says of sources.
func (b *builder) addDestination(r destinationRow) {
	origin := Problem{Table: b.dispatcherTable, ID: rowID(r.ID.String)}
	id, err := parseSet(r.SetID.String)
	if err != nil {
		b.report(origin, fmt.Errorf("%w: %w", ErrBadRow, err))
		return
	}
	origin.SetID = id
	e, err := parseDestination(r.Destination.String)
	if err != nil {
		b.report(origin, fmt.Errorf("%w: %w", ErrBadRow, err))
		return
	}
	b.served[id] = true
	set := b.set(id)
	if e.addr.IsValid() {
		set.Sources = append(set.Sources, hostSource(netip.AddrPortFrom(e.addr, e.port)))
	} else {
		a := b.answers[e.name]
		for _, t := range a.Targets {
			set.Sources = append(set.Sources, hostSource(t.At(e.port)))
		}
		if a.Err != nil {
			b.report(origin, a.Err)
		}
	}
	for _, value := range attrValues(r.Attrs.String, "source_ip") {
		source, err := ParseSource(value)
		if err != nil {
			b.report(origin, err)
			continue
		}
		set.Sources = append(set.Sources, source)
	}
}

// addDomain enters a row of the table domain.
func (b *builder) addDomain(r domainRow) {
	origin := Problem{Table: b.domainTable, ID: rowID(r.ID.String)}
	domain, err := canonical(r.Domain.String)
	if err != nil {
		b.report(origin, fmt.Errorf("%w: %q is no domain", ErrBadRow, r.Domain.String))
		return
	}
	id, conflict, err := domainSet(r)
	if err != nil {
		b.report(origin, fmt.Errorf("domain %q: %w", domain, err))
		return
	}
	origin.SetID = id
	if conflict != nil {
		b.report(origin, fmt.Errorf("domain %q: %w", domain, conflict))
	}
	if owner, dup := b.owners[domain]; dup {
		b.report(origin, fmt.Errorf("%w: %q as %q, with set %d", ErrDuplicate, r.Domain.String, domain, owner))
		return
	}
	if !b.served[id] {
		b.report(origin, fmt.Errorf("domain %q: %w", domain, ErrNoDestinations))
	}
	b.owners[domain] = id
	set := b.set(id)
	set.Domains = append(set.Domains, domain)
}

// domainSet returns the set of a domain. The conflict, if there is one, is
// between the column and attrs.
func domainSet(r domainRow) (set int, conflict, err error) {
	if r.SetID.String != "" {
		if set, err = parseSet(r.SetID.String); err != nil {
			return 0, nil, fmt.Errorf("%w: %w", ErrBadRow, err)
		}
	}
	attr, ok, err := attrSet(r.Attrs.String)
	switch {
	case set == 0 && err != nil:
		return 0, nil, fmt.Errorf("%w: %w", ErrBadRow, err)
	case set == 0 && !ok:
		return 0, nil, ErrNoSet
	case set == 0:
		return attr, nil, nil
	case err != nil:
		return set, fmt.Errorf("%w: column has %d, %w", ErrConflict, set, err), nil
	case ok && attr != set:
		return set, fmt.Errorf("%w: column has %d, attrs have %d", ErrConflict, set, attr), nil
	}
	return set, nil, nil
}

// result returns the tenants by set id.
func (b *builder) result() []tenant.Tenant {
	all := make([]tenant.Tenant, 0, len(b.sets))
	for _, t := range b.sets {
		all = append(all, *t)
	}
	slices.SortFunc(all, func(x, y tenant.Tenant) int { return cmp.Compare(x.SetID, y.SetID) })
	return all
}

func hostSource(at netip.AddrPort) tenant.Source {
	return tenant.Source{Prefix: netip.PrefixFrom(at.Addr(), at.Addr().BitLen()), Port: at.Port()}
}

// rowID returns 0 for what is no number, which no row of these tables has.
func rowID(s string) int64 {
	id, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return id
}
