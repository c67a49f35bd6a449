package location

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrScheme reports a URI that is neither a SIP nor a SIPS URI. RFC 3261
// section 16.3 answers it with 416.
var ErrScheme = errors.New("neither sip nor sips URI")

// maxParts bounds the parameters and the headers of a URI. Phones that are woken
// by push have some fifteen.
const maxParts = 64

// URI is a SIP or SIPS URI taken apart (RFC 3261 section 19.1). Its strings
// are parts of the parsed text: nothing is unescaped or folded. The zero URI
// is not valid.
type URI struct {
	Scheme  string // "sip", "sips", as written
	User    string // user part with escapes and user parameters; empty if none
	Secret  string // password, after the colon of the userinfo; empty if none
	Host    string // as written; an IPv6 reference without its brackets
	Port    uint16 // 0 if none
	Params  string // "transport=tcp;lr", without the leading semicolon
	Headers string // "a=b&c=d", without the question mark
}

// ParseURI parses a SIP or SIPS URI. The error wraps [ErrScheme] for any other
// one. It is strict where a lax reading would be a guess: more than one at
// sign, a port out of range, a host that can be neither name nor address, an
// escape that is none, blanks, quotes and brackets. It is lax about further
// characters that the grammar wants escaped in the user, such as "#". It does
// not allocate.
func ParseURI(s string) (URI, error) {
	u, err := parseURI(s)
	if err != nil {
		return URI{}, wrapErr("URI", s, err)
	}
	return u, nil
}

func parseURI(s string) (URI, error) {
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok || !isSIP(scheme) {
		return URI{}, ErrScheme
	}
	u, err := parseAfterScheme(rest)
	if err != nil {
		return URI{}, err
	}
	u.Scheme = scheme
	return u, nil
}

func isSIP(scheme string) bool {
	return strings.EqualFold(scheme, "sip") || strings.EqualFold(scheme, "sips")
}

func parseAfterScheme(s string) (u URI, err error) {
	if err := checkText(s); err != nil {
		return URI{}, err
	}
	// No part but the userinfo may hold an at sign, while the userinfo may hold
	// semicolons and question marks: so it goes first.
	if i := strings.IndexByte(s, '@'); i >= 0 {
		if strings.IndexByte(s[i+1:], '@') >= 0 {
			return URI{}, errors.New("more than one @")
		}
		u.User, u.Secret, _ = strings.Cut(s[:i], ":")
		if u.User == "" {
			return URI{}, errors.New("no user before @")
		}
		if strings.IndexByte(u.Secret, ':') >= 0 {
			return URI{}, errors.New("more than one colon before @")
		}
		s = s[i+1:]
	}
	s, u.Headers, _ = strings.Cut(s, "?")
	s, u.Params, _ = strings.Cut(s, ";")
	if strings.Count(u.Params, ";") >= maxParts || strings.Count(u.Headers, "&") >= maxParts {
		return URI{}, fmt.Errorf("more than %d parameters or headers", maxParts)
	}
	u.Host, u.Port, err = splitHostPort(s)
	if err != nil {
		return URI{}, err
	}
	return u, nil
}

// checkText refuses what no part of a URI can hold.
func checkText(s string) error {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c < ' ', c == 0x7f:
			return errors.New("control character")
		case c == ' ', c == '"', c == '<', c == '>':
			return errors.New("blank, quote or angle bracket")
		case c == '%':
			if _, ok := hexByte(s[i:]); !ok {
				return errEscape
			}
		}
	}
	return nil
}

// Param returns the value of a URI parameter, as written, and whether there is
// such a parameter. The name compares without case. A parameter without value,
// such as "lr", gives "".
func (u URI) Param(name string) (value string, ok bool) {
	for rest := u.Params; rest != ""; {
		var p string
		p, rest, _ = strings.Cut(rest, ";")
		if k, v, _ := strings.Cut(p, "="); strings.EqualFold(k, name) {
			return v, true
		}
	}
	return "", false
}

// HostPort returns "host", or "host:port" if there is a port. An IPv6 address
// is in brackets.
func (u URI) HostPort() string { return string(u.appendHostPort(nil)) }

func (u URI) appendHostPort(b []byte) []byte {
	b = appendHost(b, u.Host)
	if u.Port != 0 {
		b = append(b, ':')
		b = strconv.AppendUint(b, uint64(u.Port), 10)
	}
	return b
}

// String puts u together again. [ParseURI] takes it back to u.
func (u URI) String() string {
	b := append([]byte(u.Scheme), ':')
	if u.User != "" {
		b = append(b, u.User...)
		if u.Secret != "" {
			b = append(append(b, ':'), u.Secret...)
		}
		b = append(b, '@')
	}
	b = u.appendHostPort(b)
	if u.Params != "" {
		b = append(append(b, ';'), u.Params...)
	}
	if u.Headers != "" {
		b = append(append(b, '?'), u.Headers...)
	}
	return string(b)
}
