package mysqlloc

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/sipward/sipward/location"
)

// columnFlow returns a flow as the columns received and socket have it, such
// as "sip:192.0.2.7:5060;transport=udp" and "udp:198.51.100.1:5060".
func columnFlow(f location.Flow) (received, socket string) {
	transport := f.Transport
	if !isToken(transport) {
		transport = ""
	}
	if f.Remote.IsValid() {
		received = "sip:" + f.Remote.String()
		if transport != "" {
			received += ";transport=" + transport
		}
	}
	if f.Local.IsValid() && transport != "" {
		socket = transport + ":" + f.Local.String()
	}
	return received, socket
}

// isToken reports whether s can be in a URI and can be found there.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// decodeFlow is the inverse of columnFlow, and more: it reads all that OpenSIPS
// writes and has written.
func decodeFlow(received, socket string, values kv) (location.Flow, error) {
	if f, ok := parseFlowText(values.text("flow")); ok {
		if r, s := columnFlow(f); r == received && s == socket {
			return f, nil
		}
	}
	var f location.Flow
	f.Transport, f.Local = parseSocket(socket)
	if received == "" {
		return f, nil
	}
	transport, remote, err := parseReceived(received)
	if err != nil {
		return location.Flow{}, fmt.Errorf("received: %w", err)
	}
	f.Remote = remote
	switch {
	case transport != "":
		f.Transport = transport
	case f.Transport == "":
		f.Transport = "udp"
	}
	return f, nil
}

// parseReceived reads a SIP URI whose host is an address, or the address and
// port alone, which old versions wrote. The transport is "" if it is not said.
func parseReceived(s string) (transport string, remote netip.AddrPort, err error) {
	port := uint16(5060)
	if rest, ok := cutPrefixFold(s, "sip:"); ok {
		s = rest
	} else if rest, ok := cutPrefixFold(s, "sips:"); ok {
		s, transport, port = rest, "tls", 5061
	}
	s, params, _ := strings.Cut(s, ";")
	for p := range strings.SplitSeq(params, ";") {
		if name, value, _ := strings.Cut(p, "="); strings.EqualFold(name, "transport") {
			transport = strings.ToLower(value)
		}
	}
	s = s[strings.LastIndexByte(s, '@')+1:]
	if remote, err = netip.ParseAddrPort(s); err == nil {
		return transport, remote, nil
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		return "", netip.AddrPort{}, errors.New("neither a SIP URI with an address nor an address and port")
	}
	return transport, netip.AddrPortFrom(addr, port), nil
}

// parseSocket reads "udp:192.0.2.1:5060". The address is the zero one if it is
// another listener's advertised name, which says nothing here.
func parseSocket(s string) (transport string, local netip.AddrPort) {
	transport, address, ok := strings.Cut(s, ":")
	if !ok {
		return "", netip.AddrPort{}
	}
	local, err := netip.ParseAddrPort(address)
	if err != nil {
		local = netip.AddrPort{}
	}
	return strings.ToLower(transport), local
}

func cutPrefixFold(s, prefix string) (rest string, ok bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// flowText returns all of a flow, for kv_store.
func flowText(f location.Flow) string {
	remote, _ := f.Remote.MarshalText() // addresses have no error
	local, _ := f.Local.MarshalText()
	return string(remote) + "|" + string(local) + "|" + f.Transport
}

func parseFlowText(s string) (f location.Flow, ok bool) {
	remote, rest, ok := strings.Cut(s, "|")
	if !ok {
		return f, false
	}
	local, transport, ok := strings.Cut(rest, "|")
	f.Transport = transport
	err := errors.Join(f.Remote.UnmarshalText([]byte(remote)), f.Local.UnmarshalText([]byte(local)))
	return f, ok && err == nil
}
