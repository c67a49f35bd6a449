package config

import (
	"fmt"
	"slices"
)

// missingFeatures refuses what the configuration can say but this version of
// the proxy does not do: a setting without effect would be worse than none.
// Whoever adds a feature takes its line out, here and below.
func (v *validator) missingFeatures() {
	for i, l := range v.Listen {
		absentWord(v, index("listen", i), l.Transport, TLS, WS, WSS)
	}
	v.absent("tls.cert", v.TLS.Cert != "")
	v.absent("tls.key", v.TLS.Key != "")
	absentWord(v, "acct.to", v.Acct.To, AcctMySQL, AcctJSON)

	v.missingInPolicy("", v.policy())
	for i, t := range v.Tenants {
		path := index("tenants", i)
		v.missingInPolicy(path, t.Policy)
		for j, d := range t.Destinations {
			absentWord(v, index(join(path, "destinations"), j)+".uri", d.URI.Transport, TLS)
		}
	}
}

func (v *validator) missingInPolicy(path string, p Policy) {
	v.absent(join(path, "register.path"), p.Register.Path)
	absentWord(v, join(path, "nat.ping"), p.NAT.Ping, PingOptions, PingCRLF)
}

// absent refuses the use of a key.
func (v *validator) absent(path string, used bool) {
	if used && v.faults.given(path) {
		v.fault(path, "not in this version")
	}
}

// absentWord refuses some values of a key.
func absentWord[T ~string](v *validator, path string, got T, missing ...T) {
	if slices.Contains(missing, got) && v.faults.given(path) {
		v.fault(path, "%v", notInThisVersion(string(got)))
	}
}

func notInThisVersion(word string) error { return fmt.Errorf("%q is not in this version", word) }
