package main

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/internal/mysqltest"
)

// TestSource_Database: rows that come, change and go are followed, what has not
// changed changes nothing, and all is said once.
func TestSource_Database(t *testing.T) {
	db := mysqltest.DB(t)
	createTables(t, db)
	l := newLoading(t, threeTenants, db, nil)
	file := map[string]int{"a.test": 10, "b.test": 20, "c.test": 30}
	l.serves(file)
	l.said()

	exec(t, db, "INSERT INTO domain (domain, setid) VALUES ('d.test', 40)", "INSERT INTO dispatcher (setid, destination) VALUES (40, 'sip:10.0.1.40')")
	l.again()
	l.serves(map[string]int{"a.test": 10, "b.test": 20, "c.test": 30, "d.test": 40})
	l.said("tenants changed")

	before := l.st
	l.again()
	if l.st != before {
		t.Error("nothing has changed, but the state has")
	}
	l.said()

	exec(t, db, "UPDATE dispatcher SET destination = 'sip:10.0.1.41'")
	l.again()
	if _, err := l.cfg.Sets.Select(40, "", nil); err != nil || !l.st.hops["sip:10.0.1.41"].remote.IsValid() || len(l.st.hops) != 4 {
		t.Errorf("hops %v, %v", l.st.hops, err)
	}
	l.said("tenants changed")

	exec(t, db, "UPDATE domain SET setid = 50") // P-33 and half a tenant
	l.again()
	l.serves(map[string]int{"a.test": 10, "b.test": 20, "c.test": 30, "d.test": 50})
	l.said("set 40: no domain", "set 50: no destination", "tenants changed")
	l.again()
	l.said()
	l.wantProblems(problemSet, problemSet)

	emptyTables(t, db)
	l.again()
	l.serves(file)
	l.said("problem is gone", "problem is gone", "tenants changed")
	l.wantProblems()
	if s := l.Stats(); s.Loads != 7 || s.Failures != 0 || s.Error != "" || !s.Ready || s.Loaded.Before(s.Changed) {
		t.Errorf("got %+v", s)
	}
}

// TestSource_TableDropped: what cannot be read changes nothing, is said once,
// counted, and over when it can be read again.
func TestSource_TableDropped(t *testing.T) {
	db := mysqltest.DB(t)
	createTables(t, db)
	exec(t, db, "INSERT INTO domain (domain, setid) VALUES ('d.test', 40)", "INSERT INTO dispatcher (setid, destination) VALUES (40, 'sip:10.0.1.40')")
	all := map[string]int{"a.test": 10, "b.test": 20, "c.test": 30, "d.test": 40}
	l := newLoading(t, threeTenants, db, nil)
	l.serves(all)
	exec(t, db, "RENAME TABLE dispatcher TO away")
	for range 3 {
		l.again()
		l.serves(all)
	}
	l.said("there is no table dispatcher")
	l.wantProblems(problemDatabase)
	if s := l.Stats(); s.Loads != 4 || s.Failures != 3 || !strings.Contains(s.Error, "no table dispatcher") || !s.Ready {
		t.Errorf("got %+v", s)
	}
	l.reload(t.Context(), func() (*config.Config, error) { return l.cfg.File, nil })
	l.said("not reloaded") // whoever asks is told
	l.serves(all)

	exec(t, db, "RENAME TABLE away TO dispatcher")
	l.again()
	l.said("problem is gone")
	l.wantProblems()
	l.serves(all)
}

