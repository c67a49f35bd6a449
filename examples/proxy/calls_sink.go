package main

import (
	"context"
	"database/sql"
	"path/filepath"
	"slices"
	"sync"

	"github.com/sipward/sipward/acct"
	"github.com/sipward/sipward/acct/mysqlacct"
	"github.com/sipward/sipward/examples/proxy/internal/config"
)

// callTables are the tables of call records. They are looked at when there is
// something to write, so that the proxy starts without its database.
type callTables struct {
	db   *sql.DB
	cfg  mysqlacct.Config
	sink *mysqlacct.Sink // nil before
}

var _ acct.Sink = (*callTables)(nil)

// Write implements [acct.Sink].
func (t *callTables) Write(ctx context.Context, records []acct.Record) error {
	if t.sink == nil {
		sink, err := mysqlacct.New(ctx, t.db, t.cfg)
		if err != nil {
			return err
		}
		t.sink = sink
	}
	return t.sink.Write(ctx, records)
}

// callFile is the file of call records. Only one process writes it at a time: a
// proxy that starts while the one before it is ending waits for that.
type callFile struct {
	path string
	all  bool // has calls that were not answered, too

	mu     sync.Mutex // of Write: there may be several journals
	lines  *acct.JSONFile
	unlock func() // nil until the file is ours
}

var _ acct.Sink = (*callFile)(nil)

// newCallFile returns the file that cfg asks for. Root is where it is if cfg does
// not say.
func newCallFile(cfg config.Acct, root string) (*callFile, error) {
	f := &callFile{path: cfg.File, all: cfg.Failed}
	if f.path == "" {
		f.path = filepath.Join(root, "calls.json")
	}
	var err error
	f.lines, err = acct.NewJSONFile(acct.JSONConfig{Path: f.path, MaxSize: int64(cfg.FileMB) << 20, Keep: cfg.FileKeep})
	return f, err
}

// Write implements [acct.Sink].
func (f *callFile) Write(ctx context.Context, records []acct.Record) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.unlock == nil {
		unlock, err := lockFile(f.path + ".lock")
		if err != nil {
			return err
		}
		f.unlock = unlock
	}
	if !f.all {
		records = slices.DeleteFunc(slices.Clone(records), func(r acct.Record) bool { return r.Answered.IsZero() })
	}
	return f.lines.Write(ctx, records)
}

// close is for when Write is not called any more.
func (f *callFile) close() error {
	if f.unlock == nil {
		return nil
	}
	defer f.unlock()
	return f.lines.Close()
}
