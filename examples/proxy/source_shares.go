package main

import (
	"math"

	"github.com/sipward/sipward/tenant/mysqltenant"
)

// share is what a target gets of the requests for its name.
type share struct {
	tier int
	part float64 // of what its tier gets, with 1 for the average
}

// sharesOf returns the share of each target, as the SRV records say (RFC 2782): those
// of a higher priority number are there when all others are not, and among equal ones
// the weight decides. The addresses of one record share its weight.
func sharesOf(targets []mysqltenant.Target) []share {
	shares := make([]share, 0, len(targets))
	tier := 0
	for start := 0; start < len(targets); tier++ {
		end := start + 1
		for end < len(targets) && targets[end].Priority == targets[start].Priority {
			end++
		}
		for _, part := range partsOf(targets[start:end]) {
			shares = append(shares, share{tier, part})
		}
		start = end
	}
	return shares
}

// partsOf returns what part each target of a tier gets.
func partsOf(tier []mysqltenant.Target) []float64 {
	type record struct {
		host string
		port uint16
	}
	addrs, weights := map[record]float64{}, 0
	for _, t := range tier {
		addrs[record{t.Host, t.Port}]++
		weights += int(t.Weight)
	}
	parts, sum := make([]float64, len(tier)), 0.
	for i, t := range tier {
		weight := float64(t.Weight)
		if weights == 0 {
			weight = 1
		}
		parts[i] = weight / addrs[record{t.Host, t.Port}]
		sum += parts[i]
	}
	for i := range parts {
		parts[i] *= float64(len(parts)) / sum
	}
	return parts
}

// even reports whether each gets as much as the others of its tier.
func even(shares []share) bool {
	for i := range shares {
		if i > 0 && shares[i].tier == shares[i-1].tier && shares[i].part != shares[i-1].part {
			return false
		}
	}
	return true
}

// fineness is what all weights of a set are multiplied with in which SRV records
// share unevenly, since weights are whole numbers.
const fineness = 100

// scaled returns the part of a weight that a member of a set gets with this scale, 0
// for none. One that has a weight keeps one, if a small one.
func scaled(weight int, scale, part float64) int {
	if scale == 0 || weight == 0 {
		return weight
	}
	return int(min(max(math.Round(float64(weight)*scale*part), 1), math.MaxInt32))
}
