package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// gcHeadroom is how much a proxy may have on its heap that it does not use any
// more, and how often that is looked at.
const (
	gcHeadroom = 256 << 20
	gcInterval = 5 * time.Second
)

// gcPercent returns how far the heap may grow between two collections, by what
// is live on it: what a small proxy keeps is little beside what it throws away,
// and collections would cost it more than the memory is worth; a large one
// must not take five times what it needs.
func gcPercent(live uint64) int {
	if live == 0 {
		return 400
	}
	return int(min(400, max(100, gcHeadroom*100/live)))
}

// tuneGC keeps the garbage collector at [gcPercent] until ctx is done. If GOGC
// is set, that counts.
func tuneGC(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	ticker := time.NewTicker(gcInterval)
	defer ticker.Stop()
	for last := 0; ; {
		metrics.Read(sample)
		if percent := gcPercent(sample[0].Value.Uint64()); percent != last {
			debug.SetGCPercent(percent)
			last = percent
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
