package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

const (
	// namesInterval is how often a host name is resolved of which nobody says for how
	// long the answer counts.
	namesInterval = 30 * time.Second

	// namesPause is how often one is resolved at most, whatever is said.
	namesPause = 5 * time.Second

	// retryInterval is how often a database is tried of which nothing is known.
	retryInterval = 5 * time.Second
)

// sourceConfig configures a [source].
type sourceConfig struct {
	File *config.Config         // as the process was started with
	DB   *sql.DB                // nil: none
	DNS  mysqltenant.Resolver   // nil: net.DefaultResolver
	Own  func(netip.Addr) bool  // tells the addresses of the proxy
	Sets *dispatcher.Dispatcher // gets the destinations
	Use  func(*state)           // puts a state in force
	Log  *slog.Logger
}

// source is where the tenants come from: the file, the database and DNS. Each
// of them has its last word: a file with faults, a database that is down and a
// name that is not resolved change nothing.
//
// Start comes first, then Run. Stats is safe for concurrent use.
type source struct {
	cfg    sourceConfig
	names  *mysqltenant.Names
	tables *tables // nil: no database

	// What is in force, and what it was made of.
	file  *config.Config
	rows  *rows // nil: none yet
	fleet fleet
	found []problem // in it

	answers map[mysqltenant.Name]mysqltenant.Answer // as the names were last asked for

	fault           error     // why the file is not the one that was last to be read; nil if it is
	down            error     // why the database was not read; nil if it was
	problems        []problem // all, as the log has them
	rowsAt, namesAt time.Time // when the next load is due; zero: never
	stats           atomic.Pointer[sourceStats]
}

// sourceStats tell how loading goes.
type sourceStats struct {
	// Ready tells that there is no database, or that it has been read.
	Ready bool `json:"ready"`

	Loaded   time.Time `json:"loaded"`  // when file or database were last read without a fault
	Changed  time.Time `json:"changed"` // when that last made a difference
	Loads    uint64    `json:"loads"`
	Failures uint64    `json:"failures"`        // of them: something was not read, or is still not used
	Error    string    `json:"error,omitempty"` // of the last one

	Tenants      int       `json:"tenants"`
	Destinations int       `json:"destinations"`
	Problems     []problem `json:"problems"` // by kind; shared, must not be changed
}

// newSource returns a source that has loaded nothing.
func newSource(cfg sourceConfig) *source {
	s := &source{cfg: cfg, file: cfg.File, names: mysqltenant.NewNames(mysqltenant.NamesConfig{Resolver: cfg.DNS})}
	if cfg.DB != nil {
		s.tables = &tables{db: cfg.DB, probes: cfg.File.Dispatcher.Probe == config.ProbeTable}
	}
	s.stats.Store(new(sourceStats))
	return s
}

// Stats returns how loading goes.
func (s *source) Stats() sourceStats { return *s.stats.Load() }

// part tells whether the tenants are there.
func (s *source) part() part {
	stats := s.Stats()
	p := part{name: "tenants", ready: stats.Ready, detail: fmt.Sprintf("%d tenants with %d destinations", stats.Tenants, stats.Destinations)}
	if n := len(stats.Problems); n > 0 {
		p.detail += fmt.Sprintf(", %d problems", n)
	}
	if stats.Error != "" {
		p.detail += ", not reloaded: " + stats.Error
	}
	return p
}

// Start loads for the first time. A database that cannot be read is no error:
// Run goes on trying, and until then there are the tenants of the file.
func (s *source) Start(ctx context.Context) error {
	changed, err := s.load(ctx, s.file, true, nil)
	s.record(changed, err)
	return err
}

// Run loads again until ctx is done: when that is due, and when something comes
// from hangup, which may be nil; then reread reads the file again.
func (s *source) Run(ctx context.Context, hangup <-chan os.Signal, reread func() (*config.Config, error)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
			s.reload(ctx, reread)
		case <-s.due():
			s.poll(ctx)
		}
	}
}

// due returns what fires when the next load is due.
func (s *source) due() <-chan time.Time {
	next := s.rowsAt
	if next.IsZero() || !s.namesAt.IsZero() && s.namesAt.Before(next) {
		next = s.namesAt
	}
	if next.IsZero() {
		return nil
	}
	return time.After(time.Until(next))
}

// schedule says when the next load is due.
func (s *source) schedule(rowsRead bool) {
	now, every := time.Now(), s.file.Reload
	switch {
	case s.tables == nil:
	case s.rows == nil:
		s.rowsAt = now.Add(jitter(retryInterval))
	case every == 0:
		s.rowsAt = time.Time{}
	case rowsRead:
		s.rowsAt = now.Add(jitter(every))
	}
	s.namesAt = time.Time{}
	for _, a := range s.answers {
		age := s.age(a)
		if every == 0 || s.tables != nil && age == every { // with the rows
			continue
		}
		next := a.Asked.Add(age)
		if pause := now.Add(min(namesPause, every)); next.Before(pause) {
			next = pause
		}
		if s.namesAt.IsZero() || next.Before(s.namesAt) {
			s.namesAt = next
		}
	}
}

// age returns how old an answer may become before its name is asked for again: as
// old as is said in DNS, but no older than the rows.
func (s *source) age(a mysqltenant.Answer) time.Duration {
	age := namesInterval
	if a.TTL > 0 {
		age = max(a.TTL, namesPause)
	}
	return min(age, s.file.Reload)
}

