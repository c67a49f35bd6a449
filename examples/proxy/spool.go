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
	if err := os.MkdirAll(root, 0o700); err != nil {
		return "", nil, err
	}
	for n := range maxSpools {
		path := filepath.Join(root, strconv.Itoa(n))
		unlock, err := lockFile(path + ".lock")
		switch {
		case errors.Is(err, errLocked):
		case err != nil:
			if dir != "" {
				release()
			}
			return "", nil, err
		case dir == "":
			dir, release = path, unlock
		default:
			err := mirror.Adopt(dir, path)
			unlock()
			if err != nil {
				release()
				return "", nil, err
			}
		}
		if _, err := os.Stat(filepath.Join(root, strconv.Itoa(n+1)+".lock")); dir != "" && err != nil {
			return dir, release, nil // there has never been another one
		}
	}
	if dir == "" {
		return "", nil, fmt.Errorf("%s: %w", root, errLocked)
	}
	return dir, release, nil
}