// TestSource_ServerStopped: without the server the tenants are those of the
// file until it comes, then those that there were last. What the file has to
// say counts all the same.
func TestSource_ServerStopped(t *testing.T) {
	server := mysqltest.New(t)
	db := server.DB(t)
	createTables(t, db)
	exec(t, db, "INSERT INTO domain (domain, setid) VALUES ('d.test', 40)", "INSERT INTO dispatcher (setid, destination) VALUES (40, 'sip:10.0.1.40')")
	server.Stop(t)
	l := newLoading(t, "reload: 0s"+threeTenants, db, nil)
	file := map[string]int{"a.test": 10, "b.test": 20, "c.test": 30}
	l.serves(file)
	if s := l.Stats(); s.Ready || s.Failures != 1 || s.Error == "" {
		t.Errorf("got %+v", s)
	}
	if p := l.part(); p.ready || !strings.HasPrefix(p.detail, "3 tenants with 3 destinations, 1 problems, not reloaded: ") {
		t.Errorf("got %+v", p)
	}
	if l.due() == nil {
		t.Error("nobody asks the database again")
	}
	l.said(problemDatabase)

	server.Start(t)
	l.again()
	all := map[string]int{"a.test": 10, "b.test": 20, "c.test": 30, "d.test": 40}
	l.serves(all)
	l.said("problem is gone", "tenants changed")
	if s := l.Stats(); !s.Ready || s.Error != "" {
		t.Errorf("got %+v", s)
	}
	if p := l.part(); !p.ready || p.detail != "4 tenants with 4 destinations" {
		t.Errorf("got %+v", p)
	}
	if l.due() != nil {
		t.Error("only SIGHUP was to ask the database again")
	}

	server.Kill(t)
	l.reload(t.Context(), func() (*config.Config, error) {
		return readConfig(strings.Replace(threeTenants, "c.test", "e.test", 1))
	})
	l.serves(map[string]int{"a.test": 10, "b.test": 20, "e.test": 30, "d.test": 40})
	l.said(problemDatabase, "not reloaded")
	if s := l.Stats(); !s.Ready || s.Error == "" {
		t.Errorf("got %+v", s)
	}
}

// TestSource_IsConsistent: domains and destinations are of the same moment, and
// while they change every request finds a PBX, or that it has to look again.
func TestSource_IsConsistent(t *testing.T) {
	db := mysqltest.DB(t)
	createTables(t, db)
	exec(t, db, "INSERT INTO domain (domain, setid) VALUES ('a.test', 10)", "INSERT INTO dispatcher (setid, destination) VALUES (10, 'sip:10.0.1.10')")
	p := new(Proxy)
	p.sets = dispatcher.New(dispatcher.Config{Policy: dispatcher.PolicyFunc(p.order)})
	s := newSource(sourceConfig{File: parseConfig(t, ""), DB: db, Sets: p.sets, Use: p.use, Log: slog.New(slog.DiscardHandler)})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if err := moveTenant(t.Context(), db, 10+i%2); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for ctx.Err() == nil {
			st := p.state.Load()
			if err := st.reaches(p.sets, "a.test"); err != nil && p.state.Load() == st {
				t.Error(err)
			}
		}
	})
	for changes := 0; changes < 30 && !t.Failed(); {
		changed, err := s.load(t.Context(), s.file, true, nil)
		if err != nil || s.down != nil || len(s.found) > 0 {
			t.Errorf("got %v, %v, %v", err, s.down, s.found)
		}
		if changed {
			changes++
		}
	}
	cancel()
	wg.Wait()
}

// reaches reports why a domain has no PBX.
func (st *state) reaches(sets *dispatcher.Dispatcher, domain string) error {
	tn, ok := st.tenants.Domain(domain)
	if !ok {
		return fmt.Errorf("no tenant of %s", domain)
	}
	found, err := sets.Select(tn.SetID, "", nil)
	if !slices.ContainsFunc(found, func(d dispatcher.Destination) bool { return st.hops[d.URI].remote.IsValid() }) {
		return fmt.Errorf("set %d leads to %v: %w", tn.SetID, found, err)
	}
	return nil
}

// moveTenant gives all rows another set, and the PBX another address, at once.
func moveTenant(ctx context.Context, db *sql.DB, set int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "UPDATE dispatcher SET setid = ?, destination = ?", set, fmt.Sprintf("sip:10.0.1.%d", set)); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE domain SET setid = ?", set); err != nil {
		return err
	}
	return tx.Commit()
}

// TestSource_OneOutage: the texts of network errors have port numbers, which do
// not make another problem.
func TestSource_OneOutage(t *testing.T) {
	l := newLoading(t, threeTenants, nil, nil)
	for i := range 3 {
		l.down = fmt.Errorf("read 127.0.0.1:%d: timeout", 40000+i)
		l.setProblems()
	}
	l.said("timeout")
}
