# The work is done by .ci/test, which says what each step is.

.PHONY: test check bench fuzz soak

# All that a change must pass. Installs missing test peers if it may.
test:
	.ci/test

# What needs no test to run: format, vet, staticcheck, go.mod.
check:
	.ci/test check

# BENCH=Lookup COUNT=10 make bench
bench:
	.ci/test bench

# FUZZTIME=10m make fuzz
fuzz:
	.ci/test fuzz

# SOAK=1h make soak
soak:
	.ci/test soak
