package mirror

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sipward/sipward/location"
)

// journal is a directory of files, its segments, that have entries. The oldest
// one goes when nothing that it has is pending any more. Entries are given to the
// operating system before a change is accepted, so that they survive the
// process, and to the disk within a second.
//
// A segment is a line that says what it is, and entries one after the other,
// each with its length and checksum before it:
//
//	4 bytes  length of the entry, little-endian
//	4 bytes  its CRC-32C
type journal struct {
	dir    string
	limit  int64   // of the size of a segment
	faults []error // found when it was opened

	run uint64 // tells the entries of this process from those of others

	syncing sync.Mutex // held by sync

	mu       sync.Mutex // held over writes, whose order is the point
	file     *os.File   // the current segment; nil if none could be made
	current  int        // its number
	size     int64
	synced   int64         // how much of it is on disk
	segments map[int]*held // those that exist, the current one among them
	retired  []*os.File    // former segments that may not be on disk yet
	moved    []int         // segments to be released once all is on disk
	buf      []byte
	seq      uint64
}

// held is a segment, and what holds it.
type held struct {
	size int64
	refs int // AORs whose oldest pending entry it has
}

const (
	magic       = "sipward journal 2\n" // and run follows, in 8 bytes
	headSize    = 8
	maxEntry    = 1 << 20
	segmentSize = 16 << 20
	extension   = ".journal"
	noSegment   = 1<<31 - 1 // of what is in no journal
)

// checksum makes the table each time: package crc32 has one copy of it.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// openJournal calls replay for each entry in dir that the backend does not have,
// in their order, with the segment that has it and a func that holds that
// segment. Then it begins a new segment.
func openJournal(dir string, replay func(e *entry, segment int, hold func())) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	j := &journal{dir: dir, limit: segmentSize, segments: map[int]*held{}, run: rand.Uint64()}
	numbers, err := segmentsIn(dir)
	if err != nil {
		return nil, err
	}
	var l leftovers
	for _, n := range numbers {
		h := &held{}
		j.segments[n], j.current = h, n
		if err := j.read(n, h, func(run uint64, e *entry) { l.add(n, run, e) }); err != nil {
			return nil, err
		}
	}
	for _, e := range l.left() {
		replay(&e.entry, e.segment, func() { j.segments[e.segment].refs++ })
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.trim()
	return j, j.rotate()
}

// leftovers are the entries of former processes, and up to where the backend has
// them.
type leftovers struct {
	entries []leftover
	written map[source]uint64
}

type leftover struct {
	entry
	run     uint64
	segment int
}

// source is what entries are counted by.
type source struct {
	run uint64
	aor location.AOR
}

func (l *leftovers) add(segment int, run uint64, e *entry) {
	if e.kind != written {
		l.entries = append(l.entries, leftover{*e, run, segment})
		return
	}
	if l.written == nil {
		l.written = map[source]uint64{}
	}
	from := source{run, e.aor}
	l.written[from] = max(l.written[from], e.seq)
}

// left returns what the backend does not have.
func (l *leftovers) left() []leftover {
	return slices.DeleteFunc(l.entries, func(e leftover) bool {
		seq, ok := l.written[source{e.run, e.aor}]
		return ok && e.seq <= seq
	})
}

// Adopt moves a journal, that of a process that is gone, to the one in dir.
// Nobody may use either. A directory that does not exist has no journal.
func Adopt(dir, from string) error {
	theirs, err := segmentsIn(from)
	if errors.Is(err, fs.ErrNotExist) || len(theirs) == 0 && err == nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	ours, err := segmentsIn(dir)
	if err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	next := 1
	if len(ours) > 0 {
		next = ours[len(ours)-1] + 1
	}
	for i, n := range theirs {
		if err := os.Rename(segmentPath(from, n), segmentPath(dir, next+i)); err != nil {
			return fmt.Errorf("mirror: %w", err)
		}
	}
	return nil
}

