package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/sipward/sipward/examples/proxy/guard"
	"github.com/sipward/sipward/examples/proxy/internal/config"
)

// bansFile keeps the bans of a guard over a restart. The empty one does nothing.
type bansFile struct {
	path  string
	guard *guard.Guard
	log   *slog.Logger
}

// saveBans is how often they are written: a ban is lost if the proxy is killed
// before, and earned again soon.
const saveBans = time.Minute

// restoreBans brings back the bans that a proxy with the same first listener has
// left, if anything of cfg needs a spool directory. Whom to trust must have been
// set. A file that cannot be read is no reason not to start.
func restoreBans(cfg *config.Config, g *guard.Guard, log *slog.Logger) *bansFile {
	if cfg.Bindings() == config.StoreMemory && cfg.Calls() == config.AcctOff {
		return &bansFile{}
	}
	f := &bansFile{
		path:  filepath.Join(cfg.SpoolDir(os.Getenv), "bans", fileName(cfg.Listen[0].String())+".json"),
		guard: g, log: log,
	}
	if err := f.restore(); err != nil {
		log.Warn("bans not restored", "err", err)
	}
	return f
}

func (f *bansFile) restore() error {
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.guard.Restore(data, time.Now())
}

// run saves the bans until ctx is done, and then once more.
func (f *bansFile) run(ctx context.Context) error {
	if f.path == "" {
		<-ctx.Done()
		return nil
	}
	ticker := time.NewTicker(saveBans)
	defer ticker.Stop()
	failing := false
	for ctx.Err() == nil {
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
		err := f.save()
		if err != nil && !failing {
			f.log.Warn("bans not saved", "err", err)
		}
		failing = err != nil
	}
	return nil
}

// save replaces the file by what counts now, as a whole.
func (f *bansFile) save() error {
	data, err := f.guard.Snapshot(time.Now())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return err
	}
	next := f.path + ".new"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return err
	}
	return os.Rename(next, f.path)
}
