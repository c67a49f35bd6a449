package location

import (
	"cmp"
	"encoding"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// AOR is an address of record: one user in one domain.
//
// Like [net/netip.Addr] it is a small value that is canonical by construction,
// so that == compares it and it can be a map key. The domain is as
// [CanonicalDomain] returns it; it has no port, because an AOR names a user
// and not a server. The user is unescaped and its case is kept. Parameters of
// the user, as in "+1555;phone-context=a.example", are part of it.
//
// The zero AOR is not valid and equals no valid one.
type AOR struct{ user, domain string }

var (
	_ encoding.TextAppender    = AOR{}
	_ encoding.TextMarshaler   = AOR{}
	_ encoding.TextUnmarshaler = (*AOR)(nil)
)

// MakeAOR returns the AOR of user in domain. The user is taken as it is: a
// percent sign stands for itself. What comes from a URI still has its escapes;
// use [URI.AOR], [ParseAOR] or [UnescapeUser] for that. The domain may be
// anything that [CanonicalDomain] takes.
//
// The user must not be empty and must be UTF-8 without control characters.
func MakeAOR(user, domain string) (AOR, error) {
	if err := checkUser(user); err != nil {
		return AOR{}, wrapErr("user", user, err)
	}
	d, err := CanonicalDomain(domain)
	if err != nil {
		return AOR{}, err
	}
	return AOR{user, d}, nil
}

// ParseAOR parses "sip:user@domain", "sips:user@domain" or "user@domain".
// Scheme, password, port, URI parameters and headers are dropped. It does not
// allocate unless the user has escapes or the domain is not canonical, which
// means that the AOR may share s's memory: keep its [AOR.Clone] if s is part of a
// message and it is kept for long.
func ParseAOR(s string) (AOR, error) {
	u, err := parseLoose(s)
	if err != nil {
		return AOR{}, wrapErr("AOR", s, err)
	}
	a, err := u.aor()
	if err != nil {
		return AOR{}, wrapErr("AOR", s, err)
	}
	return a, nil
}

// parseLoose is parseURI for a text that may lack the scheme.
func parseLoose(s string) (URI, error) {
	u, err := parseURI(s)
	if !errors.Is(err, ErrScheme) {
		return u, err
	}
	// Without a scheme there is no password either: a colon before the host is
	// that of another scheme.
	if user, _, _ := strings.Cut(s, "@"); strings.IndexByte(user, ':') >= 0 {
		return URI{}, ErrScheme
	}
	return parseAfterScheme(s)
}

// AOR returns the address of record that u names (RFC 3261 section 10.3 step
// 5): its user and host without all the rest. A URI without user has none.
func (u URI) AOR() (AOR, error) {
	a, err := u.aor()
	if err != nil {
		return AOR{}, wrapErr("AOR", u.String(), err)
	}
	return a, nil
}

func (u URI) aor() (AOR, error) {
	user, err := unescape(u.User)
	if err != nil {
		return AOR{}, err
	}
	if err := checkUser(user); err != nil {
		return AOR{}, err
	}
	domain, err := canonicalHost(u.Host)
	if err != nil {
		return AOR{}, err
	}
	return AOR{user, domain}, nil
}

// User returns the user, unescaped and in its own case.
func (a AOR) User() string { return a.user }

// Domain returns the domain as [CanonicalDomain] does: an IPv6 address has no
// brackets.
func (a AOR) Domain() string { return a.domain }

// Clone returns a with memory of its own, for whoever keeps it longer than the
// message that it comes from.
func (a AOR) Clone() AOR { return AOR{strings.Clone(a.user), strings.Clone(a.domain)} }

// IsValid reports whether a is not the zero AOR.
func (a AOR) IsValid() bool { return a.user != "" }

// Compare orders AORs by domain and then by user, byte by byte. It returns
// -1, 0 or +1.
func (a AOR) Compare(b AOR) int {
	return cmp.Or(strings.Compare(a.domain, b.domain), strings.Compare(a.user, b.user))
}

// String returns "user@domain", which [ParseAOR] takes back to a. Where the
// user part of a URI needs escapes they are there, and an IPv6 address is in
// brackets. The zero AOR gives "".
func (a AOR) String() string {
	b, _ := a.AppendText(nil)
	return string(b)
}

// AppendText implements [encoding.TextAppender]: it appends a.String(). The
// error is always nil.
func (a AOR) AppendText(b []byte) ([]byte, error) {
	if !a.IsValid() {
		return b, nil
	}
	b = appendEscaped(b, a.user)
	b = append(b, '@')
	return appendHost(b, a.domain), nil
}

// MarshalText implements [encoding.TextMarshaler] as a.String(); the zero AOR
// gives the empty text.
func (a AOR) MarshalText() ([]byte, error) { return a.AppendText(nil) }

// UnmarshalText implements [encoding.TextUnmarshaler] by [ParseAOR]; the empty
// text gives the zero AOR.
func (a *AOR) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = AOR{}
		return nil
	}
	p, err := ParseAOR(string(text))
	if err != nil {
		return err
	}
	*a = p
	return nil
}

func checkUser(user string) error {
	if user == "" {
		return errors.New("no user")
	}
	if !utf8.ValidString(user) {
		return errors.New("user is not UTF-8")
	}
	for _, r := range user {
		if unicode.IsControl(r) {
			return errors.New("control character in user")
		}
	}
	return nil
}
