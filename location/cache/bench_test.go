package cache_test

import (
	"testing"
	"time"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/cache"
	"github.com/sipward/sipward/location/locationtest"
)

// BenchmarkStore is to be compared with BenchmarkMemory: both run the same.
func BenchmarkStore(b *testing.B) {
	locationtest.Bench(b, locationtest.Harness{New: func(t testing.TB, now func() time.Time) location.Store {
		return newCache(t, location.NewMemory(location.MemoryConfig{Now: now}), cache.Config{Now: now})
	}})
}

func BenchmarkMemory(b *testing.B) {
	locationtest.Bench(b, locationtest.Harness{New: func(_ testing.TB, now func() time.Time) location.Store {
		return location.NewMemory(location.MemoryConfig{Now: now})
	}})
}
