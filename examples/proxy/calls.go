package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/sipward/sipward/acct"
	"github.com/sipward/sipward/acct/mysqlacct"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/examples/proxy/internal/metrics"
)

// calls has a record made and written of each call. A nil *calls does nothing.
type calls struct {
	cfg callsConfig
	// journals are that of this process, which takes the new calls, and those
	// that processes which are gone have left with something in them.
	journals []*callJournal
}

// callsConfig configures calls.
type callsConfig struct {
	Dir           string                      // for the journals of one proxy; "": calls are in memory only
	Sinks         map[string]func() acct.Sink // what takes the records, by name; each journal has its own
	Close         func() error                // for when they have had everything; may be nil
	DialogTimeout time.Duration
	Dialogs       *sql.DB // with a table dialog for open calls; may be nil, and is without Dir
	Log           *slog.Logger
}

// callJournal is a recorder with the directory that this process has for it.
type callJournal struct {
	*acct.Recorder
	node   string // what its rows in the table dialog are known by
	unlock func()
}

// openCalls returns the calls that cfg asks for, nil if nobody is told of them. Db is
// nil without a database.
func openCalls(cfg *config.Config, db *sql.DB, m *metrics.Metrics, log *slog.Logger) (*calls, error) {
	to, root := cfg.Calls(), cfg.SpoolDir(os.Getenv)
	// Calls are those of a socket: who answers there goes on with them.
	dir := filepath.Join(root, "calls", fileName(cfg.Listen[0].String()))
	cc := callsConfig{Sinks: map[string]func() acct.Sink{}, DialogTimeout: cfg.Acct.DialogTimeout, Log: log}
	lines := func() acct.Sink { return newCallLines(log) }
	var file *callFile
	if to == config.AcctJSON || to == config.AcctMySQL && cfg.Acct.File != "" {
		var err error
		if file, err = newCallFile(cfg.Acct, root); err != nil {
			return nil, err
		}
		cc.Close = file.close
		cc.Sinks[string(config.AcctJSON)] = func() acct.Sink { return file }
	}
	switch to { // what is first measures each call, once
	case config.AcctMySQL:
		cc.Dir = dir
		cc.Sinks[string(to)] = func() acct.Sink { return m.Sink(&callTables{db: db, cfg: mysqlacct.Config{Failed: cfg.Acct.Failed}}) }
		if cfg.Acct.Dialogs {
			cc.Dialogs = db
		}
	case config.AcctJSON:
		cc.Dir = dir
		cc.Sinks[string(to)] = func() acct.Sink { return m.Sink(file) }
	default:
		lines = func() acct.Sink { return m.Sink(newCallLines(log)) }
	}
	if cfg.Log.Calls && log.Enabled(context.Background(), slog.LevelInfo) { // to follow them for nothing is not cheap
		cc.Sinks[logSink] = lines
	}
	if len(cc.Sinks) == 0 {
		return nil, nil
	}
	return newCalls(cc)
}

func newCalls(cfg callsConfig) (*calls, error) {
	c := &calls{cfg: cfg}
	if cfg.Dir == "" {
		j, err := c.open("", func() {})
		if err != nil {
			return nil, fmt.Errorf("calls: %w", err)
		}
		c.journals = []*callJournal{j}
		return c, nil
	}
	err := unclaimed(cfg.Dir, func(dir string, unlock func()) error {
		j, err := c.open(dir, unlock)
		if err != nil {
			unlock()
			return err
		}
		if len(c.journals) > 0 && j.empty() {
			return j.close(context.Background()) // there is nothing to wait for
		}
		c.journals = append(c.journals, j)
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("calls: %w", err), c.close())
	}
	return c, nil
}

