package main

import (
	"testing"
	"time"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/locationtest"
)

// TestStore checks all rules of location.Store. A store of your own needs this
// test, and further ones for what is its own.
func TestStore(t *testing.T) {
	locationtest.Run(t, locationtest.Harness{
		New: func(t testing.TB, now func() time.Time) location.Store {
			return &Store{dir: t.TempDir(), now: now}
		},
		// What survives a restart is tested if the suite knows how to restart.
		Reopen: func(t testing.TB, s location.Store) location.Store {
			old := s.(*Store)
			return &Store{dir: old.dir, now: old.now}
		},
		// Break tells how to make the store fail. It must not lose what it has.
		Break: func(t testing.TB, s location.Store) (repair func()) {
			store := s.(*Store)
			dir := store.dir
			store.dir += "/missing"
			return func() { store.dir = dir }
		},
	})
}
