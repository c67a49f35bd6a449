package acct

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// JSONConfig configures a [JSONFile].
type JSONConfig struct {
	// Path is the file. Its directory must be there. Required.
	Path string

	// MaxSize is how many bytes the file may have before a new one is begun; 0
	// is 100 MiB.
	MaxSize int64

	// Every is how often a new file is begun at least, at whole multiples of it
	// since midnight UTC of some day: with 24 hours, at midnight. 0 is never.
	Every time.Duration

	// Keep is how many old files are kept, the newest ones; 0 is all.
	Keep int
}

// JSONFile is a [Sink] that appends each record to a file, as a JSON object on
// a line of its own. Besides the fields of [Record] the objects have duration in
// seconds, rounded up, and duration_ms and setup_ms.
//
// An old file gets the time, in UTC, between the base of its name and its
// extension: calls-20261122T170405.000Z.json.
type JSONFile struct {
	cfg  JSONConfig
	file *os.File // nil until it is needed
	size int64
	last time.Time // of the last write
}

var _ Sink = (*JSONFile)(nil)

// NewJSONFile returns a JSONFile. The file is opened, or made, with the first
// record. All faults of cfg are reported, joined.
func NewJSONFile(cfg JSONConfig) (*JSONFile, error) {
	var faults []error
	if cfg.Path == "" {
		faults = append(faults, errors.New("acct: JSON file: no Path"))
	}
	if cfg.MaxSize < 0 || cfg.Every < 0 || cfg.Keep < 0 {
		faults = append(faults, errors.New("acct: JSON file: negative MaxSize, Every or Keep"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	if cfg.MaxSize == 0 {
		cfg.MaxSize = 100 << 20
	}
	return &JSONFile{cfg: cfg}, nil
}

// Write implements [Sink]. A batch is never split between two files.
func (f *JSONFile) Write(_ context.Context, records []Record) error {
	text, err := jsonLines(records)
	if err == nil {
		err = f.write(text, time.Now())
	}
	if err != nil {
		return fmt.Errorf("acct: JSON file: %w", err)
	}
	return nil
}

// Close closes the file. It must not be called together with Write.
func (f *JSONFile) Close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}

// jsonRecord is a record with what it implies.
type jsonRecord struct {
	*Record
	Duration     int64 `json:"duration"`
	Milliseconds int64 `json:"duration_ms"`
	Setup        int64 `json:"setup_ms"`
}

func jsonLines(records []Record) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for i := range records {
		r := &records[i]
		if err := enc.Encode(jsonRecord{r, r.Seconds(), r.Milliseconds(), r.Setup().Milliseconds()}); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

func (f *JSONFile) write(text []byte, now time.Time) error {
	if err := f.open(); err != nil {
		return err
	}
	if f.size > 0 && (f.size+int64(len(text)) > f.cfg.MaxSize || f.newPeriod(now)) {
		if err := f.rotate(now); err != nil {
			return err
		}
		if err := f.open(); err != nil {
			return err
		}
	}
	if _, err := f.file.WriteAt(text, f.size); err != nil {
		// Half a line would spoil the next one, and the batch comes again.
		return errors.Join(err, f.file.Truncate(f.size))
	}
	f.size += int64(len(text))
	f.last = now
	return nil
}

func (f *JSONFile) newPeriod(now time.Time) bool {
	return f.cfg.Every > 0 && !f.last.Truncate(f.cfg.Every).Equal(now.Truncate(f.cfg.Every))
}

// open makes sure that the file is open. What a killed program has left of a
// line is cut off.
func (f *JSONFile) open() error {
	if f.file != nil {
		return nil
	}
	file, err := os.OpenFile(f.cfg.Path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	whole, err := wholeLines(file, info.Size())
	if err == nil && whole < info.Size() {
		err = file.Truncate(whole)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	f.file, f.size, f.last = file, whole, info.ModTime()
	return nil
}

// wholeLines returns how much of a file ends with the end of a line.
func wholeLines(file *os.File, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for size > 0 {
		part := buf[:min(int64(len(buf)), size)]
		if _, err := file.ReadAt(part, size-int64(len(part))); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			return size - int64(len(part)) + int64(i) + 1, nil
		}
		size -= int64(len(part))
	}
	return 0, nil
}

// rotate puts the file away.
func (f *JSONFile) rotate(now time.Time) error {
	if err := f.Close(); err != nil {
		return err
	}
	base, ext := f.name()
	for {
		old := base + now.UTC().Format(rotatedTime) + ext
		if _, err := os.Lstat(old); errors.Is(err, fs.ErrNotExist) {
			if err := os.Rename(f.cfg.Path, old); err != nil {
				return err
			}
			return f.prune()
		} else if err != nil {
			return err
		}
		now = now.Add(time.Millisecond)
	}
}

const rotatedTime = "20060102T150405.000Z"

// name returns what an old file's name begins and ends with.
func (f *JSONFile) name() (base, ext string) {
	ext = filepath.Ext(f.cfg.Path)
	return strings.TrimSuffix(f.cfg.Path, ext) + "-", ext
}

// prune removes the oldest files.
func (f *JSONFile) prune() error {
	if f.cfg.Keep == 0 {
		return nil
	}
	base, ext := f.name()
	files, err := os.ReadDir(filepath.Dir(f.cfg.Path))
	if err != nil {
		return err
	}
	var old []string
	for _, file := range files {
		stamp, ok := strings.CutPrefix(file.Name(), filepath.Base(base))
		if !ok || !strings.HasSuffix(stamp, ext) {
			continue
		}
		if _, err := time.Parse(rotatedTime, strings.TrimSuffix(stamp, ext)); err == nil {
			old = append(old, file.Name())
		}
	}
	slices.Sort(old)
	var errs []error
	for _, name := range old[:max(0, len(old)-f.cfg.Keep)] {
		errs = append(errs, os.Remove(filepath.Join(filepath.Dir(f.cfg.Path), name)))
	}
	return errors.Join(errs...)
}
