package console

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/examples/proxy/internal/database"
)

// operation is a command that takes -json: on the database, on a running proxy,
// or on neither.
type operation struct {
	name, args, synopsis string
	details              string // what -h says besides; may be empty
	least, most          int    // positional arguments
	noDatabase           bool   // it does without one
	noConfig             bool   // it does without either

	// setup adds flags and returns what is run once they have been parsed.
	setup func(flags *flag.FlagSet) func(ctx context.Context, s *session) error
}

// plain is the setup of an operation without flags of its own.
func plain(method func(*session, context.Context) error) func(*flag.FlagSet) func(context.Context, *session) error {
	return func(*flag.FlagSet) func(context.Context, *session) error {
		return func(ctx context.Context, s *session) error { return method(s, ctx) }
	}
}

func (o operation) command() Command { return Command{o.name, o.args, o.synopsis, o.run} }

// run parses args, opens the database and does the operation. With -json a
// failure is a JSON document, too, unless the operation has printed one.
func (o operation) run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("proxy "+o.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the caller prints the error
	file := new(string)
	if !o.noConfig {
		file = flags.String("config", "", "configuration `FILE`; without one it is that of "+config.EnvConfig)
	}
	asJSON := flags.Bool("json", false, "print one JSON document")
	do := o.setup(flags)
	positional, err := parse(flags, args)
	if errors.Is(err, flag.ErrHelp) {
		o.help(flags, stderr)
		return nil
	}
	if err != nil { // behind which nothing was parsed
		*asJSON = *asJSON || slices.Contains(args, "-json") || slices.Contains(args, "--json")
	}
	s := &session{args: positional, out: printer{w: stdout, json: *asJSON}, notes: stderr}
	defer func() {
		if err != nil && *asJSON && !s.out.printed {
			err = errors.Join(err, s.out.document(failure{err.Error()}))
		}
	}()
	if err == nil && (len(positional) < o.least || len(positional) > o.most) {
		err = fmt.Errorf("got %d arguments, want: %s %s", len(positional), flags.Name(), o.args)
	}
	if err != nil {
		return usage(fmt.Errorf("%w; see %s -h", err, flags.Name()))
	}
	if o.noConfig {
		return do(ctx, s)
	}
	if s.cfg, err = config.Load(*file, os.Getenv); err != nil {
		return usage(err)
	}
	if o.noDatabase {
		return do(ctx, s)
	}
	if err := s.open(); err != nil {
		return err
	}
	defer s.db.Close()
	return do(ctx, s)
}

// failure is the JSON document of an operation that has none.
type failure struct {
	Error string `json:"error"`
}

// parse parses flags that stand anywhere among the positional arguments, which
// it returns. Behind "--" there are no flags.
func parse(flags *flag.FlagSet, args []string) (positional []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		rest := flags.Args()
		if n := len(args) - len(rest); len(rest) == 0 || n > 0 && args[n-1] == "--" {
			return append(positional, rest...), nil
		}
		positional, args = append(positional, rest[0]), rest[1:]
	}
}

// help prints what -h tells.
func (o operation) help(flags *flag.FlagSet, w io.Writer) {
	fmt.Fprintf(w, "usage: %s\n\n%s.\n", strings.TrimSpace(flags.Name()+" "+o.args), o.synopsis)
	if o.details != "" {
		fmt.Fprintln(w, o.details)
	}
	if !o.noDatabase && !o.noConfig {
		fmt.Fprintf(w, "\nThe database is that of %s or of the key database.", config.EnvDatabase)
	}
	fmt.Fprint(w, `
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 refused.

Flags, which may stand anywhere:
`)
	flags.SetOutput(w)
	flags.PrintDefaults()
}

// usage marks err as one of usage.
func usage(err error) error { return usageError{err} }

type usageError struct{ error }

func (usageError) Is(target error) bool { return target == ErrUsage }
func (e usageError) Unwrap() error      { return e.error }

// open makes the pool of connections. It connects to nothing yet.
func (s *session) open() (err error) {
	dsn := string(s.cfg.Database)
	if dsn == "" {
		return usage(fmt.Errorf("no database: set %s, or the key database in the configuration file", config.EnvDatabase))
	}
	s.name = database.Name(dsn)
	if s.db, err = database.Open(dsn); err != nil {
		return usage(err)
	}
	return nil
}
