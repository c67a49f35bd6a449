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

	"github.com/sipward/sipward/examples/proxy/internal/config"
)

// serve runs the proxy.
func serve(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("proxy serve", flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("config", "", "configuration `file`; without one the defaults count")
	check := flags.Bool("check", false, "validate the configuration and exit")
	if err := flags.Parse(args); err != nil {
		return usage(err)
	}
	if flags.NArg() > 0 {
		return usage(fmt.Errorf("unexpected argument %q", flags.Arg(0)))
	}
	cfg, err := config.Load(*file, os.Getenv)
	if err != nil {
		return usage(err)
	}
	log := newLogger(cfg, stderr)
	p, err := newProxy(ctx, cfg, log)
	if err != nil {
		return usage(err)
	}
	if *check {
		fmt.Fprintln(stdout, "configuration is valid")
		return nil
	}
	var helpers sync.WaitGroup
	defer helpers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	helpers.Go(func() { tuneGC(ctx) })
	stop := onHangup(ctx, func() { p.reload(ctx, *file) })
	defer stop()
	log.Info("starting", "listen", cfg.Listen, "tenants", p.state.Load().tenants.Len())
	err = p.Run(ctx)
	log.Info("stopped")
	return err
}

// onHangup calls f, one call at a time, for each SIGHUP until ctx is done or
// stop is called. Stop waits for a call that has begun.
func onHangup(ctx context.Context, f func()) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
				f()
			}
		}
	})
	return func() {
		signal.Stop(hangups)
		cancel()
		wg.Wait()
	}
}

// reload reads the configuration again. What is wrong with the new one leaves
// the old one in force. Calls in progress do not notice either way.
func (p *Proxy) reload(ctx context.Context, file string) {
	cfg, err := config.Load(file, os.Getenv)
	if err == nil {
		var st *state
		var warnings []error
		if st, warnings, err = newState(ctx, cfg, p.lookup); err == nil {
			p.use(st)
			p.log.Info("reloaded", "tenants", st.tenants.Len())
		}
		for _, w := range warnings {
			p.log.Warn("configuration", "err", w)
		}
	}
	if err != nil {
		p.log.Error("not reloaded: the old configuration stays", "err", err)
	}
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
