package location

import "strings"

// Methods is a set of SIP methods. Its bits are those that OpenSIPS keeps in
// the methods column of its location table, so that it can be stored there as
// a number.
//
// The zero Methods means that the phone did not say, and that all methods may
// be tried (RFC 3261 section 20.5).
type Methods uint32

// methodNames has the name of bit i at i.
func methodNames() [14]string {
	return [...]string{
		"INVITE", "CANCEL", "ACK", "BYE", "INFO", "OPTIONS", "UPDATE", "REGISTER",
		"MESSAGE", "SUBSCRIBE", "NOTIFY", "PRACK", "REFER", "PUBLISH",
	}
}

// methodOther stands for all methods without a bit of their own.
const methodOther Methods = 1 << 14

func methodBit(name string) Methods {
	for i, n := range methodNames() {
		if n == name {
			return 1 << i
		}
	}
	return methodOther
}

// ParseAllow returns the methods in the values of Allow header fields, each
// perhaps a comma list. Method names have case. No value gives 0.
func ParseAllow(values []string) Methods {
	var m Methods
	for _, v := range values {
		for name := range strings.SplitSeq(v, ",") {
			if name = strings.Trim(name, " \t"); name != "" {
				m |= methodBit(name)
			}
		}
	}
	return m
}

// Has reports whether method is in m, or m is 0 so that nobody knows. Methods
// that OpenSIPS does not know share one bit: if one of them is in m, all are.
func (m Methods) Has(method string) bool {
	return m == 0 || m&methodBit(method) != 0
}

// String returns the names in m in the manner of an Allow header, for logs.
func (m Methods) String() string {
	var names []string
	for i, n := range methodNames() {
		if m&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	if m&methodOther != 0 {
		names = append(names, "other")
	}
	return strings.Join(names, ", ")
}
