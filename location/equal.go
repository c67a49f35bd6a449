package location

import (
	"math/rand/v2"
	"slices"
	"strings"
)

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
		equalParams(u.Params, v.Params) &&
		strings.Count(u.Headers, "&") == strings.Count(v.Headers, "&") &&
		equalHeaders(u.Headers, v.Headers)
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

// equalParams compares parameters. Of several with one name, which the RFC
// forbids, the first counts.
func equalParams(a, b string) bool {
	if a == b {
		return true
	}
	var bufA, bufB [maxParts]part
	seed := rand.Uint64()
	as, bs := cutParts(bufA[:0], seed, a, ";"), cutParts(bufB[:0], seed, b, ";")
	for i := range as {
		p := &as[i]
		switch other := findName(bs, p); {
		case other == nil && mustBeInBoth(p.name):
			return false
		case other != nil && findName(as, p) == p && !equalEscaped(p.value, other.value, true):
			return false
		}
	}
	for i := range bs {
		if mustBeInBoth(bs[i].name) && findName(as, &bs[i]) == nil {
			return false
		}
	}
	return true
}

// equalHeaders compares headers, of which neither has more than the other.
func equalHeaders(a, b string) bool {
	if a == b {
		return true
	}
	var bufA, bufB [maxParts]part
	seed := rand.Uint64()
	as, bs := cutParts(bufA[:0], seed, a, "&"), cutParts(bufB[:0], seed, b, "&")
	for _, list := range [...][]part{as, bs} {
		for i := range list {
			list[i].hash = hash(list[i].hash, list[i].value, false)
		}
	}
	return hasHeaders(as, bs) && hasHeaders(bs, as)
}

// hasHeaders reports whether each of headers is in list.
func hasHeaders(list, headers []part) bool {
	for i := range headers {
		h := &headers[i]
		if !slices.ContainsFunc(list, func(o part) bool { return o.sameName(h) && equalEscaped(o.value, h.value, false) }) {
			return false
		}
	}
	return true
}

// part is a parameter or a header. Texts of strangers can be long and alike, so
// they are compared by their hash first, which takes each of them only once.
type part struct {
	hash        uint64 // of the name; of a header, of the value too
	name, value string
}

// cutParts appends the parts of list. The seed, another one each time, keeps
// strangers from choosing texts that have the same hash.
func cutParts(parts []part, seed uint64, list, separator string) []part {
	for list != "" {
		var text string
		text, list, _ = strings.Cut(list, separator)
		name, value, _ := strings.Cut(text, "=")
		parts = append(parts, part{hash(seed, name, true), name, value})
	}
	return parts
}

// hash adds to h, by FNV-1a, what equalEscaped compares.
func hash(h uint64, text string, fold bool) uint64 {
	for text != "" {
		var c uint16
		c, text = cutChar(text, fold)
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

func (p *part) sameName(o *part) bool {
	return p.hash == o.hash && equalEscaped(p.name, o.name, true)
}

// findName returns the first one in list that has p's name, nil if there is none.
func findName(list []part, p *part) *part {
	for i := range list {
		if list[i].sameName(p) {
			return &list[i]
		}
	}
	return nil
}

func mustBeInBoth(param string) bool {
	for _, name := range [...]string{"transport", "user", "ttl", "method", "maddr"} {
		if equalEscaped(param, name, true) {
			return true
		}
	}
	return false
}
