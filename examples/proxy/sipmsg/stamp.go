package sipmsg

import (
	"net/netip"
	"strconv"
	"strings"
)

// Stamp notes where m, a request, came from, so that what is built from it
// says so in its top Via (RFC 3261 section 18.2.1, RFC 3581 section 4).
// Received and rport that the sender supplied are overwritten. With force the
// rport is added even if not asked for, so that answers come through any NAT.
// Call it before m is shared; a second call replaces the first.
func (m *Message) Stamp(src netip.AddrPort, force bool) {
	m.Source, m.stamps = src, 0
	if m.first[Via] == 0 {
		return
	}
	v := &m.Via
	addr := src.Addr().Unmap().WithZone("")
	rport := v.RPort || force
	if !rport && v.received.Len() == 0 && v.isFrom(addr) {
		return
	}
	text := append(make([]byte, 0, 64), ";received="...)
	text = addr.AppendTo(text)
	end := len(text)
	if rport {
		text = strconv.AppendUint(append(text, ";rport="...), uint64(src.Port()), 10)
	}
	all := string(text)
	m.addStamp(v.received, all[:end])
	if rport {
		m.addStamp(v.rport, all[end:])
	}
}

// isFrom reports whether the sent-by is addr, in whatever notation.
func (v *TopVia) isFrom(addr netip.Addr) bool {
	if strings.IndexByte(v.Host, ':') < 0 && !addr.Is4() {
		return false
	}
	a, err := netip.ParseAddr(v.Host)
	return err == nil && a.Unmap() == addr
}

// addStamp puts text in the place of a parameter, or at the end if there is
// none.
func (m *Message) addStamp(old Span, text string) {
	if old.Len() == 0 {
		old = Span{m.Via.element.End, m.Via.element.End}
	}
	e := edit{at: old, text: text}
	if m.stamps == 1 && old.Start < m.stamp[0].at.Start {
		m.stamp[0], e = e, m.stamp[0]
	}
	m.stamp[m.stamps] = e
	m.stamps++
}

// appendStamped appends the text of s with the stamps that lie in it.
func (m *Message) appendStamped(b []byte, s Span) []byte {
	pos := s.Start
	for _, e := range m.stamp[:m.stamps] {
		if e.at.Start >= s.Start && e.at.End <= s.End {
			b = append(b, m.Raw[pos:e.at.Start]...)
			b = append(b, e.text...)
			pos = e.at.End
		}
	}
	return append(b, m.Raw[pos:s.End]...)
}
