package acct

// Stats is a snapshot of a [Recorder]. What counts since the start counts
// without what happened before it.
type Stats struct {
	Open       int              // calls that ring or are up
	Held       int              // calls that wait for an INVITE with credentials
	Recorded   map[Cause]uint64 // records made since the start, by each cause
	Unfollowed uint64           // those of them with the end [Unfollowed]
	Unrecorded uint64           // answers without a record: those of more phones to one INVITE than there can be

	Bytes int64  // of the journal
	Lost  uint64 // bytes of the journal that the disk did not take in time

	Sinks map[string]SinkStats // by name
}

// SinkStats is what became of the records for a sink, since the start but for
// Queued.
type SinkStats struct {
	Queued   uint64 // waiting
	Written  uint64
	Spooled  uint64 // those of them that had to wait, since an attempt had failed
	Dropped  uint64 // too old, see [Config].MaxBytes
	Rejected uint64 // the sink will not have them, see [ErrRejected]
	Failures uint64 // attempts to write that failed
}

// Stats returns the present figures.
func (r *Recorder) Stats() Stats {
	held := int(r.held.Load())
	s := Stats{
		Open: int(r.open.Load()) - held, Held: held,
		Recorded: map[Cause]uint64{}, Unfollowed: r.unfollowed.Load(), Unrecorded: r.unrecorded.Load(),
		Sinks: map[string]SinkStats{},
	}
	for cause := Answered; cause < causes; cause++ {
		s.Recorded[cause] = r.counts[cause].Load()
	}
	s.Bytes, s.Lost = r.journal.bytes()
	for _, o := range r.outlets {
		s.Sinks[o.name] = SinkStats{
			Queued: o.queued(), Written: o.written.Load(), Spooled: o.spooled.Load(), Dropped: o.dropped.Load(),
			Rejected: o.rejected.Load(), Failures: o.failures.Load(),
		}
	}
	return s
}
