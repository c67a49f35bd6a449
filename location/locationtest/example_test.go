package locationtest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/locationtest"
)

// The whole test of a store.
func ExampleRun() {
	_ = func(t *testing.T) { // func TestStore(t *testing.T) {
		locationtest.Run(t, locationtest.Harness{
			New: func(_ testing.TB, now func() time.Time) location.Store {
				return location.NewMemory(location.MemoryConfig{Now: now})
			},
		})
	}
}

func ExampleClock() {
	clock := locationtest.NewClock()
	store := location.NewMemory(location.MemoryConfig{Now: clock.Now})

	start := clock.Now()
	clock.Advance(90 * time.Minute)
	fmt.Println(clock.Now().Sub(start), store.Len())
	// Output:
	// 1h30m0s 0
}
