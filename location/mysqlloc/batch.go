package mysqlloc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-sql-driver/mysql"

	"github.com/sipward/sipward/location"
)

// How many AORs one transaction of ApplyAll changes. For less than minBatch of
// them, a transaction takes more round trips than they do one by one.
const (
	minBatch = 4
	maxBatch = 128
)

// ApplyAll implements [location.Batcher]. An error wraps [ErrValue] if the table
// cannot hold a binding. 128 changes are one transaction, which has seven round
// trips if they are refreshes and a few more at most.
func (s *Store) ApplyAll(ctx context.Context, changes []location.AORChange) []error {
	all := make([]*job, len(changes))
	for i, c := range changes {
		all[i] = newJob(c.AOR, c.Change)
	}
	b := batch{Store: s}
	for jobs := range slices.Chunk(distinct(all), maxBatch) {
		if len(jobs) < minBatch {
			b.single = append(b.single, jobs...)
		} else {
			b.apply(ctx, jobs)
		}
	}
	for _, j := range b.single {
		if b.gone != nil {
			j.fail(ctx, b.gone)
		} else {
			s.applyOne(ctx, j)
		}
	}
	errs := make([]error, len(all))
	for i, j := range all {
		errs[i] = j.err
	}
	return errs
}

// distinct returns those jobs that can be done, ordered by AOR, so that two
// programs lock the same rows in the same order.
func distinct(all []*job) []*job {
	jobs := slices.Clone(all)
	slices.SortStableFunc(jobs, func(a, b *job) int { return a.aor.Compare(b.aor) })
	var last location.AOR
	return slices.DeleteFunc(jobs, func(j *job) bool {
		switch {
		case !j.aor.IsValid():
			j.err = errZeroAOR
		case j.aor == last:
			j.err = fmt.Errorf("mysqlloc: apply %v: it has another change in the same call", j.aor)
		}
		last = j.aor
		return j.err != nil
	})
}

// batch is one call of ApplyAll.
type batch struct {
	*Store
	single []*job // to be done one by one
	gone   error  // why the database does nothing any more
}

// apply makes the changes in one transaction. If the server refuses that then it
// finds out by halves which of them it refuses. Those come last, because they
// may have to wait for somebody, which the others need not.
func (b *batch) apply(ctx context.Context, jobs []*job) {
	if b.gone == nil {
		begun, err := b.transact(ctx, jobs, false)
		if err == nil {
			return
		}
		if _, refused := errors.AsType[*mysql.MySQLError](err); begun && refused {
			if len(jobs) == 1 {
				b.single = append(b.single, jobs...)
				return
			}
			half := len(jobs) / 2
			b.apply(ctx, jobs[:half])
			b.apply(ctx, jobs[half:])
			return
		}
		b.gone = err
	}
	for _, j := range jobs {
		j.fail(ctx, b.gone)
	}
}
