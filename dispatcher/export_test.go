package dispatcher

// RandomPolicy is the policy of Random with another source of randomness.
func RandomPolicy(uint64 func() uint64) Policy { return random{uint64} }
