package hep

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Packet is a SIP message that has passed, and what is told of it.
type Packet struct {
	Time        time.Time
	Source      netip.AddrPort
	Destination netip.AddrPort // of the same family
	Stream      bool           // it went over TCP, or something on top of that; else over UDP
	Message     string
}

// The generic chunks of HEP version 3 that are written.
const (
	chunkFamily       = 0x0001
	chunkProtocol     = 0x0002
	chunkSource4      = 0x0003
	chunkDestination4 = 0x0004
	chunkSource6      = 0x0005
	chunkDestination6 = 0x0006
	chunkSourcePort   = 0x0007
	chunkDestPort     = 0x0008
	chunkSeconds      = 0x0009
	chunkMicroseconds = 0x000a
	chunkType         = 0x000b
	chunkAgent        = 0x000c
	chunkKey          = 0x000e
	chunkPayload      = 0x000f
	chunkCorrelation  = 0x0011

	chunkHeader = 6 // bytes before what is in a chunk: vendor, kind, length
)

// What is in some of them: numbers of Linux, of IANA, and of HEP.
const (
	inet, inet6        = 2, 10
	protoTCP, protoUDP = 6, 17
	typeSIP            = 1
)

const (
	// maxPacket is what fits into a datagram over IPv4, which is less than over IPv6.
	maxPacket = 65507
	// maxCorrelation bounds a Call-ID, which a stranger can make as long as a message.
	maxCorrelation = 256
)

// encode appends p as one packet of the agent to b, which is empty. Credentials are
// overwritten, and a message that does not fit is cut.
func encode(b []byte, agent uint32, key string, p *Packet) []byte {
	be := binary.BigEndian
	b = append(b, "HEP3\x00\x00"...)
	protocol := byte(protoUDP)
	if p.Stream {
		protocol = protoTCP
	}
	family, from, to := addresses(p)
	source, destination := uint16(chunkSource4), uint16(chunkDestination4)
	if family == inet6 {
		source, destination = chunkSource6, chunkDestination6
	}
	b = append(chunk(b, chunkFamily, 1), family)
	b = append(chunk(b, chunkProtocol, 1), protocol)
	b = append(chunk(b, source, len(from)), from...)
	b = append(chunk(b, destination, len(to)), to...)
	b = be.AppendUint16(chunk(b, chunkSourcePort, 2), p.Source.Port())
	b = be.AppendUint16(chunk(b, chunkDestPort, 2), p.Destination.Port())
	b = be.AppendUint32(chunk(b, chunkSeconds, 4), uint32(p.Time.Unix()))
	b = be.AppendUint32(chunk(b, chunkMicroseconds, 4), uint32(p.Time.Nanosecond()/1000))
	b = append(chunk(b, chunkType, 1), typeSIP)
	b = be.AppendUint32(chunk(b, chunkAgent, 4), agent)
	if key != "" {
		b = append(chunk(b, chunkKey, len(key)), key...)
	}
	message := p.Message[:min(len(p.Message), maxPacket-len(b)-2*chunkHeader-maxCorrelation)]
	b = append(chunk(b, chunkPayload, len(message)), message...)
	callID := redact(b[len(b)-len(message):])
	if len(callID) > 0 {
		callID = callID[:min(len(callID), maxCorrelation)]
		b = append(chunk(b, chunkCorrelation, len(callID)), callID...)
	}
	be.PutUint16(b[4:], uint16(len(b)))
	return b
}

// addresses returns those of p as bytes.
func addresses(p *Packet) (family byte, from, to []byte) {
	a, b := p.Source.Addr(), p.Destination.Addr()
	if a.Is4() && b.Is4() {
		return inet, a.AsSlice(), b.AsSlice()
	}
	from16, to16 := a.As16(), b.As16() // of an address that is not valid, zeros
	return inet6, from16[:], to16[:]
}

// chunk appends the header of a chunk that will have size bytes.
func chunk(b []byte, kind uint16, size int) []byte {
	b = append(b, 0, 0) // no vendor: generic
	b = binary.BigEndian.AppendUint16(b, kind)
	return binary.BigEndian.AppendUint16(b, uint16(chunkHeader+size))
}
