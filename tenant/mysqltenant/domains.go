package mysqltenant

// Domain is a row of the table domain, and what a load makes of it.
type Domain struct {
	ID    int64
	Name  string // canonical; if it is no domain, as it is in the table
	SetID int    // 0 also if it has none
	Attrs string

	// LeftOut tells that a load leaves the row out.
	LeftOut bool

	// Problems are those of the row, and why it is left out. Each wraps one of
	// this package's errors.
	Problems []error
}

// Domains returns all rows of the table domain by their ids, for an operator
// to look at.
func (r *Rows) Domains() []Domain {
	b := newBuilder(r.domainTable, r.dispatcherTable, nil)
	for _, d := range r.destinations {
		b.addDestination(d)
	}
	all := make([]Domain, 0, len(r.domains))
	for _, row := range r.domains {
		owned := len(b.owners)
		b.problems = nil
		b.addDomain(row)
		d := Domain{ID: rowID(row.ID.String), Name: row.Domain.String, Attrs: row.Attrs.String, LeftOut: len(b.owners) == owned}
		if name, err := canonical(d.Name); err == nil {
			d.Name = name
		}
		if set, _, err := domainSet(row); err == nil {
			d.SetID = set
		}
		for _, p := range b.problems {
			d.Problems = append(d.Problems, p.Err)
		}
		all = append(all, d)
	}
	return all
}
