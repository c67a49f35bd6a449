package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/sipward/sipward/acct"
)

// logSink is the name of the sink that has a line for each call in the log.
const logSink = "log"

// Whoever knows a domain can call there in vain as often as he likes. So of calls of
// phones that nobody answers there are only so many lines at once, and a second.
const (
	mostLines  = 200
	everyLines = time.Second / 20
)

// callLines is the log as a sink. Each journal has one of its own.
type callLines struct {
	log    *slog.Logger
	lines  acct.Sink
	full   time.Time // when there is room for mostLines again
	untold int       // calls without a line since the last one that has one
}

var _ acct.Sink = (*callLines)(nil)

func newCallLines(log *slog.Logger) *callLines {
	return &callLines{log: log, lines: acct.NewSlog(log)}
}

// Write implements [acct.Sink].
func (c *callLines) Write(ctx context.Context, records []acct.Record) error {
	for i := range records {
		r := &records[i]
		if r.Direction == acct.FromPhone && r.Answered.IsZero() && !c.room(time.Now()) {
			c.untold++
			continue
		}
		if c.untold > 0 {
			c.log.Warn("calls of phones that nobody answered: more than are logged", "count", c.untold)
			c.untold = 0
		}
		if err := c.lines.Write(ctx, records[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// room takes the place of one line, if there is one.
func (c *callLines) room(now time.Time) bool {
	full := c.full
	if full.Before(now) {
		full = now
	}
	if full = full.Add(everyLines); full.Sub(now) > mostLines*everyLines {
		return false
	}
	c.full = full
	return true
}
