package location_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/location"
)

// slowStore takes a second for everything and fails.
type slowStore struct{}

var errSlow = errors.New("slow")

func (slowStore) Lookup(context.Context, location.AOR) ([]location.Binding, error) {
	time.Sleep(time.Second)
	return nil, errSlow
}

func (slowStore) Apply(context.Context, location.AOR, location.Change) error {
	time.Sleep(2 * time.Second)
	return errSlow
}

func TestObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type call struct {
			op  string
			d   time.Duration
			err error
		}
		var calls []call
		s := location.Observe(slowStore{}, func(_ context.Context, op string, d time.Duration, err error) {
			calls = append(calls, call{op, d, err})
		})
		if _, err := s.Lookup(t.Context(), location.AOR{}); err != errSlow {
			t.Errorf("got %v", err)
		}
		if err := s.Apply(t.Context(), location.AOR{}, location.Change{}); err != errSlow {
			t.Errorf("got %v", err)
		}
		if want := []call{{"lookup", time.Second, errSlow}, {"apply", 2 * time.Second, errSlow}}; !slices.Equal(calls, want) {
			t.Errorf("got %v, want %v", calls, want)
		}
	})
}

func TestAs(t *testing.T) {
	m := location.NewMemory(location.MemoryConfig{})
	nop := func(context.Context, string, time.Duration, error) {}
	wrapped := location.Observe(location.Observe(m, nop), nop)
	if got, ok := location.As[*location.Memory](wrapped); !ok || got != m {
		t.Errorf("got %v, %v", got, ok)
	}
	if _, ok := location.As[location.Purger](wrapped); !ok {
		t.Error("no Purger behind two wrappers")
	}
	if _, ok := location.As[location.Purger](location.Observe(slowStore{}, nop)); ok {
		t.Error("a Purger where none is")
	}
	if _, ok := location.As[location.Purger](nil); ok {
		t.Error("a Purger in nil")
	}
}
