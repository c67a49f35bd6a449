package guard

// Reason is what a source has done wrong.
type Reason uint8

// The reasons. Their words are those of the column reason of the table
// door_knock_attempts, where that has one.
const (
	FailedRegistration Reason = iota // wrong credentials, or an account that there is not
	UnknownDomain                    // a domain that no tenant has
	Scanner                          // see Guard.IsScanner
	Malformed                        // a message that cannot be read

	reasons = iota
)

// String returns a word for metrics and logs.
func (r Reason) String() string {
	switch r {
	case FailedRegistration:
		return "failed_registration"
	case UnknownDomain:
		return "domain_not_found"
	case Scanner:
		return "scanner_detected"
	case Malformed:
		return "malformed"
	}
	return "unknown"
}

// MarshalText implements [encoding.TextMarshaler], so that Reasons can be keys in
// JSON.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
