package hep

var (
	Encode = encode
	Redact = redact
)

// The bounds of the queue.
const (
	MaxQueue = maxQueue
	MaxBytes = maxBytes
)
