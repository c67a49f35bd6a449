package natfix

import (
	"bytes"
	"math"
	"net/netip"
	"strings"

	"github.com/emiago/sipgo/sip"

	"github.com/sipward/sipward/location"
)

// Detect returns the signs in req, which came from src. There is no Detect for
// answers: their top Via is our own and says nothing about the phone.
func Detect(req *sip.Request, src netip.AddrPort) Signs {
	signs := SDPSigns(req.Body())
	if via := req.Via(); via != nil {
		signs |= ViaSigns(via.Transport, via.Host, port16(via.Port), src)
	}
	for _, h := range req.Headers() {
		if !isContact(h.Name()) {
			continue
		}
		value := h.Value()
		for span := range contactURIs(value) {
			signs |= ContactSigns(value[span.start:span.end], src)
		}
	}
	return signs
}

// ContactSigns returns what the Contact URI of a message from src tells. A
// host name is never the source, since nothing proves that it is; names below
// .invalid and .local, which browsers use, are private too. A missing port is
// that of the URI's scheme and transport. What is no SIP URI has no signs.
func ContactSigns(uri string, src netip.AddrPort) Signs {
	u, err := location.ParseURI(uri)
	if err != nil {
		return 0
	}
	return contactSigns(u, uriTransport(u), src)
}

func contactSigns(u location.URI, transport string, src netip.AddrPort) Signs {
	port := u.Port
	if port == 0 {
		port = defaultPort(transport)
	}
	private, otherHost := judge(u.Host, src)
	return pick(private, PrivateContact) | pick(otherHost, ContactMismatch) |
		pick(port != src.Port(), ContactPortMismatch)
}

// ViaSigns returns what the topmost Via of a request from src tells: its
// transport, host and port as written, 0 for no port. It makes no sense for
// answers.
func ViaSigns(transport, host string, port uint16, src netip.AddrPort) Signs {
	if port == 0 {
		port = defaultPort(transport)
	}
	private, otherHost := judge(host, src)
	return pick(private, PrivateVia) | pick(otherHost, ViaMismatch) | pick(port != src.Port(), PortMismatch)
}

// SDPSigns returns PrivateSDP if a connection line (c=) of body has a private
// address. Held media (0.0.0.0 or ::) is no sign. Any body will do: an empty
// one has no signs, of a multipart one the lines of all parts count.
func SDPSigns(body []byte) Signs {
	for len(body) > 0 {
		line, rest, _ := bytes.Cut(body, []byte("\n"))
		body = rest
		text, ok := bytes.CutPrefix(line, []byte("c="))
		if !ok {
			continue
		}
		a, _ := sdpAddress(string(bytes.TrimSpace(text)))
		if IsPrivate(a) && !a.IsUnspecified() {
			return PrivateSDP
		}
	}
	return 0
}

// judge compares a host as written with src.
func judge(host string, src netip.AddrPort) (private, other bool) {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	a, err := netip.ParseAddr(host)
	if err != nil {
		return hasSuffixFold(host, ".invalid") || hasSuffixFold(host, ".local"), true
	}
	return IsPrivate(a), a.Unmap() != src.Addr().Unmap()
}

func hasSuffixFold(s, suffix string) bool {
	return len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

func pick(ok bool, s Signs) Signs {
	if ok {
		return s
	}
	return 0
}

// port16 turns what cannot be a port into "no port".
func port16(p int) uint16 {
	if p < 0 || p > math.MaxUint16 {
		return 0
	}
	return uint16(p)
}

// uriTransport returns the transport of a URI in lower case: its parameter, or
// the default of its scheme.
func uriTransport(u location.URI) string {
	secure := strings.EqualFold(u.Scheme, "sips")
	t, ok := u.Param("transport")
	if !ok || t == "" {
		t = "udp"
		if secure {
			t = "tls"
		}
	}
	t = strings.ToLower(t)
	switch {
	case secure && t == "tcp":
		return "tls"
	case secure && t == "ws":
		return "wss"
	}
	return t
}

func defaultPort(transport string) uint16 {
	switch {
	case strings.EqualFold(transport, "tls"):
		return 5061
	case strings.EqualFold(transport, "ws"):
		return 80
	case strings.EqualFold(transport, "wss"):
		return 443
	}
	return 5060
}
