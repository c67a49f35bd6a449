package acct

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync/atomic"
	"time"
)

// ids makes the IDs of records: the time, so that they sort, what is random for
// each Recorder, and a count. So nothing random is needed for each call.
type ids struct {
	random [5]byte
	count  atomic.Uint64
}

func (i *ids) init() { rand.Read(i.random[:]) }

// new returns 16 bytes in hexadecimal: 6 of milliseconds, the 5 random ones,
// and 5 of the count.
func (i *ids) new(now time.Time) [32]byte {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[8:], i.count.Add(1))
	binary.BigEndian.PutUint64(raw[:], uint64(now.UnixMilli())<<16)
	copy(raw[6:11], i.random[:])
	var text [32]byte
	hex.Encode(text[:], raw[:])
	return text
}
