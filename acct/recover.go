package acct

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// recovered is what a journal has from the last run.
type recovered struct {
	calls     map[string]*Call    // those that were open, by ID
	positions map[string]position // of the sinks
	seq       uint64              // number of the last record
	damaged   []string            // segments that end with something else than an entry
}

// recover reads the segments in the directory. The journal goes on after them.
func (j *journal) recover() (*recovered, error) {
	starts, err := j.starts()
	if err != nil {
		return nil, err
	}
	r := &recovered{calls: map[string]*Call{}, positions: map[string]position{}}
	for i, start := range starts {
		limit := ^uint64(0)
		if i+1 < len(starts) {
			limit = starts[i+1]
		}
		s, err := j.recoverSegment(r, start, limit)
		if err != nil {
			return nil, err
		}
		if s.size == 0 {
			if err := os.Remove(j.path(start)); err != nil {
				return nil, err
			}
			continue
		}
		j.segments = append(j.segments, s)
	}
	j.seq, j.safe = r.seq, r.seq
	return r, nil
}

// starts returns the positions that segments begin with, in order.
func (j *journal) starts() (starts []uint64, err error) {
	files, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), segmentSuffix)
		if !ok || len(name) != 16 {
			continue
		}
		if start, err := strconv.ParseUint(name, 16, 63); err == nil {
			starts = append(starts, start)
		}
	}
	slices.Sort(starts)
	return starts, nil
}

// recoverSegment takes what a segment has before position limit.
func (j *journal) recoverSegment(r *recovered, start, limit uint64) (segment, error) {
	data, err := os.ReadFile(j.path(start))
	if err != nil {
		return segment{}, err
	}
	j.base = max(j.base, start+uint64(len(data))+1) // beyond anything that a file has
	size, whole := r.takeAll(data, start, limit)
	if !whole {
		r.damaged = append(r.damaged, j.path(start))
	}
	return segment{start, int64(size)}, nil
}

// takeAll takes the entries of a segment before position limit, and returns how
// many bytes they are. Whole tells if nothing follows them: otherwise a write was
// cut short, or the disk has failed.
func (r *recovered) takeAll(data []byte, start, limit uint64) (size int, whole bool) {
	data, whole = bytes.CutPrefix(data, []byte(magic))
	for whole && size < len(data) && start+uint64(size) < limit {
		entry, n, ok := cutFrame(data[size:])
		if whole = ok && r.take(string(entry), start+uint64(size)) == nil; whole {
			size += n
		}
	}
	return size, whole
}

// take takes an entry at a position.
func (r *recovered) take(entry string, pos uint64) error {
	d := decoder{rest: entry[1:]}
	switch entry[0] {
	case kindOpen:
		c := d.call()
		if d.err() == nil {
			c.pos = pos
			r.calls[c.rec.ID] = c
		}
	case kindDrop:
		if id := d.text(); d.err() == nil {
			delete(r.calls, id)
		}
	case kindDone:
		n := d.uint()
		rec := d.record()
		if d.err() == nil {
			r.seq = max(r.seq, n)
			delete(r.calls, rec.ID)
		}
	case kindPosition:
		sink, p := d.position()
		if d.err() == nil {
			r.positions[sink] = p
			r.seq = max(r.seq, p.seq)
		}
	default:
		return fmt.Errorf("%w: kind %d", errEntry, entry[0])
	}
	return d.err()
}

// oldest returns the oldest segment if it can go: what is before position done
// is done with, and with more than spare such segments the journal is longer
// than need be. With more than limit bytes in all of them it goes in any case.
func (j *journal) oldest(done uint64, spare int, limit int64) (s segment, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var total int64
	free := 0
	for i, s := range j.segments {
		total += s.size
		if i < len(j.segments)-1 && s.end() <= done {
			free++
		}
	}
	if len(j.segments) < 2 || free <= spare && total <= limit {
		return segment{}, false
	}
	return j.segments[0], true
}

// remove removes the oldest segment.
func (j *journal) remove(s segment) error {
	if err := os.Remove(j.path(s.start)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.segments = slices.Clone(j.segments[1:])
	return nil
}
