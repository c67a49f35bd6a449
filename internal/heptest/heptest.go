// Package heptest reads HEP version 3 packets as its specification (HEP3 Network
// Protocol Specification, revision 37) has them, for tests of what writes them. It
// knows nothing of how that is done.
package heptest

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// Packet is what a packet says.
type Packet struct {
	Protocol    byte // of IP: 17 UDP, 6 TCP
	Source      netip.AddrPort
	Destination netip.AddrPort
	Time        time.Time
	Type        byte // of the payload: 1 SIP
	Agent       uint32
	Key         string
	Correlation string
	Payload     string
}

// The generic chunks, with how long what is in them must be; -1: any length.
var lengths = map[uint16]int{
	1: 1, 2: 1, 3: 4, 4: 4, 5: 16, 6: 16, 7: 2, 8: 2, 9: 4, 10: 4, 11: 1, 12: 4,
	14: -1, 15: -1, 17: -1,
}

// Decode reads a packet. It is an error if a chunk is of a kind that is not known
// here, of another length than it must be, there twice, or missing.
func Decode(b []byte) (Packet, error) {
	if len(b) < 6 || string(b[:4]) != "HEP3" {
		return Packet{}, fmt.Errorf("heptest: %q... does not begin as HEP3 does", b[:min(len(b), 8)])
	}
	if n := int(binary.BigEndian.Uint16(b[4:])); n != len(b) {
		return Packet{}, fmt.Errorf("heptest: the packet says that it has %d bytes, and has %d", n, len(b))
	}
	chunks := map[uint16][]byte{}
	for rest := b[6:]; len(rest) > 0; {
		if len(rest) < 6 {
			return Packet{}, fmt.Errorf("heptest: %d bytes after the last chunk", len(rest))
		}
		vendor, kind, n := binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:]), int(binary.BigEndian.Uint16(rest[4:]))
		want, known := lengths[kind]
		switch _, twice := chunks[kind]; {
		case vendor != 0 || !known || twice:
			return Packet{}, fmt.Errorf("heptest: chunk %d of vendor %d is not known, or there twice", kind, vendor)
		case n < 6 || n > len(rest) || want >= 0 && n-6 != want:
			return Packet{}, fmt.Errorf("heptest: chunk %d of %d bytes", kind, n)
		}
		chunks[kind], rest = rest[6:n], rest[n:]
	}
	return read(chunks)
}

func read(chunks map[uint16][]byte) (p Packet, err error) {
	source, destination := uint16(3), uint16(4)
	family := chunks[1]
	switch {
	case len(family) == 1 && family[0] == 2: // AF_INET
	case len(family) == 1 && family[0] == 10: // AF_INET6, as Linux has it
		source, destination = 5, 6
	default:
		return p, fmt.Errorf("heptest: family %v", family)
	}
	for _, kind := range []uint16{2, source, destination, 7, 8, 9, 10, 11, 12, 15} {
		if _, ok := chunks[kind]; !ok {
			return p, fmt.Errorf("heptest: no chunk %d", kind)
		}
	}
	number := func(kind uint16) uint32 { return binary.BigEndian.Uint32(chunks[kind]) }
	addrPort := func(addr, port uint16) netip.AddrPort {
		a, _ := netip.AddrFromSlice(chunks[addr])
		return netip.AddrPortFrom(a, binary.BigEndian.Uint16(chunks[port]))
	}
	return Packet{
		Protocol: chunks[2][0], Source: addrPort(source, 7), Destination: addrPort(destination, 8),
		Time: time.Unix(int64(number(9)), int64(number(10))*1000).UTC(), Type: chunks[11][0], Agent: number(12),
		Key: string(chunks[14]), Correlation: string(chunks[17]), Payload: string(chunks[15]),
	}, nil
}
