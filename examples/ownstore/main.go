// Ownstore shows how to bring a location store of your own: one that keeps
// bindings in JSON files. The store itself is in store.go, and the test that
// proves it right is in store_test.go.
//
//	go run ./examples/ownstore 401@tenant-a.test sip:401@192.0.2.7:5060   # bind for an hour
//	go run ./examples/ownstore 401@tenant-a.test                          # look up
//
// A registrar uses it as any other: registrar.Config{Store: store}.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/sipward/sipward/location"
)

func main() {
	dir := flag.String("dir", ".", "where the files are")
	flag.Parse()
	store := &Store{dir: *dir, now: time.Now}
	if err := run(context.Background(), store, os.Stdout, flag.Args()); err != nil {
		log.Fatal(err)
	}
}

// run binds a contact if args has one, and then shows all of that AOR.
func run(ctx context.Context, store location.Store, out io.Writer, args []string) error {
	if len(args) == 0 || len(args) > 2 {
		return errors.New("usage: ownstore [-dir name] user@domain [contact]")
	}
	aor, err := location.ParseAOR(args[0])
	if err != nil {
		return err
	}
	if len(args) == 2 {
		now := time.Now()
		change := location.Change{Put: []location.Binding{{
			Contact: args[1], Q: location.QUnspecified, Updated: now, Expires: now.Add(time.Hour),
		}}}
		if err := store.Apply(ctx, aor, change); err != nil {
			return err
		}
	}
	bindings, err := store.Lookup(ctx, aor)
	if err != nil {
		return err
	}
	for _, b := range bindings {
		fmt.Fprintln(out, aor, "is at", b.Contact)
	}
	return nil
}
