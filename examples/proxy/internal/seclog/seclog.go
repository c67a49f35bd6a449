// Package seclog writes who was turned away to the tables failed_registrations
// and door_knock_attempts, for dashboards and programs that look there. How much
// is worth a row is for the caller to say, and how many attempts one stands for: that
// is in the column attempts, if there is one. Nothing waits for the database: what does
// not fit into a queue is lost, and counted.
package seclog

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	// maxQueue is how many rows wait: what the guard lets through of an attack in
	// a minute, as it reports twenty a second at most.
	maxQueue = 1200
	maxBatch = 100

	gathering = time.Second     // how long the first row of a batch waits for others
	patience  = 3 * time.Second // for one statement
	pause     = 5 * time.Second // after one that the database did not answer
)

// Config configures a [Log]. DB is required.
type Config struct {
	// DB has the tables, and is closed by the caller after Run has returned. They
	// may be missing: then their rows are discarded, for as long as they are.
	DB *sql.DB

	// Keep is how old a row may be, whoever has written it, before it is deleted;
	// 0 is any age.
	Keep time.Duration

	// Logger hears of tables that cannot be used. Nil discards.
	Logger *slog.Logger
}

// Log writes rows, and deletes old ones. A nil *Log discards what it gets. Its
// methods may be called concurrently.
type Log struct {
	cfg                    Config
	queue                  chan row
	written, lost, deleted atomic.Uint64
	failing                map[string]bool // of those who write: tables of which the log knows
}

// New returns a Log. Nothing is written or deleted before Run.
func New(cfg Config) *Log {
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	return &Log{cfg: cfg, queue: make(chan row, maxQueue), failing: map[string]bool{}}
}

// Registration has a row of failed_registrations written. It does not block.
func (l *Log) Registration(r Registration) {
	if l != nil {
		l.add(r.row())
	}
}

// Knock has a row of door_knock_attempts written. It does not block.
func (l *Log) Knock(k Knock) {
	if l != nil {
		l.add(k.row())
	}
}

func (l *Log) add(r row) {
	select {
	case l.queue <- r:
	default:
		l.lost.Add(1)
	}
}

// Stats are counted since the start.
type Stats struct {
	Waiting int    `json:"waiting"` // rows in the queue, now
	Written uint64 `json:"written"`
	Lost    uint64 `json:"lost"`    // no room in the queue, no table, or refused
	Deleted uint64 `json:"deleted"` // since they were old
}

// Stats returns the present numbers.
func (l *Log) Stats() Stats {
	return Stats{len(l.queue), l.written.Load(), l.lost.Load(), l.deleted.Load()}
}

// Run writes and deletes until ctx is done, and then writes what is left if the
// database takes it. The error is always nil.
func (l *Log) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { l.prune(ctx) })
	for {
		batch := l.gather(ctx)
		if len(batch) == 0 || !l.write(ctx, batch) {
			return nil
		}
	}
}

// gather returns the rows that come next. There are none if ctx is done and none
// are left.
func (l *Log) gather(ctx context.Context) (batch []row) {
	select {
	case r := <-l.queue:
		batch = append(batch, r)
	case <-ctx.Done():
	}
	timer := time.NewTimer(gathering)
	defer timer.Stop()
	for ctx.Err() == nil && len(batch) < maxBatch {
		select {
		case r := <-l.queue:
			batch = append(batch, r)
		case <-timer.C:
			return batch
		case <-ctx.Done():
		}
	}
	for len(batch) < maxBatch {
		select {
		case r := <-l.queue:
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// write writes rows, with as many attempts as it takes. It reports false if ctx
// is done before.
func (l *Log) write(ctx context.Context, batch []row) bool {
	for _, table := range []string{Registrations, Knocks} {
		rows := slices.DeleteFunc(slices.Clone(batch), func(r row) bool { return r.table != table })
		if len(rows) > 0 && !l.insert(ctx, table, rows) {
			return false
		}
	}
	return true
}

func (l *Log) insert(ctx context.Context, table string, rows []row) bool {
	for {
		err := l.try(ctx, table, rows, true)
		if isNumber(err, unknownColumn) {
			err = l.try(ctx, table, rows, false)
		}
		if err == nil {
			l.written.Add(uint64(len(rows)))
			delete(l.failing, table)
			return true
		}
		if !isMissing(err) && !l.failing[table] {
			l.failing[table] = true
			l.cfg.Logger.Warn("security rows are not written", "table", table, "err", err)
		}
		if _, answered := errors.AsType[*mysql.MySQLError](err); answered { // it would say the same again
			l.lost.Add(uint64(len(rows)))
			return true
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			l.lost.Add(uint64(len(rows)))
			return false
		}
	}
}

const unknownColumn = 1054

// try inserts rows with one statement, with their number of attempts or without, also
// if ctx is done. By IGNORE the server
// cuts what is too long for a column, and replaces what its character set lacks,
// in place of refusing the row.
func (l *Log) try(ctx context.Context, table string, rows []row, counted bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	names := columns(table)
	if counted {
		names = append(names, attempts)
	}
	var values []any
	for _, r := range rows {
		values = append(values, r.values[:len(names)]...)
	}
	marks := "(" + strings.Join(slices.Repeat([]string{"?"}, len(names)), ", ") + ")"
	_, err := l.cfg.DB.ExecContext(ctx, "INSERT IGNORE INTO "+table+" ("+strings.Join(names, ", ")+") VALUES "+
		strings.Join(slices.Repeat([]string{marks}, len(rows)), ", "), values...)
	return err
}
