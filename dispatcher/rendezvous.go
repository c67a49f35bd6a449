package dispatcher

import "math"

// appendRendezvous appends the usable destinations as the key with hash h
// prefers them. How much it prefers one depends on nothing but the key and that
// destination, so what happens to one moves only keys from it or to it.
func (s *Set) appendRendezvous(buf []Destination, h uint64) []Destination {
	for i := range s.byWeight {
		buf = s.byWeight[i].appendRendezvous(buf, h)
	}
	return buf
}

func (g *group) appendRendezvous(buf []Destination, h uint64) []Destination {
	return g.appendBy(buf, func(i int) float64 { return arrival(mix(h^g.hashes[i])) * g.shares[i] })
}

// arrival maps a uniformly distributed h to an exponentially distributed time.
// Times divided by weights have their minimum at each destination with a
// probability in proportion to its weight, which is what makes rendezvous
// hashing weighted.
func arrival(h uint64) float64 { return -math.Log(unit(h)) }

// unit maps a uniformly distributed h to a number from 0 to 1 that is not 0.
func unit(h uint64) float64 {
	const bits = 53 // of a float64
	return (float64(h>>(64-bits)) + 0.5) / (1 << bits)
}

// identityHash hashes what identifies a destination within its set.
func identityHash(d Destination) uint64 {
	const separator = "\x00" // in neither of the two
	return mix(fnv(fnv(fnv(fnvOffset, d.URI), separator), d.Socket))
}

func keyHash(key string) uint64 { return mix(fnv(fnvOffset, key)) }

// The hashes must be the same in every process, on every machine and in every
// release: each change moves registrations to other PBXes. That rules out
// hash/maphash; hash/fnv would allocate.

const fnvOffset = 14695981039346656037

// fnv continues an FNV-1a hash of 64 bits with s.
func fnv(h uint64, s string) uint64 {
	const prime = 1099511628211
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * prime
	}
	return h
}

// mix makes each bit of the result depend on each bit of x: the finalizer of
// SplitMix64. FNV alone leaves similar inputs similar.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
