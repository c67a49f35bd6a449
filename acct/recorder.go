package acct

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Config configures a [Recorder].
type Config struct {
	// Sinks take the records, each all of them, at its own pace. Their names
	// tell after a restart who has had what: a sink with a new name gets the
	// records from then on. Required, at least one.
	Sinks map[string]Sink

	// Dir is the directory of the journal. It is made if it is not there, for
	// the owner's eyes only, and is for one Recorder at a time. If it is empty
	// then open calls and waiting records are in memory only.
	Dir string

	// MaxBytes bounds the journal. Beyond it the oldest records are dropped,
	// and counted, though a sink has not taken them. 0 is 1 GiB, which is about
	// a million calls, and without a directory 64 MiB.
	MaxBytes int64

	// DialogTimeout is how long a call may be up, or ring, without a sign of
	// life: a request in its dialog other than BYE. 0 is 4 hours.
	DialogTimeout time.Duration

	// MaxCalls bounds the calls that are followed at a time, with those that
	// ring and those that wait for credentials, which are a quarter at most. A
	// call beyond it has its record as others do if it is not answered; if it
	// is, the record is made at that moment, with no duration and the end
	// [Unfollowed]. 0 is 100000.
	MaxCalls int

	// Logger hears of sinks and disks that fail. Nil discards.
	Logger *slog.Logger
}

// Recorder follows calls and makes their records. Its methods may be called
// concurrently, but for Run and Close. On a nil Recorder, Begin returns nil and
// the methods of dialogs do nothing, so that a proxy without accounting needs
// no other code.
type Recorder struct {
	cfg     Config
	ids     ids
	journal journal
	outlets []*outlet
	unlock  func() error
	failing bool // the disk, at the last attempt. Of Run and Close, as is closed
	closed  bool

	seed   maphash.Seed
	shards [shardCount]shard

	open, held atomic.Int64 // calls that are followed, and those of them that wait for credentials
	counts     [causes]atomic.Uint64
	unfollowed atomic.Uint64
	unrecorded atomic.Uint64
}

// Open returns a Recorder that goes on where the last one with the same
// directory has ended. All faults of cfg are reported, joined. It starts no
// goroutine: nothing is written until [Recorder.Run] or [Recorder.Close].
func Open(cfg Config) (*Recorder, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	r := &Recorder{cfg: cfg, seed: maphash.MakeSeed()}
	r.ids.init()
	for i := range r.shards {
		r.shards[i].calls = map[key]*Call{}
	}
	r.journal = journal{
		dir: cfg.Dir, room: journalRoom, size: segmentSize,
		wake: make(chan struct{}, 1), notify: r.notify, base: 1, // 0 is no position
	}
	if cfg.Dir == "" {
		r.journal.room = int(cfg.MaxBytes)
	}
	last, err := r.recover()
	if err != nil {
		return nil, fmt.Errorf("acct: open journal: %w", err)
	}
	for name, sink := range cfg.Sinks {
		r.addOutlet(name, sink, last)
	}
	return r, nil
}

