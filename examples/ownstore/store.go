package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/sipward/sipward/location"
)

// Store is a location store in a directory: a JSON file for each address of
// record.
//
// It has the two methods that every store needs. Those of the optional
// interfaces location.ContactFinder, Lister and Purger may follow later.
type Store struct {
	dir string
	now func() time.Time // the clock that bindings expire by

	mu sync.RWMutex // of all files; held while they are read and written
}

// The compiler checks that nothing is missing.
var _ location.Store = (*Store)(nil)

// record is what a file holds.
type record struct {
	AOR      location.AOR
	Bindings []location.Binding
}

// Lookup implements [location.Store]: live bindings, the best one first.
func (s *Store) Lookup(ctx context.Context, aor location.AOR) ([]location.Binding, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	stored, err := s.read(aor)
	s.mu.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("ownstore: %w", err)
	}
	now := s.now()
	var live []location.Binding
	for _, b := range stored {
		if now.Before(b.Expires) {
			live = append(live, b)
		}
	}
	slices.SortFunc(live, location.Binding.Compare)
	return live, nil
}

// Apply implements [location.Store]. What a change does to the bindings that
// are there is the same in all stores and comes from [location.Change.Resolve].
func (s *Store) Apply(ctx context.Context, aor location.AOR, c location.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !aor.IsValid() {
		return errors.New("ownstore: no address of record")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	stored, err := s.read(aor)
	if err != nil {
		return fmt.Errorf("ownstore: %w", err)
	}
	effect, err := c.Resolve(stored, s.now())
	if err != nil {
		return fmt.Errorf("ownstore: %s: %w", aor, err)
	}
	if err := s.write(aor, effect.Apply(stored)); err != nil {
		return fmt.Errorf("ownstore: %w", err)
	}
	return nil
}

// file returns the name of the file of aor. A hash fits every file system,
// whatever characters the user has.
func (s *Store) file(aor location.AOR) string {
	return filepath.Join(s.dir, fmt.Sprintf("%x.json", sha256.Sum256([]byte(aor.String()))))
}

// read returns the bindings of aor, also those that have expired.
func (s *Store) read(aor location.AOR) ([]location.Binding, error) {
	data, err := os.ReadFile(s.file(aor))
	if errors.Is(err, fs.ErrNotExist) {
		_, err := os.Stat(s.dir) // without a directory nothing is known, which is not "no bindings"
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", s.file(aor), err)
	}
	return r.Bindings, nil
}

// write replaces the file of aor in one step: a crash leaves the old one or the
// new one.
func (s *Store) write(aor location.AOR, bindings []location.Binding) error {
	data, err := json.MarshalIndent(record{aor, bindings}, "", "\t")
	if err != nil {
		return err
	}
	tmp := filepath.Join(s.dir, "tmp")
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, s.file(aor))
}
