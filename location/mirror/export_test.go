package mirror

import (
	"os"
	"slices"
	"time"

	"github.com/sipward/sipward/location"
)

// Compact writes the journal anew, as Run does when it is large.
func (s *Store) Compact() error { return s.compact() }

// Waiting returns how many wait for all to be loaded.
func (s *Store) Waiting() int {
	s.loadMu.Lock()
	defer s.loadMu.Unlock()
	return len(s.onLoad)
}

// SetSegmentSize makes segments that are larger than n give way to others.
func (s *Store) SetSegmentSize(n int64) {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	s.journal.limit = n
}

// BreakJournal makes all writes to the current segment fail as on a full disk,
// until the returned func is called: the file cannot be written.
func (s *Store) BreakJournal() (repair func(), err error) {
	broken, err := os.Open(s.journal.file.Name())
	if err != nil {
		return nil, err
	}
	swap := func(f *os.File) *os.File {
		s.journal.mu.Lock()
		defer s.journal.mu.Unlock()
		old := s.journal.file
		s.journal.file = f
		return old
	}
	whole := swap(broken)
	return func() { swap(whole).Close() }, nil
}

// BreakSync makes it fail to put the journal on disk, until the returned func is
// called.
func (s *Store) BreakSync() (repair func()) {
	closed := os.NewFile(^uintptr(0), "closed") // of which nothing can be done
	j := s.journal
	j.syncing.Lock()
	defer j.syncing.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.retired = append(j.retired, closed)
	return func() {
		j.syncing.Lock()
		defer j.syncing.Unlock()
		j.mu.Lock()
		defer j.mu.Unlock()
		j.retired = slices.DeleteFunc(j.retired, func(f *os.File) bool { return f == closed })
	}
}

// Unsynced returns how many segments have what may not be on disk.
func (s *Store) Unsynced() int {
	j := s.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	n := len(j.retired)
	if j.size != j.synced {
		n++
	}
	return n
}

// Parsed is what the journal keeps of a change.
type Parsed struct {
	AOR    location.AOR
	At     int64
	Reset  bool
	Remove []location.Binding
	Put    []location.Binding
}

// ReadEntries returns all entries of a segment that can be read, and each of
// them written again.
func ReadEntries(data []byte) (list []Parsed, again [][]byte, err error) {
	_, err = readEntries(data, func(_ uint64, e *entry) {
		p := Parsed{AOR: e.aor, At: e.at.Unix(), Reset: e.kind == reset, Put: e.put}
		for _, k := range e.remove {
			p.Remove = append(p.Remove, k.binding())
		}
		list = append(list, p)
		again = append(again, e.append(nil))
	})
	return list, again, err
}

// AppendEntry appends an entry as a segment has it; with nothing before it, a
// segment begins.
func AppendEntry(data []byte, p Parsed) []byte {
	if len(data) == 0 {
		data = segmentHead()
	}
	e := entry{aor: p.AOR, at: time.Unix(p.At, 0), put: p.Put}
	if p.Reset {
		e.kind = reset
	}
	for i := range p.Remove {
		e.remove = append(e.remove, removeKey(&p.Remove[i], e.at))
	}
	return appendFrame(data, &e)
}

// Frame returns a segment with one entry, given its body.
func Frame(body []byte) []byte {
	e, err := parseEntry(body)
	if err != nil {
		return []byte("not an entry")
	}
	return appendFrame(segmentHead(), &e)
}

func segmentHead() []byte { return append([]byte(magic), 1, 2, 3, 4, 5, 6, 7, 8) }
