// Package console is the program's command line: it finds the command that the
// arguments name, and has the commands by which an operator looks at the
// database and changes it.
//
// A command prints its result to the standard output, as text or with -json as
// exactly one JSON document, and all else to the standard error. It gets the
// credentials of the database from the configuration file or the environment,
// never from its arguments, and shows them nowhere. It ends with one of the
// exit codes below.
//
// Whatever a command cannot do as a whole it does not do at all: changes of
// several rows are one transaction. The exceptions can be run again: db init,
// since a server has no transactions for tables, and import, which takes rows
// one by one. A running proxy sees changes of tenants and destinations when it
// reads them again, see the key reload and SIGHUP.
package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Exit codes of the program.
const (
	ExitDone    = 0
	ExitFailed  = 1
	ExitUsage   = 2 // of the command line or the configuration
	ExitRefused = 3
)

var (
	// ErrUsage marks errors of the command line and of the configuration.
	ErrUsage = errors.New("wrong usage")

	// ErrRefused marks what was understood and could have been done, but was not
	// since data would be lost that the operator may not have meant.
	ErrRefused = errors.New("refused")
)

// Command is what a user can have the program do.
type Command struct {
	Name     string // its words, "domain add"
	Args     string // what follows them, for people
	Synopsis string

	// Run does it, given what follows the name. Its error may be one of
	// [ErrUsage] or [ErrRefused].
	Run func(ctx context.Context, args []string, stdout, stderr io.Writer) error
}

// Commands returns the commands on the database and on a running proxy.
func Commands() []Command {
	var all []Command
	for _, o := range slices.Concat(schemaOperations(), domainOperations(), dispatcherOperations(), locationOperations(), banOperations(),
		[]operation{statusOperation(), verifyOperation(), explainOperation(), backupOperation(), restoreOperation(), importOperation()}) {
		all = append(all, o.command())
	}
	return all
}

// Run runs the command that args name, or tells of the commands, and returns
// the exit code. The first command is run if args begin with no word.
func Run(ctx context.Context, commands []Command, args []string, stdout, stderr io.Writer) int {
	args, help := cutHelp(args)
	if !help && (len(args) == 0 || strings.HasPrefix(args[0], "-")) {
		args = append([]string{commands[0].Name}, args...)
	}
	c, rest, ok := find(commands, args)
	known, group := listed(commands, args)
	switch {
	case ok && help:
		rest = []string{"-h"}
	case ok:
	case help || group && len(args) > 1 && isHelp(args[1]):
		show(stdout, known)
		return ExitDone
	default:
		name := args[0]
		if group && len(args) > 1 && !strings.HasPrefix(args[1], "-") {
			name += " " + args[1]
		}
		fmt.Fprintf(stderr, "proxy: no command %q; there are:\n", name)
		show(stderr, known)
		return ExitUsage
	}
	err := c.Run(ctx, rest, stdout, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "proxy %s: %v\n", c.Name, err)
	}
	switch {
	case err == nil:
		return ExitDone
	case errors.Is(err, ErrUsage):
		return ExitUsage
	case errors.Is(err, ErrRefused):
		return ExitRefused
	}
	return ExitFailed
}

func isHelp(word string) bool { return slices.Contains([]string{"-h", "-help", "--help"}, word) }

// cutHelp takes off the word that asks for help before a command, or instead
// of one.
func cutHelp(args []string) (rest []string, help bool) {
	if len(args) > 0 && (args[0] == "help" || isHelp(args[0])) {
		return args[1:], true
	}
	return args, false
}

// find returns the command whose words args begin with, and the args behind
// them.
func find(commands []Command, args []string) (c Command, rest []string, ok bool) {
	for _, c := range commands {
		name := strings.Fields(c.Name)
		if len(args) >= len(name) && slices.Equal(args[:len(name)], name) {
			return c, args[len(name):], true
		}
	}
	return Command{}, nil, false
}

// listed returns the commands whose names begin with the first word of args,
// which are a group, or all if there are none.
func listed(commands []Command, args []string) (known []Command, group bool) {
	for _, c := range commands {
		if len(args) > 0 && strings.Fields(c.Name)[0] == args[0] {
			known = append(known, c)
		}
	}
	if len(known) == 0 {
		return commands, false
	}
	return known, true
}

// show prints commands.
func show(w io.Writer, commands []Command) {
	for _, c := range commands {
		fmt.Fprintf(w, "  proxy %s\n        %s\n", strings.TrimSpace(c.Name+" "+c.Args), c.Synopsis)
	}
}
