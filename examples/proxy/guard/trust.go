package guard

import (
	"cmp"
	"net/netip"
	"slices"
)

// prefixes is a set of addresses: disjoint prefixes in ascending order. It is
// never changed.
type prefixes []netip.Prefix

// newPrefixes leaves out what is no valid prefix.
func newPrefixes(list []netip.Prefix) prefixes {
	var all prefixes
	for _, p := range list {
		if p, ok := canonical(p); ok {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	var last netip.Prefix
	return slices.DeleteFunc(all, func(p netip.Prefix) bool {
		if last.IsValid() && last.Overlaps(p) { // they are nested, the larger comes first
			return true
		}
		last = p
		return false
	})
}

// contains reports whether a is in the set.
func (s prefixes) contains(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	i := s.after(a)
	return i > 0 && s[i-1].Contains(a)
}

// overlaps reports whether p has an address that is in the set.
func (s prefixes) overlaps(p netip.Prefix) bool {
	i := s.after(p.Addr())
	return i > 0 && s[i-1].Contains(p.Addr()) || i < len(s) && p.Contains(s[i].Addr())
}

// after returns the index of the first prefix that begins behind a.
func (s prefixes) after(a netip.Addr) int {
	i, _ := slices.BinarySearchFunc(s, a, func(p netip.Prefix, a netip.Addr) int {
		if p.Addr().Compare(a) <= 0 {
			return -1
		}
		return 1
	})
	return i
}