// complete fills in the defaults.
func (c *Config) complete() error {
	var faults []error
	if len(c.Sinks) == 0 {
		faults = append(faults, errors.New("acct: no Sinks"))
	}
	for name, sink := range c.Sinks {
		if sink == nil {
			faults = append(faults, fmt.Errorf("acct: sink %q is nil", name))
		}
	}
	if c.MaxBytes < 0 || c.DialogTimeout < 0 || c.MaxCalls < 0 {
		faults = append(faults, errors.New("acct: negative MaxBytes, DialogTimeout or MaxCalls"))
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 1 << 30
		if c.Dir == "" {
			c.MaxBytes = 64 << 20
		}
	}
	if c.DialogTimeout == 0 {
		c.DialogTimeout = 4 * time.Hour
	}
	if c.MaxCalls == 0 {
		c.MaxCalls = 100_000
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return errors.Join(faults...)
}

// recover reads the journal and takes up its calls.
func (r *Recorder) recover() (*recovered, error) {
	if r.cfg.Dir == "" {
		r.unlock = func() error { return nil }
		return &recovered{}, nil
	}
	if err := os.MkdirAll(r.cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if r.unlock, err = lockDir(r.cfg.Dir); err != nil {
		return nil, err
	}
	last, err := r.journal.recover()
	if err != nil {
		return nil, errors.Join(err, r.unlock())
	}
	for _, file := range last.damaged {
		r.cfg.Logger.Warn("journal ends with something that is no entry", "file", file)
	}
	now := time.Now()
	for _, c := range last.calls {
		r.restore(c, now)
	}
	return last, nil
}

// restore takes up a call of the last run.
func (r *Recorder) restore(c *Call, now time.Time) {
	c.recorder, c.shard = r, r.shardOf(c.rec.CallID)
	c.kept = c.last
	c.acked = true // for all we know
	if !c.answered() {
		c.restored, c.last = true, now
	}
	r.open.Add(1)
	c.shard.add(c)
}

func (r *Recorder) addOutlet(name string, sink Sink, last *recovered) {
	o := &outlet{
		name: name, sink: sink, journal: &r.journal, log: r.cfg.Logger,
		wake: make(chan struct{}, 1), moved: r.moved, buf: make([]byte, readSize),
	}
	p, known := last.positions[name]
	if !known {
		p = r.journal.end()
	}
	o.pos.Store(p.pos)
	o.seq.Store(p.seq)
	r.journal.position(name, p)
	r.outlets = append(r.outlets, o)
}

// notify wakes the outlets.
func (r *Recorder) notify() {
	for _, o := range r.outlets {
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
}

// slowest returns the position before which all records are done with.
func (r *Recorder) slowest() uint64 {
	pos := ^uint64(0)
	for _, o := range r.outlets {
		pos = min(pos, o.pos.Load())
	}
	return pos
}

func (r *Recorder) moved() { r.journal.release(r.slowest()) }

func (r *Recorder) shardOf(callID string) *shard {
	return &r.shards[maphash.String(r.seed, callID)%shardCount]
}

// room takes the place of one more call, if there is one.
func (r *Recorder) room() bool {
	if r.open.Add(1) > int64(r.cfg.MaxCalls) {
		r.open.Add(-1)
		return false
	}
	return true
}

func (r *Recorder) maxHeld() int64 { return int64(r.cfg.MaxCalls+3) / 4 }

func (r *Recorder) count(cause Cause, end End) {
	r.counts[cause].Add(1)
	if end == Unfollowed {
		r.unfollowed.Add(1)
	}
}

// Begin notes an initial INVITE that the proxy takes: that of a new call, or
// another one of a call that has begun already and is not up. Each has to be followed by
// [Call.Answer] or [Call.Fail].
func (r *Recorder) Begin(i Invite) *Call {
	if r == nil {
		return nil
	}
	k := key{identifier(i.CallID), identifier(i.FromTag)}
	s := r.shardOf(k.callID)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := s.calls[k]; c != nil; c = c.next {
		if c.rec.SetID == i.SetID && !c.isUp() { // that of another tenant is another call, whatever it says
			c.again()
			return c
		}
	}
	now := time.Now()
	id := r.ids.new(now)
	c := &Call{recorder: r, shard: s, last: now, pending: 1}
	c.rec = Record{
		ID:     string(id[:]), // does not escape: own copies it
		CallID: k.callID, FromTag: k.fromTag,
		FromURI: cut(i.FromURI, maxText), ToURI: cut(i.ToURI, maxText),
		Domain: cut(i.Domain, maxText), CallerAgent: cut(i.UserAgent, maxText),
		SetID: i.SetID, Direction: i.Direction, Source: i.Source, Created: now,
	}
	own(&c.rec.ID, &c.rec.CallID, &c.rec.FromTag, &c.rec.FromURI, &c.rec.ToURI, &c.rec.Domain, &c.rec.CallerAgent)
	c.follow()
	c.keep()
	return c
}

// Run writes the journal and the records, and closes calls that are due, until
// ctx is done. Only one may run at a time.
func (r *Recorder) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, o := range r.outlets {
		wg.Go(func() { o.run(ctx, false) })
	}
	wg.Go(func() { r.syncEachSecond(ctx) })
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			wg.Wait()
			r.flush()
			return nil
		case <-r.journal.wake:
			r.flush()
		case <-ticker.C:
			r.sweep(time.Now())
			if r.flush() {
				r.clean()
			}
		}
	}
}

