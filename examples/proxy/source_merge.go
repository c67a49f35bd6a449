package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/dispatcher/mysqldisp"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/tenant"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

// merger puts the tenants of the database beside those of the file.
//
// A set may be in both: it has the domains, destinations and sources of both,
// those of the file first. What is in both and differs is as the file has it,
// since only the file can be had without the database; but a destination that
// one of them has switched off is off.
type merger struct {
	fleet
	problems []problem
}

// merge returns what file and db, which may be nil, say together. Answers are
// those for the names of both.
func merge(file *config.Config, db *rows, answers map[mysqltenant.Name]mysqltenant.Answer) (fleet, []problem) {
	m := merger{fleet: fleet{cfg: file, targets: map[mysqltenant.Name][]mysqltenant.Target{}}}
	for name, a := range answers {
		m.targets[name] = a.Targets
		if a.Err != nil {
			m.problems = append(m.problems, problem{problemName, a.Err.Error(), name.String()})
		}
	}
	m.tenants, m.destinations = file.LoadTenants(m.targets), file.LoadDestinations()
	if db != nil {
		tenants, problems := db.tenants.Tenants(answers)
		m.rowProblems(problems, db.problems)
		m.addTenants(tenants)
		m.addDestinations(db.destinations)
	}
	m.incomplete()
	m.members = m.expand()
	return m.fleet, m.problems
}

func (m *merger) report(kind, format string, args ...any) {
	m.problems = append(m.problems, problem{Kind: kind, Text: fmt.Sprintf(format, args...)})
}

// rowProblems reports what the loaders have found, but for names, which are
// reported once and not by row, and for sets without destinations, which may
// have them in the file. A row that both loaders have refused is one problem.
func (m *merger) rowProblems(tenants []mysqltenant.Problem, sets []mysqldisp.Problem) {
	type row struct {
		table string
		id    int64
	}
	refused := map[row]bool{}
	for _, p := range tenants {
		switch {
		case errors.Is(p.Err, mysqltenant.ErrLookup), errors.Is(p.Err, mysqltenant.ErrNoDestinations):
			continue
		case errors.Is(p.Err, mysqltenant.ErrConflict):
			m.report(problemConflict, "%v", p)
			continue
		case errors.Is(p.Err, mysqltenant.ErrBadRow):
			refused[row{p.Table, p.ID}] = true
		}
		m.report(problemRow, "%v", p)
	}
	for _, p := range sets {
		if !refused[row{p.Table, p.ID}] {
			m.report(problemRow, "%v", p)
		}
	}
}

// addTenants adds those of the database. A domain has one set: if that is not
// the one that it has in the file, the row does not count.
func (m *merger) addTenants(tenants []tenant.Tenant) {
	type place struct {
		set  int
		path string
	}
	domains := map[string]place{}
	indices := map[int]int{}
	for i, t := range m.cfg.Tenants {
		indices[t.SetID] = i
		for j, d := range t.Domains {
			domains[string(d)] = place{t.SetID, fmt.Sprintf("tenants[%d].domains[%d]", i, j)}
		}
	}
	for _, tn := range tenants {
		tn.Domains = slices.DeleteFunc(tn.Domains, func(domain string) bool {
			first, dup := domains[domain]
			if dup && first.set != tn.SetID {
				m.report(problemConflict, "domain %q: table domain has set %d, the file's %s has set %d, which counts",
					domain, tn.SetID, first.path, first.set)
			}
			return dup
		})
		i, ok := indices[tn.SetID]
		if !ok {
			m.tenants = append(m.tenants, tn)
			continue
		}
		own := &m.tenants[i]
		own.Domains, own.Sources = append(own.Domains, tn.Domains...), append(own.Sources, tn.Sources...)
	}
}

// addDestinations adds those of the database.
func (m *merger) addDestinations(list []dispatcher.Destination) {
	type place struct {
		set int
		uri config.URI
	}
	indices, paths := map[place]int{}, []string{}
	for i, t := range m.cfg.Tenants {
		for j, d := range t.Destinations {
			indices[place{t.SetID, d.URI.Place()}] = len(paths)
			paths = append(paths, fmt.Sprintf("tenants[%d].destinations[%d]", i, j))
		}
	}
	for _, d := range list {
		var uri config.URI // what cannot be in the file has none
		_ = uri.UnmarshalText([]byte(d.URI))
		i, ok := indices[place{d.SetID, uri.Place()}]
		if !ok {
			m.destinations = append(m.destinations, d)
			continue
		}
		own := &m.destinations[i]
		if d.State == dispatcher.Inactive {
			own.State = d.State
		}
		if d.Weight != own.Weight || d.Priority != own.Priority || d.Socket != own.Socket {
			m.report(problemConflict, "set %d: %s: table dispatcher has another weight, priority or socket than the file's %s, which counts",
				d.SetID, d.URI, paths[i])
		}
	}
}

// incomplete reports the sets that lack something.
func (m *merger) incomplete() {
	served := map[int]bool{}
	for i := range m.destinations {
		served[m.destinations[i].SetID] = true
	}
	for _, tn := range m.tenants {
		switch has := len(tn.Domains) > 0; {
		case has && !served[tn.SetID]:
			m.report(problemSet, "set %d: no destination for its domain %s", tn.SetID, tn.Domains[0])
		case !has && served[tn.SetID]:
			m.report(problemSet, "set %d: no domain, so that nobody can register there", tn.SetID)
		case !has:
			m.report(problemSet, "set %d: no domain and no destination", tn.SetID)
		}
	}
}
