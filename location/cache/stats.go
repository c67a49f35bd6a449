package cache

// Stats is a snapshot of counters, in the manner of [database/sql.DBStats].
// All but Entries count since New.
type Stats struct {
	Entries       int    // AORs held
	Hits          uint64 // lookups that found bindings
	NegativeHits  uint64 // lookups that found that there are none
	Misses        uint64 // lookups that asked the backend
	SharedMisses  uint64 // lookups that waited for the answer to another one
	StaleHits     uint64 // lookups that got old bindings in place of the backend's error
	Evictions     uint64 // AORs that made room for others
	BackendErrors uint64 // lookups that the backend failed at
}

// Stats returns the counters. Each part of the cache is read at a time of its
// own.
func (s *Store) Stats() Stats {
	var sum Stats
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		sum.Entries += sh.entries.Len()
		sum.Hits += sh.stats.Hits
		sum.NegativeHits += sh.stats.NegativeHits
		sum.Misses += sh.stats.Misses
		sum.SharedMisses += sh.stats.SharedMisses
		sum.StaleHits += sh.stats.StaleHits
		sum.Evictions += sh.stats.Evictions
		sum.BackendErrors += sh.stats.BackendErrors
		sh.mu.Unlock()
	}
	return sum
}
