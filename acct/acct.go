// Package acct turns SIP calls into call detail records.
//
// A [Recorder] follows calls through what a proxy tells it, and makes one
// [Record] of each: of a call that was answered when it ends, of any other when
// it has its final response. It hands the records to its sinks, each at its own
// pace: a [Sink] that fails is tried again while the others go on.
//
//	call := recorder.Begin(acct.Invite{...}) // an initial INVITE
//	call.Leg(destination)                    // sent on, once for each branch
//	call.Progress()                          // 180, 183
//	call.Answer(acct.Answer{...})            // each 2xx
//	recorder.Ack(dialog)
//	recorder.Bye(dialog)                     // from either side
//
// # What is one call
//
// INVITEs with the same Call-ID and From tag are one call until the caller has
// acknowledged an answer: the one that comes again with credentials, the one that
// comes by again because a PBX is a proxy. One that comes later is another call,
// of a phone that uses them again, unless its answer is that of the first one.
// A challenge (401, 407) is no outcome, so a call that ends with one is none.
// However many phones ring and however many PBXes are tried, there is one
// record, of the leg that counted. Only if two of them answer there are two
// dialogs (RFC 3261 section 13.2.2.4), and each has its record.
//
// # What is never missed
//
// With a directory, open calls and records that a sink has not taken yet are in
// a journal there. A program that was killed goes on where it was: a call that
// was up ends with its BYE as if nothing had happened, one that rang is closed.
// The journal is written by [Recorder.Run] a moment after each event, so it may
// lack what happened in the last milliseconds before a kill; the call is then
// closed later or by less exact times, but still once. After a power cut that is
// the last second or two. A record may reach a sink again if the program ends
// before that is noted; [Record].ID tells.
//
// A call whose BYE never comes is closed after [Config].DialogTimeout without a
// sign of life, or after one and a half of its session interval (RFC 4028) if
// that is shorter. It lasted until its last sign of life, as far as anybody
// knows, and is marked as [Lost].
package acct

import (
	"context"
	"errors"
)

// ErrRejected says that a record is one that a [Sink] will never take. A sink
// wraps it. The record is dropped and counted, so that it does not hold up the
// others for ever.
var ErrRejected = errors.New("record rejected")

// Sink takes records.
type Sink interface {
	// Write stores records, in the order in which their calls ended. When it
	// returns nil it has stored all of them.
	//
	// After an error, some or all of them come again. They also do if the
	// program ends before the success is noted. A Sink that can recognizes them
	// by their ID, and stores each once.
	//
	// It is called by one goroutine at a time. It must return soon after ctx is
	// done, and must not keep or change the slice.
	Write(ctx context.Context, records []Record) error
}

// SinkFunc is a function as a [Sink].
type SinkFunc func(ctx context.Context, records []Record) error

var _ Sink = SinkFunc(nil)

// Write implements [Sink].
func (f SinkFunc) Write(ctx context.Context, records []Record) error { return f(ctx, records) }
