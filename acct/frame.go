package acct

import (
	"encoding/binary"
	"hash/crc32"
)

// An entry is framed by its length and a checksum of it. A frame that is not
// whole, or whose entry is not what was written, is where a journal ends.
const (
	frameHeader = 8
	// maxEntry bounds entries: a call with texts of maxText has about 6 kB.
	maxEntry = 16 << 10
)

func checksum(entry []byte) uint32 { return crc32.Checksum(entry, crc32.MakeTable(crc32.Castagnoli)) }

// beginFrame appends an empty header; endFrame fills in that of what begins at
// start.
func beginFrame(b []byte) []byte { return append(b, make([]byte, frameHeader)...) }

func endFrame(b []byte, start int) {
	entry := b[start+frameHeader:]
	binary.LittleEndian.PutUint32(b[start:], uint32(len(entry)))
	binary.LittleEndian.PutUint32(b[start+4:], checksum(entry))
}

// cutFrame returns the entry at the beginning of b and the length of its frame.
// It reports false if there is no whole one.
func cutFrame(b []byte) (entry []byte, size int, ok bool) {
	if len(b) < frameHeader {
		return nil, 0, false
	}
	n := binary.LittleEndian.Uint32(b)
	if n == 0 || n > maxEntry || uint64(len(b)) < frameHeader+uint64(n) {
		return nil, 0, false
	}
	size = frameHeader + int(n)
	entry = b[frameHeader:size]
	return entry, size, checksum(entry) == binary.LittleEndian.Uint32(b[4:])
}
