package guard

import "strings"

// defaultScanners are in the User-Agent of programs that search the Internet for
// PBXes. The names of tools that an administrator may use himself, such as
// sipsak, are not among them.
func defaultScanners() []string {
	return []string{"sipvicious", "friendly-scanner", "friendly-request", "sipcli", "nmap", "sundayddr",
		"pplsip", "sip-scan", "vaxsipuseragent", "siparmyknife", "iwar"}
}

// scannedText is how much of a header is searched, as a stranger chooses its length.
const scannedText = 256

// IsScanner reports whether the User-Agent of a request has one of [Config].Scanners
// in its first 256 bytes, or the display name in its From is one: some change the one
// and leave the other. People may have such a name in theirs. A request of a scanner is
// best dropped without an answer, and told to [Guard.Failed].
func (g *Guard) IsScanner(userAgent, display string) bool {
	userAgent = userAgent[:min(len(userAgent), scannedText)]
	for _, name := range g.scanners {
		if containsFold(userAgent, name) || len(display) == len(name) && hasPrefixFold(display, name) {
			return true
		}
	}
	return false
}

// containsFold reports whether s contains lower, which is in lower case, in any
// case.
func containsFold(s, lower string) bool {
	for ; len(s) >= len(lower); s = s[1:] {
		if hasPrefixFold(s, lower) {
			return true
		}
	}
	return false
}

func hasPrefixFold(s, lower string) bool {
	for i := range len(lower) {
		if lowerCase(s[i]) != lower[i] {
			return false
		}
	}
	return true
}

// lowerCase is for ASCII: names of programs in headers are (RFC 3261 section 25.1).
func lowerCase(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// lowerNames returns the names as containsFold wants them. An empty one would be
// in every text.
func lowerNames(names []string) []string {
	var lower []string
	for _, n := range names {
		if n = strings.TrimSpace(n); n != "" {
			b := []byte(n)
			for i := range b {
				b[i] = lowerCase(b[i])
			}
			lower = append(lower, string(b))
		}
	}
	return lower
}
