package config

// missingFeatures refuses what the configuration can say but this version of
// the proxy does not do: a setting without effect would be worse than none.
// Whoever adds a feature takes its line out, here and below.
func (v *validator) missingFeatures() {
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
