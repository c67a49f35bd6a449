package location

import "strings"

// EqualURI reports whether a and b are the same URI by RFC 3261 section
// 19.1.4. User, password and values of headers compare with case, all other
// parts without. A port that is given differs from one that is not. The
// parameters transport, user, ttl, method and maddr must be in both or in
// neither; other ones count only if both have them. Headers must be the same,
// in any order. A dot at the end of the host is ignored and IPv6 addresses
// compare by value. Texts that are no valid SIP URI compare byte by byte.
//
// This is no equivalence relation: h;x=1 and h;x=2 differ, and h equals both.
func EqualURI(a, b string) bool {
	if a == b {
		return true
	}
	u, err := parseURI(a)
	if err != nil {
		return false
	}
	v, err := parseURI(b)
	if err != nil {
		return false
	}
	return u.equal(v)
}

func (u URI) equal(v URI) bool {
	return strings.EqualFold(u.Scheme, v.Scheme) &&
		u.Port == v.Port &&
		equalHost(u.Host, v.Host) &&
		equalEscaped(u.User, v.User, false) &&
		equalEscaped(u.Secret, v.Secret, false) &&
		paramsMatch(u.Params, v.Params) && paramsMatch(v.Params, u.Params) &&
		strings.Count(u.Headers, "&") == strings.Count(v.Headers, "&") &&
		headersMatch(u.Headers, v.Headers) && headersMatch(v.Headers, u.Headers)
}

// equalHost compares hosts that checkHost or parseIPv6 took. Names differ
// neither by case nor by the dot at the end, addresses not by their spelling.
func equalHost(a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	ca, errA := canonicalHost(a)
	cb, errB := canonicalHost(b)
	return errA == nil && errB == nil && ca == cb
}

// paramsMatch reports whether each parameter in a agrees with b. Of several
// with one name, which the RFC forbids, the first counts.
func paramsMatch(a, b string) bool {
	for rest := a; rest != ""; {
		var p string
		p, rest, _ = strings.Cut(rest, ";")
		name, _, _ := strings.Cut(p, "=")
		inA, _ := findParam(a, name)
		inB, ok := findParam(b, name)
		switch {
		case ok && !equalEscaped(inA, inB, true):
			return false
		case !ok && mustBeInBoth(name):
			return false
		}
	}
	return true
}

func findParam(params, name string) (value string, ok bool) {
	for params != "" {
		var p string
		p, params, _ = strings.Cut(params, ";")
		if k, v, _ := strings.Cut(p, "="); equalEscaped(k, name, true) {
			return v, true
		}
	}
	return "", false
}

func mustBeInBoth(param string) bool {
	for _, name := range [...]string{"transport", "user", "ttl", "method", "maddr"} {
		if equalEscaped(param, name, true) {
			return true
		}
	}
	return false
}

// headersMatch reports whether each header in a is in b.
func headersMatch(a, b string) bool {
	for a != "" {
		var h string
		h, a, _ = strings.Cut(a, "&")
		if !hasHeader(b, h) {
			return false
		}
	}
	return true
}

func hasHeader(headers, want string) bool {
	name, value, _ := strings.Cut(want, "=")
	for headers != "" {
		var h string
		h, headers, _ = strings.Cut(headers, "&")
		k, v, _ := strings.Cut(h, "=")
		if equalEscaped(k, name, true) && equalEscaped(v, value, false) {
			return true
		}
	}
	return false
}
