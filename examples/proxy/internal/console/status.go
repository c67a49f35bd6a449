package console

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/dispatcher/mysqldisp"
	"github.com/sipward/sipward/examples/proxy/internal/config"
)

func statusOperation() operation {
	return operation{
		name: "status", setup: plain((*session).status),
		synopsis: "show tenants, PBXes and registrations, and how database and proxy are",
		details: `
The proxy is the one at the admin address of the configuration. That none runs
is no failure, but that the database does not answer is one.`,
	}
}

// status is what the command prints.
type status struct {
	Database databaseStatus `json:"database"`
	Sets     []*setStatus   `json:"sets"`
	Bindings int64          `json:"bindings"` // live ones of all domains
	// Unserved are bindings of domains without a set, by domain.
	Unserved map[string]int64 `json:"unserved"`
	Proxy    proxyStatus      `json:"proxy"`
}

type databaseStatus struct {
	Name      string  `json:"name"`
	Server    string  `json:"server,omitempty"` // its version
	LatencyMS float64 `json:"latency_ms,omitempty"`
	Error     string  `json:"error,omitempty"`
}

// setStatus is a set of the database, the configuration file or both.
type setStatus struct {
	SetID        int              `json:"setid"`
	Domains      map[string]int64 `json:"domains"` // live bindings by domain
	Destinations int              `json:"destinations"`
	Active       int              `json:"active"` // of the destinations
	Bindings     int64            `json:"bindings"`
}

type proxyStatus struct {
	Admin   string          `json:"admin"` // address; empty if there is none
	Running bool            `json:"running"`
	Ready   bool            `json:"ready"`
	Answer  string          `json:"answer,omitempty"` // of /readyz
	State   json.RawMessage `json:"state,omitempty"`  // of /debug/state
}

func (s *session) status(ctx context.Context) error {
	st := status{Database: databaseStatus{Name: s.name}}
	o := newOverview(s.cfg)
	failed := s.askDatabase(ctx, &st.Database, o)
	if failed != nil {
		st.Database.Error = oneLine(failed)
	}
	st.Sets = slices.SortedFunc(maps.Values(o.sets), func(a, b *setStatus) int { return cmp.Compare(a.SetID, b.SetID) })
	st.Unserved, st.Bindings = o.unserved, o.bindings
	s.askState(ctx, &st.Proxy)
	return errors.Join(failed, s.out.print(st, st.print))
}

// askDatabase fills in how the database is, and what it has.
func (s *session) askDatabase(ctx context.Context, d *databaseStatus, o *overview) (err error) {
	if d.Server, d.LatencyMS, err = s.ping(ctx); err != nil {
		return err
	}
	rows, err := s.readTenants(ctx)
	if err != nil {
		return err
	}
	for _, d := range rows.Domains() {
		if !d.LeftOut {
			o.addDomain(d.SetID, d.Name)
		}
	}
	if err := s.loadDestinations(ctx, o); err != nil {
		return err
	}
	live, err := s.liveBindings(ctx)
	for domain, n := range live {
		o.addBindings(domain, n)
	}
	return err
}

// loadDestinations adds those of the database that the proxy loads.
func (s *session) loadDestinations(ctx context.Context, o *overview) error {
	loader, err := mysqldisp.New(ctx, s.db, mysqldisp.Config{})
	if err != nil {
		return hint(err)
	}
	all, err := loader.Load(ctx)
	for i := range all {
		o.addRow(&all[i])
	}
	return err
}

// overview counts what belongs to which set, as the proxy has it that reads the
// same file and database.
type overview struct {
	sets     map[int]*setStatus
	owners   map[string]*setStatus // by domain
	file     map[place]dispatcher.State
	unserved map[string]int64
	bindings int64
}

// place is a destination of the configuration file.
type place struct {
	set int
	uri config.URI
}

// newOverview returns one with the tenants of a configuration file.
func newOverview(cfg *config.Config) *overview {
	o := &overview{
		sets: map[int]*setStatus{}, owners: map[string]*setStatus{},
		file: map[place]dispatcher.State{}, unserved: map[string]int64{},
	}
	for _, t := range cfg.Tenants {
		for _, d := range t.Domains {
			o.addDomain(t.SetID, string(d))
		}
		for _, d := range t.Destinations {
			o.file[place{t.SetID, d.URI.Place()}] = d.State
			o.addDestination(t.SetID, d.State)
		}
	}
	return o
}

