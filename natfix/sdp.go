package natfix

import (
	"iter"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sipward/sipward/location"
)

// SDPPolicy says which addresses [FixSDP] replaces. The zero SDPPolicy is
// SDPOff.
type SDPPolicy uint8

const (
	// SDPOff leaves all as it is. It is right for a PBX that sends media to
	// where the phone's media come from.
	SDPOff SDPPolicy = iota
	// SDPAuto replaces private addresses in what came from a public one.
	SDPAuto
	// SDPForce replaces all addresses.
	SDPForce
)

// FixSDP puts the address of flow, where a phone's message came from, in place
// of the media addresses in the body of that message: those of connection lines
// (c=, RFC 8866 section 5.7) and of a=rtcp (RFC 3605). What changes depends on
// nothing else, so that an offer and its answer are treated alike. All other
// bytes stay, ports and line ends among them. So does the origin (o=), which
// must not change within a session (RFC 3264 section 8), as the outside of a
// NAT may.
//
// The contentType is that of the message: application/sdp, or a multipart type,
// whose parts of application/sdp are repaired unless they are nested. FixSDP
// does not touch
//
//   - SDP with ICE, or over WebSocket, where the peers find their own way;
//   - media that are not there (port 0) or on hold (0.0.0.0 or ::);
//   - host names, multicast, and addresses of another family than flow's;
//   - loopback addresses, unless flow's is one too.
//
// It is meant for messages of phones, requests and answers: do not call it for
// those of a PBX. A body that changed needs a new Content-Length, its len; each
// address makes it at most 36 bytes longer. Else fixed is body.
func FixSDP(policy SDPPolicy, flow location.Flow, contentType, body string) (fixed string, changed bool) {
	r := sdpRepair{all: policy == SDPForce, source: flow.Remote.Addr().Unmap().WithZone("")}
	switch {
	case policy == SDPOff, !r.source.IsValid(), flow.Transport == "ws", flow.Transport == "wss":
		return body, false
	case !r.all && IsPrivate(r.source):
		return body, false
	}
	var out strings.Builder
	source := r.source.String()
	done := 0
	for part := range sdpParts(contentType, body) {
		for at := range r.addresses(body[part.start:part.end]) {
			out.WriteString(body[done : part.start+at.start])
			out.WriteString(source)
			done = part.start + at.end
		}
	}
	if done == 0 {
		return body, false
	}
	out.WriteString(body[done:])
	return out.String(), true
}

// span is a part of a text.
type span struct{ start, end int }

// sdpRepair replaces addresses with source, which has no zone and is not IPv4
// mapped into IPv6.
type sdpRepair struct {
	all    bool // not the private ones only
	source netip.Addr
}

// addresses finds what is to be replaced in a session description.
func (r sdpRepair) addresses(sdp string) iter.Seq[span] {
	return func(yield func(span) bool) {
		if !repairable(sdp) {
			return
		}
		inMedia, live := false, true // what is above all media is for those that are live
		for at, line := range lines(sdp) {
			var value string
			switch {
			case strings.HasPrefix(line, "m="):
				inMedia, live = true, isLive(line)
			case strings.HasPrefix(line, "c="):
				value = line[len("c="):]
			case inMedia && strings.HasPrefix(line, "a=rtcp:"):
				_, value, _ = strings.Cut(line, " ") // the port is before it
			}
			if value == "" || !live {
				continue
			}
			a, where := sdpAddress(value)
			start := at + len(line) - len(value)
			if r.replaces(a) && !yield(span{start + where.start, start + where.end}) {
				return
			}
		}
	}
}

// replaces reports whether an address gives way to the source.
func (r sdpRepair) replaces(a netip.Addr) bool {
	u := a.Unmap()
	return a.IsValid() && a.Is4() == r.source.Is4() && a != r.source &&
		(r.all || IsPrivate(a)) &&
		!u.IsUnspecified() && !u.IsMulticast() && (!u.IsLoopback() || r.source.IsLoopback())
}

// repairable reports whether a text is a session description with live media
// and without ICE.
func repairable(sdp string) bool {
	if !strings.HasPrefix(sdp, "v=") {
		return false
	}
	live := false
	for _, line := range lines(sdp) {
		switch {
		case strings.HasPrefix(line, "m="):
			live = live || isLive(line)
		case strings.HasPrefix(line, "a=candidate:"), strings.HasPrefix(line, "a=ice-ufrag:"):
			return false
		}
	}
	return live
}

// isLive reports whether an m= line has a port that is not 0.
func isLive(line string) bool {
	_, rest, _ := strings.Cut(line, " ")
	port, _, _ := strings.Cut(rest, " ")
	port, _, _ = strings.Cut(port, "/") // how many there are
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n != 0
}

// sdpAddress returns the address in a text such as "IN IP4 192.0.2.1/127", and
// its place there, without TTL. What is no such text, or has a name, has the
// zero Addr.
func sdpAddress(text string) (netip.Addr, span) {
	network, rest, _ := strings.Cut(text, " ")
	family, rest, _ := strings.Cut(rest, " ")
	rest = strings.TrimLeft(rest, " \t")
	start := len(text) - len(rest)
	if i := strings.IndexAny(rest, "/ \t"); i >= 0 {
		rest = rest[:i]
	}
	a, err := netip.ParseAddr(rest)
	if err != nil || network != "IN" || family != "IP4" && family != "IP6" || a.Is4() != (family == "IP4") {
		return netip.Addr{}, span{}
	}
	return a, span{start, start + len(rest)}
}

// lines finds the lines of a text, each with its place and without its end.
func lines(text string) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		for at := 0; at < len(text); {
			line, _, _ := strings.Cut(text[at:], "\n")
			if !yield(at, strings.TrimSuffix(line, "\r")) {
				return
			}
			at += len(line) + 1
		}
	}
}
