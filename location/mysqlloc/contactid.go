package mysqlloc

import (
	"hash/fnv"
	"slices"
)

// A contact_id has three parts. OpenSIPS drops rows in which the uppermost one
// is not the AOR's; it gives the contacts of an AOR the same record label, and
// counts them by the contact label.
//
//	bits 46 to 61  lower half of the AOR's hash
//	bits 14 to 45  record label
//	bits  0 to 13  contact label
const (
	contactBits = 14
	recordBits  = 32
	contactMask = 1<<contactBits - 1
)

// aorHash is OpenSIPS's hash of an AOR, as of other keys.
func aorHash(aor string) uint32 {
	var h uint32
	add := func(word string) {
		var v uint32
		for i := 0; i < len(word); i++ {
			v = v<<8 | uint32(word[i])
		}
		h += v ^ v>>3
	}
	for len(aor) >= 4 {
		add(aor[:4])
		aor = aor[4:]
	}
	add(aor)
	return h + h>>11 + h>>13 + h>>23
}

// newContactID returns the id for a new row of an AOR, given the ids of those
// that it has. Stores in several processes come to the same one, so that of
// two that add a row at once only one can, and the other one looks again. The
// attempt counts these times: an id may also be taken because another AOR has
// the same hash and label, which a third attempt evades.
func newContactID(user, domain string, taken []uint64, attempt int) uint64 {
	aor := user + "@" + domain
	top := uint64(aorHash(aor)&0xffff) << (contactBits + recordBits)
	h := fnv.New64a()
	_, _ = h.Write([]byte(aor)) // it has no error
	random := h.Sum64() + uint64(attempt/3)
	// The upper half of the labels is left to OpenSIPS, which goes on counting
	// from the highest one that it finds.
	record := top | random<<contactBits&(1<<(contactBits+recordBits-1)-1)
	for _, id := range taken {
		if id>>(contactBits+recordBits) == top>>(contactBits+recordBits) {
			record = id &^ contactMask
			break
		}
	}
	label := random >> (64 - contactBits)
	if highest, ok := highestLabel(record, taken); ok {
		label = highest + 1
	}
	for {
		// An AOR with all labels in use would need a million bindings at 64 an
		// AOR; the table of a broken client must not hang us all the same.
		for range contactMask + 1 {
			id := record | label&contactMask
			if id != 0 && !slices.Contains(taken, id) { // 0 means a number of the database's choice
				return id
			}
			label++
		}
		record += 1 << contactBits
	}
}

// highestLabel returns the highest contact label of a record.
func highestLabel(record uint64, taken []uint64) (label uint64, ok bool) {
	for _, id := range taken {
		if id&^contactMask == record {
			label, ok = max(label, id&contactMask), true
		}
	}
	return label, ok
}
