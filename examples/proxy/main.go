// Command proxy is a complete multi-tenant SIP edge proxy for fleets of
// Asterisk boxes, built from the packages of sipward.
//
//	proxy [serve] [-config FILE] [-check]   run; -check validates and exits
//	proxy demo                              the whole story on loopback
//	proxy version
//
// Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 refused.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// errUsage marks errors of the command line and the configuration.
var errUsage = errors.New("usage")

// command is a word after the program's name.
type command struct {
	name, args, synopsis string
	run                  func(ctx context.Context, args []string, stdout, stderr io.Writer) error
}

func commands() []command {
	return []command{
		{"serve", "[-config FILE] [-check]", "run the proxy, which is the default; -check validates and exits", serve},
		{"demo", "", "the whole story on loopback, no other program needed", demo},
		{"version", "", "print the version", version},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program without its process. It returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 1 && slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]) {
		list(stdout)
		return exitDone
	}
	name := "serve"
	if len(args) > 0 && (args[0] == "" || args[0][0] != '-') {
		name, args = args[0], args[1:]
	}
	for _, c := range commands() {
		if c.name != name {
			continue
		}
		err := c.run(ctx, args, stdout, stderr)
		switch {
		case err == nil:
			return exitDone
		case errors.Is(err, errUsage):
			fmt.Fprintf(stderr, "proxy %s: %v\n", name, err)
			return exitUsage
		}
		fmt.Fprintf(stderr, "proxy %s: %v\n", name, err)
		return exitFailed
	}
	fmt.Fprintf(stderr, "proxy: no command %q; there are:\n", name)
	list(stderr)
	return exitUsage
}

// list prints the commands.
func list(w io.Writer) {
	for _, c := range commands() {
		fmt.Fprintf(w, "  proxy %-30s %s\n", c.name+" "+c.args, c.synopsis)
	}
}

func version(_ context.Context, _ []string, stdout, _ io.Writer) error {
	v := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		v = info.Main.Version
	}
	_, err := fmt.Fprintln(stdout, "sipward", v)
	return err
}
