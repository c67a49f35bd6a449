package config

import (
	"fmt"
	"slices"
)

// missingFeatures refuses what the configuration can say but this version of
// the proxy does not do: a setting without effect would be worse than none.
// Whoever adds a feature takes its line out, here and below.
func (v *validator) missingFeatures() {
	absentWord(v, "acct.to", v.Acct.To, AcctMySQL, AcctJSON)

	v.missingInPolicy("", v.policy())
	for i, t := range v.Tenants {
		v.missingInPolicy(index("tenants", i), t.Policy)
	}
}

func (v *validator) missingInPolicy(path string, p Policy) {
	v.absent(join(path, "register.path"), p.Register.Path)
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
