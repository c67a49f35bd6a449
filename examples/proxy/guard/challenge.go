package guard

import (
	"strings"
	"sync/atomic"
	"time"
)

// challenges remembers which address was sent which nonce. Who repeats one is
// where it says it is. A newer one may take an older one's place: then a proof
// is missing, and none is ever made up.
type challenges struct {
	hasher hasher
	slots  [1 << 16]atomic.Uint64 // 48 bits of the hash, 16 of the minute
}

// proofTime is for how many minutes a nonce proves something.
const proofTime = 10

// note remembers that n was sent the challenge, a value of WWW-Authenticate or
// Proxy-Authenticate.
func (c *challenges) note(n network, challenge string, now int64) {
	if nonce := authParam(challenge, "nonce"); nonce != "" {
		sum := c.hasher.text(n, nonce)
		c.slot(sum).Store(sum<<16 | minute(now))
	}
}

// answers reports whether the credentials, a value of Authorization or
// Proxy-Authorization, are the answer to a challenge that n was sent.
func (c *challenges) answers(n network, credentials string, now int64) bool {
	nonce := authParam(credentials, "nonce")
	if nonce == "" {
		return false
	}
	sum := c.hasher.text(n, nonce)
	v := c.slot(sum).Load()
	return v>>16 == sum&(1<<48-1) && (minute(now)-v)&0xffff <= proofTime
}

func (c *challenges) slot(sum uint64) *atomic.Uint64 { return &c.slots[sum>>48] }

func minute(now int64) uint64 { return uint64(now/int64(time.Minute)) & 0xffff }

// authParam returns a parameter of a challenge or of credentials (RFC 3261
// section 25.1), without its quotes; "" if there is none. Name is in lower case.
func authParam(value, name string) string {
	_, rest, _ := strings.Cut(strings.TrimLeft(value, " \t"), " ") // the scheme
	for rest != "" {
		var param string
		param, rest = cutParam(rest)
		k, v, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(k), name) {
			return strings.Trim(strings.TrimSpace(v), `"`)
		}
	}
	return ""
}

// cutParam cuts s at the first comma that is not in quotes.
func cutParam(s string) (param, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}
