package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/examples/proxy/internal/database"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/mirror"
	"github.com/sipward/sipward/location/mysqlloc"
	"github.com/sipward/sipward/registrar"
)

// bindings are where the proxy keeps its bindings: in memory, and if there is a
// database, in its table location too. Nothing here waits for the database.
type bindings struct {
	store    location.Store
	contacts location.ContactFinder // of store
	flows    location.FlowFinder    // of store
	mirror   *mirror.Store          // nil if there is no database for it
	table    *table                 // of mirror
	unlock   func()                 // gives up the directory of mirror
}

// openBindings returns the bindings that cfg asks for. Db is nil without a
// database.
func openBindings(cfg *config.Config, db *sql.DB, p *Proxy) (*bindings, error) {
	b := &bindings{}
	switch {
	case cfg.Bindings() == config.StoreMemory:
		b.store = location.NewMemory(location.MemoryConfig{})
	default:
		if err := b.openMirror(cfg, db, p); err != nil {
			return nil, err
		}
		b.store = b.mirror.NoWait()
	}
	var byContact, byFlow bool
	b.contacts, byContact = location.As[location.ContactFinder](b.store)
	b.flows, byFlow = location.As[location.FlowFinder](b.store)
	if !byContact || !byFlow {
		return nil, errors.Join(errors.New("the location store cannot look up Contacts and flows"), b.close())
	}
	return b, nil
}

func (b *bindings) openMirror(cfg *config.Config, db *sql.DB, p *Proxy) error {
	root := cfg.SpoolDir(os.Getenv)
	dir, unlock, err := claimSpool(filepath.Join(root, fileName(database.Name(string(cfg.Database)))))
	if err != nil {
		return fmt.Errorf("the spool, which cache.spool can move: %w", err)
	}
	b.table = &table{db: db, proxy: p}
	mc := mirror.Config{
		Backend: b.table.connect,
		Refused: func(err error) bool { return errors.Is(err, mysqlloc.ErrValue) },
		Dir:     dir,
		MaxAge:  cfg.Cache.MaxAge,
		Logger:  p.log,
	}
	if cfg.Bindings() == config.StoreMySQL { // each lookup asks the database
		mc.MaxAge, mc.Linger = 1, -1
	}
	if b.mirror, err = mirror.Open(mc); err != nil {
		unlock()
		return err
	}
	b.unlock = unlock
	return nil
}

// fileName returns s with nothing in it that means anything in a path.
func fileName(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '_'
	}, s)
}

// run keeps the bindings until ctx is done.
func (b *bindings) run(ctx context.Context) error {
	if b.mirror != nil {
		return b.mirror.Run(ctx)
	}
	memory, _ := b.memory()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			_, _ = memory.Purge(ctx, 10_000) // memory has no errors but those of ctx
		}
	}
}

// memory returns the table that all lookups are answered from.
func (b *bindings) memory() (*location.Memory, bool) { return location.As[*location.Memory](b.store) }

// close gives up what openBindings has taken. Nil has taken nothing.
func (b *bindings) close() error {
	if b == nil || b.mirror == nil {
		return nil
	}
	defer b.unlock()
	return errors.Join(b.mirror.Close(), b.table.close())
}

// table is the table location.
type table struct {
	db      *sql.DB
	proxy   *Proxy
	opened  *mysqlloc.Store
	badRows atomic.Uint64
}

// connect implements the Backend of a [mirror.Config].
func (t *table) connect(ctx context.Context) (location.Store, error) {
	s, err := mysqlloc.New(ctx, t.db, mysqlloc.Config{OnBadRow: t.badRow})
	if err != nil {
		return nil, err
	}
	t.opened = s
	return t.proxy.metrics.Store(s), nil
}

// badRow tells of the first rows that nobody can read: there may be a million.
func (t *table) badRow(id uint64, err error) {
	const told = 20
	if n := t.badRows.Add(1); n <= told {
		t.proxy.log.Warn("row of the table location left out", "contact_id", id, "err", err)
	}
}

// close is for when connect is not called any more.
func (t *table) close() error {
	if t.opened == nil {
		return nil
	}
	return t.opened.Close()
}

// newRegistrar returns what commits registrations to the bindings.
func (p *Proxy) newRegistrar() (*registrar.Registrar, error) {
	return registrar.New(registrar.Config{
		Store:          p.store,
		DefaultExpires: p.cfg.Register.DefaultExpires,
		MaxExpires:     p.cfg.Register.MaxExpires,
		MaxContacts:    p.cfg.Register.MaxContacts,
		CommitTimeout:  -1, // the store never waits
		Hooks:          p.metrics.Registrar(),
		Logger:         p.log,
	})
}
