package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/sipward/sipward/location/mirror"
)

// maxSpools is how many proxies on one machine can have the same spool, such as
// one that starts while the one before it is still ending.
const maxSpools = 16

var errLocked = errors.New("in use by another process")

// claimSpool takes a directory in root for the journal of this process. It moves
// there what processes that are gone have left in the others.
func claimSpool(root string) (dir string, release func(), err error) {
	err = unclaimed(root, func(path string, unlock func()) error {
		if dir == "" {
			dir, release = path, unlock
			return nil
		}
		defer unlock()
		return mirror.Adopt(dir, path)
	})
	if err != nil {
		if dir != "" {
			release()
		}
		return "", nil, err
	}
	return dir, release, nil
}

// unclaimed calls use with each directory in root that no other process has, the
// first one, which there is always, and those that were used before. Until unlock
// is called they are this process's.
func unclaimed(root string, use func(dir string, unlock func()) error) error {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	found := false
	for n := range maxSpools {
		path := filepath.Join(root, strconv.Itoa(n))
		unlock, err := lockFile(path + ".lock")
		switch {
		case errors.Is(err, errLocked):
		case err != nil:
			return err
		default:
			found = true
			if err := use(path, unlock); err != nil {
				return err
			}
		}
		if _, err := os.Stat(filepath.Join(root, strconv.Itoa(n+1)+".lock")); found && err != nil {
			return nil // there has never been another one
		}
	}
	if !found {
		return fmt.Errorf("%s: %w", root, errLocked)
	}
	return nil
}
