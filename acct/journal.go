package acct

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// journal is a log of entries. Each has a position: how many bytes, frames
// included, there were before it, over all restarts. The newest entries are in
// memory, until [journal.flush] writes them to a segment: a file whose name is
// the position of its first entry. Without a directory they stay in memory.
//
// It has both what must survive of open calls and the queue of records, so that
// one entry ends the call and queues its record, and nothing comes in between.
//
// Callers of open, drop and done never wait for a disk.
type journal struct {
	dir  string
	room int // bytes of entries in memory; beyond it the oldest are dropped
	size int // of a segment, at which the next one is begun

	wake   chan struct{} // for who flushes
	notify func()        // there may be more to read

	mu       sync.Mutex
	base     uint64    // position of buf[0]
	buf      encoder   // entries that are not in a segment
	seq      uint64    // number of the newest record
	safe     uint64    // and of the newest one in a segment
	failing  bool      // the disk, at the last flush
	segments []segment // by position; the last one is being written
	lost     uint64    // bytes that were dropped before they were in a segment
	dirty    bool      // the last segment, since the last sync
	file     *os.File  // that segment; nil before the first flush. Set by who flushes

	syncing sync.Mutex // keeps file from being closed during a sync
}

// segment is a file of entries.
type segment struct {
	start uint64 // position of its first entry
	size  int64  // of its entries
}

func (s segment) end() uint64 { return s.start + uint64(s.size) }

const (
	// magic is what a segment begins with.
	magic = "sipward acct 1\n\n"

	segmentSize = 1 << 20
	// journalRoom bounds what waits for a disk that does not answer.
	journalRoom = 16 << 20

	segmentSuffix = ".calls"
)

func (j *journal) path(start uint64) string {
	return filepath.Join(j.dir, fmt.Sprintf("%016x%s", start, segmentSuffix))
}

// onDisk reports whether there is a directory.
func (j *journal) onDisk() bool { return j.dir != "" }

// open adds the state of an open call and returns its position.
func (j *journal) open(c *Call) uint64 {
	if !j.onDisk() {
		return 0
	}
	return j.append(func(e *encoder) { e.call(c) })
}

// drop adds that a call has no record.
func (j *journal) drop(id string) {
	j.append(func(e *encoder) {
		e.byte(kindDrop)
		e.text(id)
	})
}

// done adds a record.
func (j *journal) done(r *Record) {
	j.append(func(e *encoder) {
		j.seq++
		e.byte(kindDone)
		e.uint(j.seq)
		e.record(r)
	})
	if !j.onDisk() {
		j.notify()
	}
}

// position adds how far a sink has come.
func (j *journal) position(sink string, p position) {
	if j.onDisk() {
		j.append(func(e *encoder) { e.position(sink, p) })
	}
}

// append adds the entry that f writes.
func (j *journal) append(f func(e *encoder)) uint64 {
	j.mu.Lock()
	start := len(j.buf)
	pos := j.base + uint64(start)
	j.buf = beginFrame(j.buf)
	f(&j.buf)
	endFrame(j.buf, start)
	j.trim()
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default: // somebody is about to look
	}
	return pos
}

// trim drops the oldest entries in memory if there are too many, a quarter of
// them lest it be done each time.
func (j *journal) trim() {
	if len(j.buf) <= j.room {
		return
	}
	n := 0
	for n < len(j.buf)/4 {
		_, size, _ := cutFrame(j.buf[n:])
		n += size
	}
	j.lost += uint64(n)
	j.advance(n)
}

// advance takes n bytes off the beginning of buf. Readers may still use them.
func (j *journal) advance(n int) {
	j.buf = j.buf[n:]
	j.base += uint64(n)
}

// flush writes to a segment what is in memory. Only one goroutine may call it at
// a time. After an error, another call tries again.
func (j *journal) flush() error {
	if !j.onDisk() {
		return nil
	}
	err := j.write()
	j.mu.Lock()
	j.failing = err != nil
	j.mu.Unlock()
	j.notify()
	return err
}

func (j *journal) write() error {
	j.mu.Lock()
	data, start, seq := j.buf, j.base, j.seq
	j.mu.Unlock()
	if len(data) == 0 {
		return nil
	}
	offset, err := j.segmentFor(start)
	if err != nil {
		return err
	}
	// What an earlier attempt has written of it is written over.
	if _, err := j.file.WriteAt(data, int64(len(magic))+offset); err != nil {
		return err
	}
	j.written(start, data, seq)
	return nil
}

