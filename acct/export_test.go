package acct

import (
	"maps"
	"slices"
	"time"
)

// SetSegmentSize has r begin segments at this size.
func SetSegmentSize(r *Recorder, n int) { r.journal.size = n }

// SetRoom has r keep so many bytes that are not on disk.
func SetRoom(r *Recorder, n int) { r.journal.room = n }

// Flush writes the journal as Run does.
func Flush(r *Recorder) bool { return r.flush() }

// Unwritten returns how many bytes of the journal a kill would lose.
func Unwritten(r *Recorder) int {
	r.journal.mu.Lock()
	defer r.journal.mu.Unlock()
	return len(r.journal.buf)
}

// DecodeRecord decodes a record.
func DecodeRecord(entry string) (Record, error) {
	d := decoder{rest: entry}
	r := d.record()
	return r, d.err()
}

// EncodeRecord encodes a record.
func EncodeRecord(r Record) string {
	var e encoder
	e.record(&r)
	return string(e)
}

// Recover reads a segment, and returns how many bytes of entries it has, whether
// nothing follows them, and the IDs of the calls that are open after them.
func Recover(data []byte) (size int, whole bool, open []string) {
	r := &recovered{calls: map[string]*Call{}, positions: map[string]position{}}
	size, whole = r.takeAll(data, 1, 1<<60)
	return size, whole, slices.Sorted(maps.Keys(r.calls))
}

// Sweep closes what is due, as Run does each second.
func Sweep(r *Recorder) { r.sweep(time.Now()) }