func (c *calls) open(dir string, unlock func()) (*callJournal, error) {
	sinks := map[string]acct.Sink{}
	for name, make := range c.cfg.Sinks {
		sinks[name] = make()
	}
	r, err := acct.Open(acct.Config{Sinks: sinks, Dir: dir, DialogTimeout: c.cfg.DialogTimeout, Logger: c.cfg.Log})
	if err != nil {
		return nil, err
	}
	j := &callJournal{Recorder: r, unlock: unlock}
	if dir == "" {
		return j, nil
	}
	if j.node, err = nodeOf(dir); err != nil {
		return nil, errors.Join(err, r.Close(context.Background()))
	}
	return j, nil
}

// nodeOf returns a name for a journal that no other one has, here or elsewhere.
func nodeOf(dir string) (string, error) {
	file := filepath.Join(dir, "node")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(text) == 0 {
		text = []byte(rand.Text())
		err = os.WriteFile(file, text, 0o600)
	}
	return string(text), err
}

// empty reports whether nothing is left to be done.
func (j *callJournal) empty() bool {
	s := j.Stats()
	for _, sink := range s.Sinks {
		if sink.Queued > 0 {
			return false
		}
	}
	return s.Open+s.Held == 0
}

func (j *callJournal) close(ctx context.Context) error {
	defer j.unlock()
	return j.Recorder.Close(ctx)
}

// run makes and writes records until ctx is done.
func (c *calls) run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, j := range c.journals {
		wg.Go(func() { _ = j.Run(ctx) }) // it has no error but the end of ctx
		if c.cfg.Dialogs != nil {
			wg.Go(func() { c.mirror(ctx, j) })
		}
	}
	wg.Wait()
	return nil
}

// closeTimeout bounds how long the end of the program waits for a database. What
// it does not take is written when the program runs again.
const closeTimeout = 3 * time.Second

// close writes what waits. Call it when run has returned, if that was called.
func (c *calls) close() error {
	if c == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	errs := make([]error, len(c.journals), len(c.journals)+1)
	var wg sync.WaitGroup
	for i, j := range c.journals {
		wg.Go(func() { errs[i] = j.close(ctx) })
	}
	wg.Wait()
	if c.cfg.Close != nil {
		errs = append(errs, c.cfg.Close())
	}
	return errors.Join(errs...)
}

// stats returns the figures of all journals. The log, which takes whatever it gets,
// is no place for records and does not count.
func (c *calls) stats() acct.Stats {
	sum := acct.Stats{Recorded: map[acct.Cause]uint64{}, Sinks: map[string]acct.SinkStats{}}
	for _, j := range c.journals {
		s := j.Stats()
		sum.Open += s.Open
		sum.Held += s.Held
		sum.Unfollowed += s.Unfollowed
		sum.Unrecorded += s.Unrecorded
		sum.Bytes += s.Bytes
		sum.Lost += s.Lost
		for cause, n := range s.Recorded {
			sum.Recorded[cause] += n
		}
		delete(s.Sinks, logSink)
		for name, sink := range s.Sinks {
			of := sum.Sinks[name]
			of.Queued += sink.Queued
			of.Written += sink.Written
			of.Spooled += sink.Spooled
			of.Dropped += sink.Dropped
			of.Rejected += sink.Rejected
			of.Failures += sink.Failures
			sum.Sinks[name] = of
		}
	}
	return sum
}

// part tells how the records do. The proxy is of use whatever becomes of them.
func (c *calls) part() part {
	s := c.stats()
	pt := part{name: "calls", ready: true, detail: fmt.Sprintf("%d open", s.Open)}
	for _, name := range slices.Sorted(maps.Keys(s.Sinks)) {
		sink := s.Sinks[name]
		if sink.Queued > 0 {
			pt.detail += fmt.Sprintf(", %d records wait for %s", sink.Queued, name)
		}
		if n := sink.Dropped + sink.Rejected; n > 0 {
			pt.detail += fmt.Sprintf(", %d records lost by %s", n, name)
		}
	}
	if s.Lost > 0 {
		pt.detail += ", calls lost by the disk"
	}
	return pt
}
