package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/sipward/sipward/acct/mysqlacct"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/location/mysqlloc"
)

// serve runs the proxy.
func serve(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("proxy serve", flag.ContinueOnError)
	file := flags.String("config", "", "configuration `FILE`; without one it is that of "+config.EnvConfig)
	check := flags.Bool("check", false, "validate the configuration and exit")
	if err := parse(flags, args, stderr); err != nil {
		return usage(err)
	}
	cfg, err := config.Load(*file, os.Getenv)
	if err != nil {
		return usage(err)
	}
	log := newLogger(cfg, stderr)
	if *check {
		if err := checkAll(ctx, cfg, log); err != nil {
			return err
		}
		fmt.Fprintln(stdout, "configuration is valid")
		return nil
	}
	p, err := newProxy(ctx, cfg, log)
	if err != nil {
		return usage(err)
	}
	defer func() {
		if err := p.Close(); err != nil {
			log.Error("stopping", "err", err)
		}
	}()
	if err := p.adopt(os.Getenv); err != nil {
		return usage(err)
	}
	var helpers sync.WaitGroup
	defer helpers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	helpers.Go(func() { tuneGC(ctx) })
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	p.hangup, p.reread = hangup, func() (*config.Config, error) {
		if err := p.secure.reload(); err != nil {
			log.Error("certificate not reloaded: the old one stays", "err", err)
		}
		return config.Load(*file, os.Getenv)
	}
	log.Info("starting", "listen", cfg.Listen, "tenants", p.state.Load().tenants.Len())
	err = p.Run(ctx)
	log.Info("stopped")
	return err
}

// checkAll makes a proxy of cfg, and connects to what that names. It leaves alone
// what belongs to one that runs: ports, and the spool.
func checkAll(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	bare := *cfg
	bare.Store, bare.Acct.To = config.StoreMemory, config.AcctOff
	p, err := newProxy(ctx, &bare, log)
	if err != nil {
		return usage(err)
	}
	defer p.Close()
	if text := p.source.Stats().Error; text != "" {
		return errors.New("tenants: " + text)
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if cfg.Calls() == config.AcctMySQL {
		if _, err := mysqlacct.New(ctx, p.db, mysqlacct.Config{}); err != nil {
			return err
		}
	}
	if cfg.Bindings() == config.StoreMemory {
		return nil
	}
	s, err := mysqlloc.New(ctx, p.db, mysqlloc.Config{})
	if err != nil {
		return err
	}
	return s.Close()
}

const checkTimeout = 10 * time.Second

// parse parses args, which must be flags. Help is printed to stderr.
func parse(flags *flag.FlagSet, args []string, stderr io.Writer) error {
	flags.SetOutput(stderr)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return nil
}

// usage marks err as one of usage. Asking for help is none.
func usage(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return usageError{err}
}

// usageError is an error that is the user's.
type usageError struct{ error }

func (usageError) Is(target error) bool { return target == errUsage }

// newLogger returns a logger to w as configured.
func newLogger(cfg *config.Config, w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.Log.Level}
	format := cfg.Log.Format
	if format == config.LogAuto {
		format = config.LogJSON
		if f, ok := w.(*os.File); ok && isTerminal(f) {
			format = config.LogText
		}
	}
	if format == config.LogText {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

func isTerminal(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}