// jitter returns nine to eleven tenths of d, so that several proxies do not ask
// the database at the same moment.
func jitter(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5+1) }

// poll reads the database if it is due, and resolves all names then, else those
// whose answers have become too old.
func (s *source) poll(ctx context.Context) {
	now := time.Now()
	readRows := !s.rowsAt.After(now)
	var keep func(mysqltenant.Answer) bool
	if onlyNames := s.tables == nil || !readRows; onlyNames && !s.namesAt.After(now) {
		keep = func(a mysqltenant.Answer) bool { return a.Asked.Add(s.age(a)).After(now) }
	}
	changed, err := s.load(ctx, s.file, readRows, keep)
	if ctx.Err() != nil {
		return
	}
	s.record(changed, err)
	switch {
	case err != nil:
		s.cfg.Log.Error("tenants not reloaded: the old ones stay", "err", err)
	case changed:
		s.cfg.Log.Info("tenants changed", "tenants", len(s.fleet.tenants), "destinations", len(s.fleet.destinations))
	}
}

// reload reads file and database, as an operator has asked for: it says in any
// case what came of it.
func (s *source) reload(ctx context.Context, reread func() (*config.Config, error)) {
	file, fault := reread()
	if fault != nil {
		file = s.file
	} else if keys := s.fixed(file); len(keys) > 0 {
		s.cfg.Log.Warn("changed in the file, but used only after a restart", "keys", keys)
	}
	changed, err := s.load(ctx, file, true, nil)
	if ctx.Err() != nil {
		return
	}
	s.fault = errors.Join(fault, err) // a file that is read and not put in force is at fault too
	if err := s.record(changed, nil); err != nil {
		s.cfg.Log.Error("not reloaded in full: what is at fault stays as it was", "err", err)
		return
	}
	s.cfg.Log.Info("reloaded", "tenants", len(s.fleet.tenants), "destinations", len(s.fleet.destinations), "changed", changed)
}

// fixed returns the keys whose values in file will not be used, since they
// cannot change while the process runs.
func (s *source) fixed(file *config.Config) []string {
	return slices.DeleteFunc(s.cfg.File.Changed(file), func(key string) bool {
		switch key {
		case "tenants", "reload", "register.contact", "register.path", "dispatcher.algorithm", "security.unknown_domain", "security.unknown_source", "security.scanner":
			return true
		}
		return strings.HasPrefix(key, "lookup.") || strings.HasPrefix(key, "nat.") || strings.HasPrefix(key, "limits.")
	})
}

// load reads the database if it is to, resolves names but those whose answer is to
// keep, and puts what comes of that and of file in force if it differs from what
// is. Why the database was not read is in s.down and no error.
func (s *source) load(ctx context.Context, file *config.Config, readRows bool, keep func(mysqltenant.Answer) bool) (changed bool, err error) {
	defer s.schedule(readRows)
	db := s.rows
	if readRows && s.tables != nil {
		var fresh *rows
		if fresh, s.down = s.tables.read(ctx); s.down == nil {
			db = fresh
		}
	}
	answers := s.names.Resolve(ctx, slices.Collect(maps.Keys(hostNames(file, db))), keep)
	if err := ctx.Err(); err != nil {
		return false, err // of us, and not an outage
	}
	s.answers = answers
	f, problems, err := newFleet(file, db, answers, s.fleet, s.cfg.Own)
	if err != nil {
		return false, err
	}
	st, more, err := f.newState()
	if err != nil {
		return false, err
	}
	if changed = !reflect.DeepEqual(f, s.fleet); changed {
		if err := s.swap(st, f); err != nil {
			return false, err
		}
	}
	s.file, s.rows, s.found = file, db, append(problems, more...)
	return changed, nil
}

// swap puts st in force. There are requests on their way that the old state has
// routed, and soon those of the new one: while it changes, sets has what either
// of them asks for. Who asks too late finds that the state is another one.
func (s *source) swap(st *state, f fleet) error {
	if err := s.cfg.Sets.Update(distinct(slices.Concat(f.members, s.fleet.members))); err != nil {
		return err
	}
	s.cfg.Use(st)
	s.fleet = f
	return s.cfg.Sets.Update(f.members)
}

// setProblems collects the problems, and logs what is new and what is gone.
func (s *source) setProblems() {
	now := slices.Clone(s.found)
	if s.fault != nil {
		now = append(now, problem{Kind: problemFile, Text: s.fault.Error()})
	}
	if s.down != nil {
		key := "down"
		if errors.Is(s.down, mysqltenant.ErrSchema) {
			key = "schema"
		}
		now = append(now, problem{problemDatabase, s.down.Error(), key})
	}
	sortProblems(now)
	logProblems(s.cfg.Log, s.problems, now)
	s.problems = now
}

// record keeps what came of a load. It returns all that keeps something from being
// in force: err, and what was at fault before and still is.
func (s *source) record(changed bool, err error) error {
	s.setProblems()
	err = errors.Join(s.fault, err, s.down)
	stats, now := s.Stats(), time.Now()
	stats.Ready = s.tables == nil || s.rows != nil
	stats.Loads++
	stats.Error = ""
	if err != nil {
		stats.Failures++
		stats.Error = err.Error()
	} else {
		stats.Loaded = now
	}
	if changed {
		stats.Changed = now
	}
	stats.Tenants, stats.Destinations, stats.Problems = len(s.fleet.tenants), len(s.fleet.destinations), s.problems
	s.stats.Store(&stats)
	return err
}