// segmentFor makes sure that the last segment goes on at a position, and
// returns how far that is from its beginning.
func (j *journal) segmentFor(start uint64) (offset int64, err error) {
	if j.file != nil {
		j.mu.Lock()
		last := j.segments[len(j.segments)-1]
		j.mu.Unlock()
		if last.end() == start && last.size < int64(j.size) {
			return last.size, nil
		}
		if err := j.close(); err != nil {
			return 0, err
		}
	}
	// A file of that name is one that could not be begun before.
	f, err := os.OpenFile(j.path(start), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	if _, err := f.WriteAt([]byte(magic), 0); err != nil {
		return 0, errors.Join(err, f.Close())
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.segments = append(j.segments, segment{start: start})
	j.file = f
	return 0, nil
}

// written notes that data, from position start and with the records up to seq,
// are in the last segment.
func (j *journal) written(start uint64, data []byte, seq uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.safe, j.dirty = seq, true
	j.segments[len(j.segments)-1].size += int64(len(data))
	if j.base != start {
		// Some of it was dropped meanwhile, but it is there.
		dropped := min(j.base-start, uint64(len(data)))
		j.lost -= dropped
		j.advance(len(data) - int(dropped))
		return
	}
	// Nobody looks at what was written any more, so that its memory can be
	// used again.
	j.base += uint64(len(data))
	rest := j.buf[len(data):]
	if cap(data) > 1<<20 && len(rest) < 1<<20 {
		data = nil
	}
	j.buf = append(data[:0], rest...)
}

// sync makes sure that what was flushed survives a power cut too. It may take
// its time, during which flush goes on.
func (j *journal) sync() error {
	j.syncing.Lock()
	defer j.syncing.Unlock()
	j.mu.Lock()
	file, dirty := j.file, j.dirty
	j.dirty = false
	j.mu.Unlock()
	if !dirty {
		return nil
	}
	err := file.Sync()
	if err != nil {
		j.mu.Lock()
		j.dirty = true
		j.mu.Unlock()
	}
	return err
}

// close ends the last segment. The next flush begins another one.
func (j *journal) close() error {
	if j.file == nil {
		return nil
	}
	err := j.sync()
	j.syncing.Lock()
	defer j.syncing.Unlock()
	err = errors.Join(err, j.file.Close())
	j.mu.Lock()
	defer j.mu.Unlock()
	j.file, j.dirty = nil, false
	return err
}

// read copies to buf entries from position pos on, or from the next position
// where there are any, and returns that position. It returns nothing at what is
// [journal.readable]. Buf must have room for the longest one.
func (j *journal) read(pos uint64, buf []byte) (data []byte, at uint64, err error) {
	j.mu.Lock()
	if at = j.after(pos); at >= j.base {
		n := 0
		if j.fromMemory() {
			n = copy(buf, j.buf[at-j.base:])
		}
		j.mu.Unlock()
		return buf[:n], at, nil
	}
	var s segment
	for _, s = range j.segments {
		if at < s.end() {
			break
		}
	}
	j.mu.Unlock()
	data, err = j.readSegment(s, at, buf)
	return data, at, err
}

// fromMemory reports whether entries can be read that are in no segment. As
// long as the disk works they cannot: a record that a sink has must not be that
// of a call that is open after a kill.
func (j *journal) fromMemory() bool { return !j.onDisk() || j.failing }

// readable returns the position before which entries can be read, and the
// number of the last record there.
func (j *journal) readable() position {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.fromMemory() {
		return position{j.base + uint64(len(j.buf)), j.seq}
	}
	return position{j.base, j.safe}
}

// after returns the first position not before pos where there are entries, or
// could be.
func (j *journal) after(pos uint64) uint64 {
	for _, s := range j.segments {
		if pos < s.end() {
			return max(pos, s.start)
		}
	}
	return max(pos, j.base)
}

func (j *journal) readSegment(s segment, pos uint64, buf []byte) ([]byte, error) {
	f, err := os.Open(j.path(s.start))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf = buf[:min(uint64(len(buf)), s.end()-pos)]
	n, err := f.ReadAt(buf, int64(len(magic))+int64(pos-s.start))
	return buf[:n], err
}

// skip returns where the entries go on after the segment with pos, which cannot
// be read from there.
func (j *journal) skip(pos uint64) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range j.segments {
		if pos < s.start { // it was removed
			return s.start
		}
		if pos < s.end() {
			return s.end()
		}
	}
	return max(pos, j.base)
}

// release lets go of the entries before pos, all of which are done with, where
// they are kept in memory.
func (j *journal) release(pos uint64) {
	if j.onDisk() {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if pos <= j.base {
		return
	}
	j.advance(int(pos - j.base))
	if len(j.buf) == 0 {
		j.buf = nil
	}
}

// end returns the position of the next entry and the number of the last record.
func (j *journal) end() position {
	j.mu.Lock()
	defer j.mu.Unlock()
	return position{j.base + uint64(len(j.buf)), j.seq}
}

// bytes returns how much there is, and how much was lost.
func (j *journal) bytes() (total int64, lost uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range j.segments {
		total += s.size
	}
	return total + int64(len(j.buf)), j.lost
}
