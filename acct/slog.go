package acct

import (
	"context"
	"log/slog"
)

// NewSlog returns a [Sink] that logs each record as a line at level Info, with
// the message "call". Users and addresses are among its attributes.
func NewSlog(l *slog.Logger) Sink {
	return SinkFunc(func(ctx context.Context, records []Record) error {
		for i := range records {
			l.LogAttrs(ctx, slog.LevelInfo, "call", records[i].attrs()...)
		}
		return nil
	})
}

func (r *Record) attrs() []slog.Attr {
	attrs := make([]slog.Attr, 0, 16)
	attrs = append(attrs,
		slog.String("id", r.ID),
		slog.String("call_id", r.CallID),
		slog.String("from", r.FromURI),
		slog.String("to", r.ToURI),
		slog.Int("setid", r.SetID),
		slog.String("domain", r.Domain),
		slog.String("direction", r.Direction.String()))
	if r.Source.IsValid() {
		attrs = append(attrs, slog.String("src", r.Source.String()))
	}
	if r.Destination.IsValid() { // it was sent on
		attrs = append(attrs, slog.String("dst", r.Destination.String()))
	}
	attrs = append(attrs,
		slog.String("cause", r.Cause.String()),
		slog.Int("code", r.Code),
		slog.String("reason", r.Reason),
		slog.Duration("setup", r.Setup()))
	if !r.Answered.IsZero() {
		attrs = append(attrs, slog.Duration("duration", r.Duration()))
	}
	if r.End != Unanswered {
		attrs = append(attrs, slog.String("end", r.End.String()))
	}
	if r.NoACK {
		attrs = append(attrs, slog.Bool("no_ack", true))
	}
	return attrs
}
