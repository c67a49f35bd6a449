package acct

// Cause is what became of a call.
type Cause uint8

// The causes. The zero Cause is that of a call that is still open.
const (
	InProgress Cause = iota
	Answered         // up, and ended by a BYE
	Lost             // up, but its end was not seen; see [End]
	Busy             // 486 or 600
	NoAnswer         // it rang until somebody lost patience who was not the caller
	Canceled         // the caller gave up
	Rejected         // another 3xx, 4xx or 6xx
	TimedOut         // nothing answered at all
	Failed           // 5xx
	causes
)

// String returns the cause as a word.
func (c Cause) String() string {
	names := [...]string{"in_progress", "answered", "lost", "busy", "no_answer", "canceled", "rejected", "timed_out", "failed"}
	if int(c) >= len(names) {
		return "unknown"
	}
	return names[c]
}

// MarshalText implements [encoding.TextMarshaler].
func (c Cause) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// causeOf returns what a final response that is no 2xx means.
func causeOf(code int, rang, canceled bool) Cause {
	switch {
	case canceled:
		return Canceled
	case code == 486 || code == 600:
		return Busy
	case code == 408 && !rang:
		return TimedOut
	case code == 408 || code == 480 || code == 487: // the latter without a CANCEL of the caller: Timer C
		return NoAnswer
	case code/100 == 5:
		return Failed
	}
	return Rejected
}

// isChallenge reports whether the caller is asked for credentials, which is no
// outcome of a call.
func isChallenge(code int) bool { return code == 401 || code == 407 }

// comesAgain reports whether callers answer such a response by a better INVITE
// of the same call. 422 is the one that asks for a longer session interval (RFC
// 4028 section 6).
func comesAgain(code int) bool { return isChallenge(code) || code == 422 }

// End is what ended a call that was up, or closed its record for want of an
// end.
type End uint8

// The ends. All but the first three say that something is missing.
const (
	Unanswered     End = iota // its final response did
	ByCaller                  // BYE of the caller
	ByCallee                  // BYE of the callee
	Timeout                   // no sign of life for [Config].DialogTimeout
	SessionExpired            // the session was not refreshed (RFC 4028)
	Restarted                 // it rang when the program ended
	Stopped                   // it was open when a [Recorder] without directory was closed
	Unfollowed                // there was no room to follow it, see [Config].MaxCalls
)

// String returns the end as a word.
func (e End) String() string {
	names := [...]string{"unanswered", "caller", "callee", "timeout", "session_expired", "restarted", "stopped", "unfollowed"}
	if int(e) >= len(names) {
		return "unknown"
	}
	return names[e]
}

// MarshalText implements [encoding.TextMarshaler].
func (e End) MarshalText() ([]byte, error) { return []byte(e.String()), nil }
