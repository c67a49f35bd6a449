package transport

import (
	"encoding/binary"
	"net/netip"
)

// A phone may keep its NAT open, and learn that its address has changed, by
// STUN Binding requests to the SIP port (RFC 5626 section 4.4.2, RFC 8489).
// They carry no credentials, and no attribute that a server must understand.

const (
	stunHeader  = 20
	stunRequest = 0x0001 // Binding
	stunSuccess = 0x0101
	stunError   = 0x0111
	stunCookie  = "\x21\x12\xa4\x42"
	stunPortKey = 0x2112 // the first half of the cookie

	attrErrorCode  = 0x0009
	attrUnknown    = 0x000a
	attrXORAddress = 0x0020
	attrOptional   = 0x8000 // from here on, who does not know an attribute ignores it
)

// isSTUN reports whether b begins like a STUN message (RFC 8489 section 5).
func isSTUN(b []byte) bool {
	return len(b) >= stunHeader && b[0] < 4 && string(b[4:8]) == stunCookie
}

// answerSTUN returns the answer to a Binding request from an address, or nil if
// b is anything else. The answer takes the place of b. It is never more than 24
// bytes longer, so that it is of no use against an address that was forged.
func answerSTUN(b []byte, from netip.AddrPort) []byte {
	if binary.BigEndian.Uint16(b) != stunRequest || int(binary.BigEndian.Uint16(b[2:])) != len(b)-stunHeader {
		return nil
	}
	unknown, ok := unknownAttributes(b[stunHeader:])
	if !ok {
		return nil
	}
	if len(unknown) > 0 {
		return refuseSTUN(b[:stunHeader], unknown)
	}
	answer := binary.BigEndian.AppendUint16(b[:stunHeader], attrXORAddress)
	addr, family := from.Addr().AsSlice(), byte(1)
	if from.Addr().Is6() {
		family = 2
	}
	answer = binary.BigEndian.AppendUint16(answer, uint16(4+len(addr)))
	answer = append(answer, 0, family)
	answer = binary.BigEndian.AppendUint16(answer, from.Port()^stunPortKey)
	for i, c := range addr {
		answer = append(answer, c^answer[4+i]) // the cookie and, for IPv6, the transaction ID
	}
	return finishSTUN(answer, stunSuccess)
}

// refuseSTUN answers with error 420. It wants the header of the request, and the
// types of the attributes that it should understand.
func refuseSTUN(answer, unknown []byte) []byte {
	answer = binary.BigEndian.AppendUint16(answer, attrErrorCode)
	answer = append(answer, 0, 4, 0, 0, 4, 20) // length, class and number, no reason phrase
	answer = binary.BigEndian.AppendUint16(answer, attrUnknown)
	answer = binary.BigEndian.AppendUint16(answer, uint16(len(unknown)))
	answer = append(answer, unknown...)
	return finishSTUN(append(answer, make([]byte, len(unknown)%4)...), stunError)
}

// finishSTUN sets the type and the length.
func finishSTUN(answer []byte, kind uint16) []byte {
	binary.BigEndian.PutUint16(answer, kind)
	binary.BigEndian.PutUint16(answer[2:], uint16(len(answer)-stunHeader))
	return answer
}

// unknownAttributes returns the types of the attributes in b that a server must
// understand, two bytes each. It reports false if b is not made of attributes.
func unknownAttributes(b []byte) (unknown []byte, ok bool) {
	for len(b) > 0 {
		if len(b) < 4 {
			return nil, false
		}
		size := 4 + (int(binary.BigEndian.Uint16(b[2:]))+3)&^3
		if size > len(b) {
			return nil, false
		}
		if binary.BigEndian.Uint16(b) < attrOptional {
			unknown = append(unknown, b[:2]...)
		}
		b = b[size:]
	}
	return unknown, true
}