func (o *overview) set(id int) *setStatus {
	if o.sets[id] == nil {
		o.sets[id] = &setStatus{SetID: id, Domains: map[string]int64{}}
	}
	return o.sets[id]
}

// addDomain adds a domain, unless another set has it already.
func (o *overview) addDomain(set int, domain string) {
	if o.owners[domain] == nil {
		o.owners[domain] = o.set(set)
		o.set(set).Domains[domain] = 0
	}
}

func (o *overview) addDestination(set int, state dispatcher.State) {
	o.set(set).Destinations++
	if state == dispatcher.Active {
		o.set(set).Active++
	}
}

// addRow adds a destination of the database. One that the file has, too, is there
// already, and can only be switched off.
func (o *overview) addRow(d *dispatcher.Destination) {
	at := place{d.SetID, meaning(d.URI)}
	state, inFile := o.file[at]
	switch {
	case !inFile:
		o.addDestination(d.SetID, d.State)
	case d.State == dispatcher.Inactive && state == dispatcher.Active:
		o.file[at] = d.State
		o.set(d.SetID).Active--
	}
}

func (o *overview) addBindings(domain string, n int64) {
	o.bindings += n
	owner := o.owners[domain]
	if owner == nil {
		o.unserved[domain] += n
		return
	}
	owner.Domains[domain] += n
	owner.Bindings += n
}

// askState fills in what a running proxy says.
func (s *session) askState(ctx context.Context, p *proxyStatus) {
	if s.cfg.Admin.IsValid() {
		p.Admin = s.cfg.Admin.String()
	}
	code, body, err := s.askProxy(ctx, http.MethodGet, "/readyz", nil, "")
	if err != nil {
		return
	}
	p.Running, p.Ready, p.Answer = true, code == http.StatusOK, strings.TrimSpace(string(body))
	if code, body, err = s.askProxy(ctx, http.MethodGet, "/debug/state", nil, ""); err == nil && code == http.StatusOK && json.Valid(body) {
		p.State = body
	}
}

// print prints the status as text.
func (st *status) print(w io.Writer) {
	if d := st.Database; d.Error != "" {
		fmt.Fprintf(w, "database %s: %s\n", d.Name, d.Error)
	} else {
		fmt.Fprintf(w, "database %s: %s, answers in %.1f ms; live bindings: %d\n", d.Name, d.Server, d.LatencyMS, st.Bindings)
	}
	st.Proxy.print(w)
	fmt.Fprintln(w, "\nSETID\tACTIVE PBXES\tBINDINGS\tDOMAINS")
	for _, set := range st.Sets {
		fmt.Fprintf(w, "%d\t%d of %d\t%d\t%s\n", set.SetID, set.Active, set.Destinations, set.Bindings, cell(counted(set.Domains)))
	}
	if len(st.Unserved) > 0 {
		fmt.Fprintf(w, "none\t-\t%d\t%s\n", sum(st.Unserved), cell(counted(st.Unserved)))
	}
}

func (p *proxyStatus) print(w io.Writer) {
	switch {
	case p.Admin == "":
		fmt.Fprintln(w, "proxy:", errNoAdmin)
	case !p.Running:
		fmt.Fprintf(w, "proxy %s: none answers\n", p.Admin)
	case p.Ready:
		fmt.Fprintf(w, "proxy %s: ready\n", p.Admin)
	default:
		fmt.Fprintf(w, "proxy %s: not ready: %s\n", p.Admin, cell(strings.Join(strings.Fields(p.Answer), " ")))
	}
	if p.State != nil {
		fmt.Fprintf(w, "%s\n", strings.TrimSpace(string(p.State)))
	}
}

// counted returns numbers by name, in the order of the names.
func counted(numbers map[string]int64) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(numbers)) {
		all = append(all, fmt.Sprintf("%s %d", name, numbers[name]))
	}
	return strings.Join(all, ", ")
}

func sum(numbers map[string]int64) (n int64) {
	for _, v := range numbers {
		n += v
	}
	return n
}