// syncEachSecond has the journal survive power cuts.
func (r *Recorder) syncEachSecond(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := r.journal.sync(); err != nil {
				r.cfg.Logger.Warn("journal not synced: a power cut would lose calls", "err", err)
			}
		}
	}
}

// Close gives the sinks the records that wait, until ctx is done, and lets go
// of the directory. Run must have returned, and nothing may use the Recorder
// any more.
//
// What could not be written stays in the directory. Without one it is lost, and
// calls that are open are recorded as [Lost] or [TimedOut] with the end
// [Stopped].
func (r *Recorder) Close(ctx context.Context) error {
	if r.closed {
		return nil
	}
	r.closed = true
	if r.cfg.Dir == "" {
		r.each(func(c *Call) { c.close(Stopped) })
	}
	r.flush()
	var wg sync.WaitGroup
	for _, o := range r.outlets {
		wg.Go(func() { o.run(ctx, true) })
	}
	wg.Wait()
	errs := []error{r.journal.flush(), r.journal.close(), r.unlock()}
	for _, o := range r.outlets {
		if n := o.queued(); n > 0 {
			errs = append(errs, fmt.Errorf("%d records not written to %s: %w", n, o.name, ctx.Err()))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("acct: close: %w", err)
	}
	return nil
}

// flush reports whether the disk works, and logs if that has changed.
func (r *Recorder) flush() bool {
	err := r.journal.flush()
	switch {
	case err != nil && !r.failing:
		r.cfg.Logger.Error("journal cannot be written: a kill would lose calls", "err", err)
	case err == nil && r.failing:
		r.cfg.Logger.Info("journal is written again")
	}
	r.failing = err != nil
	return err == nil
}

// sweep closes the calls that are due.
func (r *Recorder) sweep(now time.Time) {
	for i := range r.shards {
		r.shards[i].sweep(now, r.cfg.DialogTimeout)
	}
}

// each calls f for each call, with its shard locked. F may end the call.
func (r *Recorder) each(f func(*Call)) {
	for i := range r.shards {
		r.shards[i].each(f)
	}
}

// clean removes segments that are not needed, the oldest first. What they have
// of calls that are still open is written anew.
func (r *Recorder) clean() {
	end := r.journal.end().pos
	for {
		// Half of the journal may be of calls that are over. So each call that
		// is open is written anew at most once for as much as the others write.
		spare := 2 + 2*int(r.open.Load())*averageEntry/r.journal.size
		s, ok := r.journal.oldest(r.slowest(), spare, r.cfg.MaxBytes)
		if !ok || s.start >= end { // it has been written by us
			return
		}
		r.each(func(c *Call) {
			if c.pos != 0 && c.pos < s.end() {
				c.keep()
			}
		})
		for _, o := range r.outlets {
			r.journal.position(o.name, position{o.pos.Load(), o.seq.Load()})
		}
		if !r.flush() {
			return
		}
		if err := r.journal.remove(s); err != nil {
			r.cfg.Logger.Warn("old part of the journal not removed", "err", err)
			return
		}
	}
}

// averageEntry is about how long the state of a call is in the journal.
const averageEntry = 400

// Calls returns the calls that are open, each as the [Record] that it has so
// far, in no order. Those that wait for credentials are not among them. Calls
// that begin or end meanwhile may be among them or not.
func (r *Recorder) Calls() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for i := range r.shards {
			for _, rec := range r.shards[i].records() {
				if !yield(rec) {
					return
				}
			}
		}
	}
}
