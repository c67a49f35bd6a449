package config

import (
	"encoding"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/sipward/sipward/dispatcher"
)

// scalarParser returns the function that reads the text of a single value into
// what p points to, or nil if that is no single value. The function leaves *p
// alone when it fails.
func scalarParser(p any) func(text string) error {
	switch p := p.(type) {
	case *string:
		return func(s string) error { *p = s; return nil }
	case *Secret:
		return func(s string) error { *p = Secret(s); return nil }
	case *bool:
		return into(p, parseBool)
	case *int:
		return into(p, parseInt)
	case *time.Duration:
		return into(p, parseDuration)
	case *netip.AddrPort:
		return into(p, parseAddrPort)
	case *netip.Prefix:
		return into(p, parsePrefix)
	case *slog.Level:
		return into(p, parseLevel)
	case *dispatcher.Algorithm:
		return into(p, parseAlgorithm)
	case *dispatcher.State:
		return into(p, parseState)
	case encoding.TextUnmarshaler:
		return func(s string) error { return p.UnmarshalText([]byte(s)) }
	}
	return nil
}

func into[T any](p *T, parse func(string) (T, error)) func(string) error {
	return func(s string) error {
		v, err := parse(s)
		if err == nil {
			*p = v
		}
		return err
	}
}

func parseBool(s string) (bool, error) {
	switch s {
	case "on", "true", "yes":
		return true, nil
	case "off", "false", "no":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither on nor off", s)
}

func parseInt(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", s)
	}
	return n, nil
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration such as 30s, 500ms or 1h", s)
	}
	return d, nil
}

// parseAddrPort reads "address:port". The empty text is the zero AddrPort.
func parseAddrPort(s string) (netip.AddrPort, error) {
	if s == "" {
		return netip.AddrPort{}, nil
	}
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is not an IP address with a port", s)
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), nil
}

// parsePrefix reads a prefix, or an address as the prefix that holds only it.
// Bits behind the prefix are refused, because then either the address or the
// length is not what was meant.
func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q is neither an IP address nor a prefix", s)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil || p.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%q is neither an IP address nor a prefix", s)
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("%q has bits behind the prefix, want %v or %v", s, p.Masked(), p.Addr())
	case p.Bits() == 0:
		return netip.Prefix{}, fmt.Errorf("%q is every address there is", s)
	}
	return p, nil
}

func parseLevel(s string) (slog.Level, error) {
	switch strings.ToLower(s) {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("%q is not one of debug, info, warn, error", s)
}

func parseAlgorithm(s string) (dispatcher.Algorithm, error) {
	a, err := dispatcher.ParseAlgorithm(s)
	if err != nil {
		return 0, errors.New(strings.TrimPrefix(err.Error(), "dispatcher: "))
	}
	return a, nil
}

func parseState(s string) (dispatcher.State, error) {
	switch s {
	case "0", "1", "2":
		return dispatcher.State(s[0] - '0'), nil
	}
	return 0, fmt.Errorf("%q is not one of 0 (active), 1 (inactive), 2 (probing)", s)
}

// parsePort reads a port that is not 0.
func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a port", s)
	}
	return uint16(n), nil
}

// cutPort takes "host", "host:port", "[v6]", "[v6]:port" and a bare "v6" apart.
func cutPort(s string) (host, port string, err error) {
	if rest, ok := strings.CutPrefix(s, "["); ok {
		host, port, ok = strings.Cut(rest, "]")
		if !ok || port != "" && port[0] != ':' || !strings.Contains(host, ":") {
			return "", "", errors.New("brackets are for an IPv6 address")
		}
		if port == ":" {
			return "", "", errors.New("no port behind the colon")
		}
		return host, strings.TrimPrefix(port, ":"), nil
	}
	if strings.Count(s, ":") > 1 {
		return s, "", nil
	}
	host, port, ok := strings.Cut(s, ":")
	if ok && port == "" {
		return "", "", errors.New("no port behind the colon")
	}
	return host, port, nil
}
