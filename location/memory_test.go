package location_test

import (
	"testing"
	"time"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/locationtest"
)

func memoryHarness() locationtest.Harness {
	return locationtest.Harness{
		New: func(_ testing.TB, now func() time.Time) location.Store {
			return location.NewMemory(location.MemoryConfig{Now: now})
		},
	}
}

func TestMemory(t *testing.T) { locationtest.Run(t, memoryHarness()) }

func BenchmarkMemory(b *testing.B) { locationtest.Bench(b, memoryHarness()) }