// segmentsIn returns the numbers of the segments in dir, in their order.
func segmentsIn(dir string) (numbers []int, err error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		digits, ok := strings.CutSuffix(f.Name(), extension)
		if n, err := strconv.Atoi(digits); ok && err == nil && n < noSegment {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

func segmentPath(dir string, n int) string {
	return filepath.Join(dir, fmt.Sprintf("%010d%s", n, extension))
}

func (j *journal) path(n int) string { return segmentPath(j.dir, n) }

// read calls each for the entries of a segment. If it ends in the middle of an
// entry, whose change nobody was told of, that is its end. If anything else is
// wrong with it, a copy stays for somebody to look at.
func (j *journal) read(n int, h *held, each func(run uint64, e *entry)) error {
	data, err := os.ReadFile(j.path(n))
	if err != nil {
		return err
	}
	h.size = int64(len(data))
	rest, err := readEntries(data, each)
	if err == nil && len(rest) == 0 || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	j.faults = append(j.faults, fmt.Errorf("%s, offset %d: %w", j.path(n), len(data)-len(rest), err))
	return os.WriteFile(j.path(n)+".damaged", data, 0o600)
}

// readEntries calls each for all entries of a segment, and returns what is left
// if there is one that it cannot read. The error wraps [io.ErrUnexpectedEOF] if
// the segment ends within that.
func readEntries(data []byte, each func(run uint64, e *entry)) (rest []byte, err error) {
	switch {
	case strings.HasPrefix(magic, string(data[:min(len(data), len(magic))])) && len(data) < len(magic)+8:
		return data, io.ErrUnexpectedEOF
	case !strings.HasPrefix(string(data[:min(len(data), len(magic))]), magic):
		return data, errors.New("not a journal of this version")
	}
	run := binary.LittleEndian.Uint64(data[len(magic):])
	data = data[len(magic)+8:]
	for len(data) > 0 {
		if len(data) < headSize {
			return data, io.ErrUnexpectedEOF
		}
		size, sum := binary.LittleEndian.Uint32(data), binary.LittleEndian.Uint32(data[4:])
		switch {
		case size > maxEntry:
			return data, errEntry
		case int(size) > len(data)-headSize:
			return data, io.ErrUnexpectedEOF
		}
		body := data[headSize : headSize+size]
		if checksum(body) != sum {
			return data, errors.New("wrong checksum")
		}
		e, err := parseEntry(body)
		if err != nil {
			return data, err
		}
		each(run, &e)
		data = data[headSize+size:]
	}
	return nil, nil
}

// append writes entries, all or none, and returns the segment that has them,
// which it holds for that many AORs. Of a user with much to be kept, that may be
// more than the file may have of one entry.
func (j *journal) append(holds int, list ...*entry) (segment int, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.buf = j.buf[:0]
	for _, e := range list {
		for part := range e.parts() {
			j.seq++
			e.seq, part.seq = j.seq, j.seq
			start := len(j.buf)
			j.buf = appendFrame(j.buf, &part)
			if n := len(j.buf) - start - headSize; n > maxEntry {
				return 0, fmt.Errorf("entry of %d bytes is too long", n)
			}
		}
	}
	if err := j.write(); err != nil {
		return 0, err
	}
	j.segments[j.current].refs += holds
	return j.current, nil
}

// mark notes what the backend has. That it does not get into the journal does no
// harm: then it is written once more.
func (j *journal) mark(list []entry) {
	if j == nil || len(list) == 0 {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.buf = j.buf[:0]
	for i := range list {
		j.buf = appendFrame(j.buf, &list[i])
	}
	_ = j.write()
	j.renew()
}

// write writes buf to the current segment.
func (j *journal) write() error {
	if j.file == nil || j.size >= j.limit {
		if err := j.rotate(); err != nil {
			return err
		}
	}
	if n, err := j.file.Write(j.buf); err != nil {
		// What follows a part of an entry would never be read.
		if n > 0 {
			j.abandon()
		}
		return err
	}
	j.size += int64(len(j.buf))
	j.segments[j.current].size = j.size
	return nil
}

// appendFrame appends e with its length and checksum.
func appendFrame(b []byte, e *entry) []byte {
	start := len(b)
	b = e.append(append(b, make([]byte, headSize)...))
	head, body := b[start:], b[start+headSize:]
	binary.LittleEndian.PutUint32(head, uint32(len(body)))
	binary.LittleEndian.PutUint32(head[4:], checksum(body))
	return b
}

// abandon takes back what a failed write has left, or begins another segment
// with the next entry.
func (j *journal) abandon() {
	if _, err := j.file.Seek(j.size, io.SeekStart); err == nil && j.file.Truncate(j.size) == nil {
		return
	}
	j.retire()
}

// retire ends the current segment, which sync closes.
func (j *journal) retire() {
	if j.file != nil {
		j.retired = append(j.retired, j.file)
		j.file = nil
	}
}

// rotate begins a new segment.
func (j *journal) rotate() error {
	n := j.current + 1
	f, err := os.OpenFile(j.path(n), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	head := binary.LittleEndian.AppendUint64([]byte(magic), j.run)
	if _, err := f.Write(head); err != nil {
		return errors.Join(err, f.Close(), os.Remove(j.path(n)))
	}
	j.retire()
	j.file, j.current, j.size, j.synced = f, n, int64(len(head)), 0
	j.segments[n] = &held{size: j.size}
	j.trim()
	return nil
}

// release lets a segment go for one AOR. When nothing is pending any more, a
// large current one gives way to an empty one.
func (j *journal) release(n int) {
	if j == nil || n == noSegment {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if h := j.segments[n]; h != nil {
		h.refs--
	}
	j.trim()
	j.renew()
}

// move lets a segment go for one AOR, of which a later one has all, as soon as
// that is on disk.
func (j *journal) move(n int) {
	if n == noSegment {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.moved = append(j.moved, n)
}

// renew begins a new segment if the current one is large and nothing is pending.
func (j *journal) renew() {
	if h := j.segments[j.current]; h != nil && h.refs == 0 && len(j.segments) == 1 && j.size > j.limit/16 {
		_ = j.rotate() // else it grows on, and the next append says what is wrong
	}
}

// trim removes the segments before the first one that is held. Those after it
// stay, held or not, since an AOR holds the first one only that has something
// pending of it, and what came later may be in any of them.
func (j *journal) trim() {
	for _, n := range slices.Sorted(maps.Keys(j.segments)) {
		if j.segments[n].refs > 0 || j.file != nil && n == j.current {
			return
		}
		delete(j.segments, n)
		_ = os.Remove(j.path(n)) // one that stays is read once more, which does no harm
	}
}

// bytes returns the size of all segments.
func (j *journal) bytes() (sum int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, h := range j.segments {
		sum += h.size
	}
	return sum
}

// begin begins a new segment and returns its number: what is pending in earlier
// ones is to be appended again.
func (j *journal) begin() (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.rotate()
	return j.current, err
}

// sync puts what was written on disk, and then lets go of what is not needed then.
func (j *journal) sync() error {
	j.syncing.Lock()
	defer j.syncing.Unlock()
	j.mu.Lock()
	f, size, retired, moved := j.file, j.size, j.retired, j.moved
	files := slices.Clone(retired)
	if f != nil && size != j.synced {
		files = append(files, f)
	}
	j.mu.Unlock()
	for _, f := range files {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	j.mu.Lock()
	if j.file == f {
		j.synced = size
	}
	j.retired, j.moved = j.retired[len(retired):], j.moved[len(moved):]
	j.mu.Unlock()
	for _, f := range retired {
		f.Close()
	}
	for _, n := range moved {
		j.release(n)
	}
	return nil
}

// close ends the journal. If nothing is pending, nothing is left of it.
func (j *journal) close() error {
	err := j.sync()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.retire()
	for _, f := range j.retired {
		err = errors.Join(err, f.Close())
	}
	j.trim()
	return err
}
