package acct

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// outlet brings the records of the journal to a sink.
type outlet struct {
	name    string
	sink    Sink
	journal *journal
	log     *slog.Logger
	wake    chan struct{}
	moved   func() // it has come further

	buf []byte // for a part of the journal

	pos, seq                             atomic.Uint64 // as in position
	written, dropped, rejected, failures atomic.Uint64
	spooled                              atomic.Uint64
}

const (
	// maxBatch bounds the records of one write.
	maxBatch = 500
	// readSize is more than enough for the longest entry.
	readSize = 256 << 10
	// writeTimeout bounds one write.
	writeTimeout = time.Minute

	firstRetry, lastRetry = 100 * time.Millisecond, 30 * time.Second
)

// run writes records until ctx is done, or until all are written if drain is
// set.
func (o *outlet) run(ctx context.Context, drain bool) {
	size, wait := maxBatch, firstRetry
	failing, waited := false, uint64(0) // records up to waited had to wait
	for ctx.Err() == nil {
		batch, next := o.next(size)
		if len(batch) == 0 {
			o.commit(next, 0, &o.written)
			if drain {
				return
			}
			select {
			case <-o.wake:
			case <-ctx.Done():
			}
			continue
		}
		err := o.write(ctx, batch)
		switch {
		case err == nil:
			if failing {
				failing, waited = false, o.journal.end().seq
			}
			if last := min(next.seq, waited); last > o.seq.Load() {
				o.spooled.Add(min(last-o.seq.Load(), uint64(len(batch))))
			}
			o.commit(next, len(batch), &o.written)
			size, wait = min(2*size, maxBatch), firstRetry
			continue
		case ctx.Err() != nil:
			return
		case len(batch) > 1:
			// Perhaps it is one of them only: those before it get through.
			o.failed(err)
			size = max(1, len(batch)/2)
			wait = o.pause(ctx, wait)
		case errors.Is(err, ErrRejected):
			o.log.Error("record rejected", "sink", o.name, "call_id", batch[0].CallID, "id", batch[0].ID, "err", err)
			o.commit(next, 1, &o.rejected)
			continue
		default:
			o.failed(err)
			wait = o.pause(ctx, wait)
		}
		failing = true
	}
}

func (o *outlet) failed(err error) {
	o.failures.Add(1)
	o.log.Warn("records not written", "sink", o.name, "queued", o.queued(), "err", err)
}

func (o *outlet) write(ctx context.Context, batch []Record) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return o.sink.Write(ctx, batch)
}

// pause waits before the next attempt, and returns how long to wait after that
// one at most. Programs that lost the same database do not come back to it all
// at once.
func (o *outlet) pause(ctx context.Context, most time.Duration) time.Duration {
	timer := time.NewTimer(most/2 + rand.N(most/2))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return min(2*most, lastRetry)
}

// next returns at most n records, and where those after them are.
func (o *outlet) next(n int) (batch []Record, p position) {
	p = position{o.pos.Load(), o.seq.Load()}
	for len(batch) == 0 {
		data, at, err := o.journal.read(p.pos, o.buf)
		p.pos = at
		if err == nil && len(data) == 0 {
			switch end := o.journal.readable(); {
			case end.pos > at: // something has just come
				continue
			case end.pos == at:
				return nil, end
			}
			return nil, p // it was read when the disk failed, and is not there yet
		}
		size := o.take(data, n, &batch, &p)
		if err != nil || size == 0 { // the disk has lost it, or it was dropped while it was read
			o.log.Error("journal cannot be read", "position", at, "err", err)
			p.pos = o.journal.skip(at)
		}
	}
	return batch, p
}

// take appends the records in data to the batch, up to n, and returns how many
// bytes it has dealt with.
func (o *outlet) take(data []byte, n int, batch *[]Record, p *position) (size int) {
	for len(*batch) < n {
		entry, frame, ok := cutFrame(data[size:])
		if !ok {
			break
		}
		size += frame
		p.pos += uint64(frame)
		if entry[0] != kindDone {
			continue
		}
		d := decoder{rest: string(entry[1:])}
		seq, r := d.uint(), d.record()
		if d.err() != nil || seq <= p.seq {
			continue // it is there twice
		}
		p.seq = seq
		*batch = append(*batch, r)
	}
	return size
}

// commit notes that the records before p are done with: n of them as counter
// counts, and the others, which were not there, dropped.
func (o *outlet) commit(p position, n int, counter *atomic.Uint64) {
	if passed := p.seq - o.seq.Load(); passed > 0 {
		counter.Add(uint64(n))
		o.dropped.Add(passed - uint64(n))
		o.journal.position(o.name, p)
	}
	o.pos.Store(p.pos)
	o.seq.Store(p.seq)
	o.moved()
}

// queued returns how many records wait.
func (o *outlet) queued() uint64 {
	return o.journal.end().seq - o.seq.Load()
}
