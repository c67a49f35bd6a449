package metrics

import "strconv"

// method is the value of a label method: one of those that are known, or other.
type method int

const (
	invite method = iota
	ack
	bye
	cancel
	options
	register
	notify
	subscribe
	prack
	update
	info
	refer
	message
	publish
	other
	numMethods
)

func (m method) String() string {
	return [numMethods]string{
		"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "NOTIFY", "SUBSCRIBE",
		"PRACK", "UPDATE", "INFO", "REFER", "MESSAGE", "PUBLISH", "other",
	}[m]
}

// methodOf returns the label for a method as it is in a message.
func methodOf(name string) method {
	switch name {
	case "INVITE":
		return invite
	case "ACK":
		return ack
	case "BYE":
		return bye
	case "CANCEL":
		return cancel
	case "OPTIONS":
		return options
	case "REGISTER":
		return register
	case "NOTIFY":
		return notify
	case "SUBSCRIBE":
		return subscribe
	case "PRACK":
		return prack
	case "UPDATE":
		return update
	case "INFO":
		return info
	case "REFER":
		return refer
	case "MESSAGE":
		return message
	case "PUBLISH":
		return publish
	}
	return other
}

// lasts reports whether requests with the method are forwarded with state, and
// have a response of their own.
func (m method) lasts() bool { return m != ack && m != cancel }

// class is the value of a label class: the first digit of a status.
type class int

const numClasses = 6

func (c class) String() string { return strconv.Itoa(int(c)+1) + "xx" }

// classOf returns the class of a status, which a parser has seen to be one.
func classOf(status int) class { return class(min(max(status/100, 1), numClasses) - 1) }

// finals returns the final statuses that have a label code of their own: those
// that IANA has registered.
func finals() []int {
	return []int{
		200, 202, 204,
		300, 301, 302, 305, 380,
		400, 401, 402, 403, 404, 405, 406, 407, 408, 410, 412, 413, 414, 415, 416, 417,
		420, 421, 422, 423, 424, 425, 428, 429, 430, 433, 436, 437, 438, 439, 440, 469, 470,
		480, 481, 482, 483, 484, 485, 486, 487, 488, 489, 491, 493, 494,
		500, 501, 502, 503, 504, 505, 513, 555, 580,
		600, 603, 604, 606, 607, 608,
	}
}
