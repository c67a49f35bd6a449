// Command proxy is a complete multi-tenant SIP edge proxy for fleets of
// Asterisk boxes, built from the packages of sipward.
//
//	proxy [serve] [-config FILE] [-check]   run; -check validates and exits
//	proxy demo                              the whole story on loopback
//	proxy version
//
//	proxy db init | check                   the tables of the database
//	proxy domain add | list | rm            which domains are served
//	proxy dispatcher add | list | rm | set-state
//	proxy location list | show | rm         who is registered
//	proxy ban list | add | rm               who is not served
//	proxy explain                           what it would do with a message
//	proxy status | verify-cdr | backup | restore | import endpoint-locations
//
// "proxy help" tells what they take, and each tells more with -h.
//
// Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 refused.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/sipward/sipward/examples/proxy/internal/console"
)

// errUsage marks errors of the command line and the configuration.
var errUsage = console.ErrUsage

// commands returns all commands. The first one is the default.
func commands() []console.Command {
	return append([]console.Command{
		{Name: "serve", Args: "[-config FILE] [-check]", Synopsis: "run the proxy, which is the default; -check validates and exits", Run: serve},
		{Name: "demo", Synopsis: "the whole story on loopback, no other program needed", Run: demo},
		console.Version(),
	}, console.Commands()...)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program without its process. It returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return console.Run(ctx, commands(), args, stdout, stderr)
}
